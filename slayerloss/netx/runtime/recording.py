"""What a run leaves: the spikes, the states, and the state to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slayerloss._check import ArgumentError, DtypeError, ShapeError, check_integer, check_type, message
from slayerloss.netx.runtime.neurons import States
from slayerloss.netx.runtime.stage import Stage, inward, outward
from slayerloss.netx.runtime.synapse import Array


@dataclass(eq=False)
class State:
    """Where a network stands after a step.

    Attributes:
        step: how many steps it has run.
        layers: of every layer that runs its states by name, (N, C) or (N, C, H, W) int32, without N if the input had
            none: u and v; act and residue; sigma, act and residue; sigma; real and imag. `pending` is what is on its
            way to the neurons, with the steps before N: the sums that the next step receives, the one after, ...; of
            complex neurons `pending_real` and `pending_imag`.
    """

    step: int
    layers: list[dict[str, Array]]

    def __repr__(self) -> str:
        names = ", ".join("/".join(layer) for layer in self.layers)
        return f"State(after step {self.step}, layers: {names})"


@dataclass(frozen=True, eq=False)
class Recording:
    """What a network did in a run.

    Attributes:
        output: what the last layer sent, (N, C, T) or (N, C, H, W, T); index t-1 is step t of Lava. int8, or int32 of
            neurons that send numbers.
        spikes: the same of every layer.
        state: where the network stands at the end, to go on from.
        states: of every layer its neurons' states by name, int32, each after the step; None unless asked for.
    """

    output: Array
    spikes: list[Array]
    state: State
    states: list[dict[str, Array]] | None = None

    def __repr__(self) -> str:
        sent = ", ".join(f"{int(np.count_nonzero(layer)):,}" for layer in self.spikes)
        return f"Recording(output {self.output.shape}, spikes of each layer: {sent})"

    @classmethod
    def of(
        cls,
        stages: Sequence[Stage],
        spikes: Sequence[Array],
        records: Sequence[States] | None,
        live: Sequence[States],
        step: int,
        batched: bool,
    ) -> Recording:
        """From arrays (T, N, neurons) in the order of the runtime."""

        def out(array: Array, stage: Stage) -> Array:
            time_last = np.moveaxis(outward(array, stage.shape), 0, -1)
            return time_last if batched else time_last[0]

        sent = [out(counted(array), stage) for array, stage in zip(spikes, stages, strict=True)]
        states = None
        if records is not None:
            states = [
                {name: out(array, stage) for name, array in record.items()}
                for record, stage in zip(records, stages, strict=True)
            ]
        return cls(sent[-1], sent, live_states(step, live, stages, batched), states)


def counted(spikes: Array) -> Array:
    """bool as int8."""
    return spikes.view(np.int8) if spikes.dtype == np.bool_ else spikes


def live_states(step: int, live: Sequence[States], stages: Sequence[Stage], batched: bool) -> State:
    """The arrays of the runtime as a State of views."""
    layers = []
    for states, stage in zip(live, stages, strict=True):
        views = {name: outward(array, stage.shape) for name, array in states.items()}
        if not batched:
            views = {name: view[:, 0] if name in stage.pending else view[0] for name, view in views.items()}
        layers.append(views)
    return State(step, layers)


def samples_of(state: State, stages: Sequence[Stage]) -> tuple[int, bool]:
    """How many samples a State is of, and whether it has the axis N."""
    check_type("Network", "state", state, State, "a State, from Recording.state or Network.state")
    for layer, stage in zip(state.layers, stages, strict=False):
        for name in stage.neurons.names:
            shape = np.shape(layer.get(name, 0))
            return (shape[0], True) if len(shape) > len(stage.shape) else (1, False)
    return 1, True


def given_states(state: State, stages: Sequence[Stage], num_samples: int, batched: bool) -> list[States]:
    """A copy of a State in the order of the runtime; ShapeError where it is not of these stages."""
    check_type("Network", "state", state, State, "a State, from Recording.state or Network.state")
    check_integer("Network", "state.step", state.step, 0)
    if len(state.layers) != len(stages):
        raise ShapeError(message("Network", "state is of another network", f"{len(stages)} layers", len(state.layers)))
    given = []
    for i, (layer, stage) in enumerate(zip(state.layers, stages, strict=True)):
        rest = stage.rest(num_samples)
        if layer.keys() != rest.keys():
            raise ShapeError(message("Network", f"state.layers[{i}] is of another layer", str(list(rest)), list(layer)))
        for name, own in rest.items():
            lead = 1 if name in stage.pending else 0
            value = np.asarray(layer[name])
            expected = (*own.shape[:lead], *([num_samples] if batched else []), *stage.shape)
            if value.shape != expected:
                raise ShapeError(
                    message("Network", f"state.layers[{i}][{name!r}] does not fit", str(expected), value.shape)
                )
            if value.dtype.kind not in "iub":
                raise DtypeError(message("Network", f"state.layers[{i}][{name!r}]", "integers", value.dtype))
            if value.min() < -(1 << 31) or value.max() >= 1 << 31:
                problem = f"state.layers[{i}][{name!r}] does not fit into 32 bits"
                raise ArgumentError(message("Network", problem, "-2^31 to 2^31 - 1", f"{value.min()} to {value.max()}"))
            value = value if batched else np.expand_dims(value, lead)
            own[...] = inward(value, stage.shape).reshape(own.shape)
        given.append(rest)
    return given
