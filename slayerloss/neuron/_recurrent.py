"""Any neuron as a population that hears its own spikes one step later.

s[t] = neuron(x[t] + R s[t-1])

Real neurons have one matrix R (C, C), complex ones a pair, which causes a real and an imaginary part as x has them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_sequence, check_state, message
from slayerloss.functional.delay import shift
from slayerloss.functional.synapse import dense
from slayerloss.kernels.recurrent import step_by_step

Parts = Any
"""A tensor, or a real and an imaginary one in a tuple."""


class Stepped(Protocol):
    """A neuron that can run step by step, with a norm that acts on all steps of the input before."""

    is_complex: ClassVar[bool]

    def _drive(self, x: Any, lengths: Tensor | None) -> Any:
        """Before a run: check the input, make the parameters ready, and give what there is after the norm."""

    def respond(self, drive: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The spikes before dropout that an input after the norm causes, and the state after them."""

    def states_of(self, drive: Any, threshold: float | None = None) -> dict[str, Tensor]:
        """`chip_states` of an input after the norm."""

    def _sent(self, spikes: Tensor, x: Tensor) -> Tensor:
        """The spikes after dropout, in the dtype of the input x."""


def run_recurrent(
    neuron: Any, x: Parts, feedback: Parts, state: Any = None, lengths: Tensor | None = None
) -> tuple[Tensor, Any]:
    """The spikes of the population, and the state after them: that of the neurons, and the last spikes (N, C).

    Norms act on x alone, all of which is known before the run, and dropout on what the population sends to others.
    """
    if hasattr(neuron, "run_recurrent"):  # CUBA neurons run all steps at once
        run: tuple[Tensor, Any] = neuron.run_recurrent(x, feedback, state, lengths)
        return run
    if not hasattr(neuron, "respond"):
        problem, way_out = "these neurons cannot hear themselves", "Step through neuron.run"
        got = type(neuron).__module__
        raise ArgumentError(message("run_recurrent", problem, "any but sigma-delta neurons", got, way_out))
    y, after = _steps(neuron, neuron._drive(x, lengths), feedback, state)
    return neuron._sent(y, x[0] if neuron.is_complex else x), after


@torch.no_grad()
def chip_states(neuron: Any, x: Parts, feedback: Parts) -> dict[str, Tensor]:
    """The states after each step of a run from rest, in the chip's integers."""
    states: dict[str, Tensor]
    if hasattr(neuron, "run_recurrent"):
        states = neuron.chip_states(x, feedback)
        return states
    drive = neuron._drive(x, None)
    heard = _hear(feedback, shift(_steps(neuron, drive, feedback, None)[0]))
    states = neuron.states_of(_each(torch.add, drive, heard))
    return states


def _steps(neuron: Stepped, drive: Parts, feedback: Parts, state: Any) -> tuple[Tensor, Any]:
    first = drive[0] if neuron.is_complex else drive
    population, spikes = None, first.new_zeros(first.shape[:-1])
    if state is not None:
        population, spikes = check_sequence("Neuron", "state", state, 2, "(the neuron's state, spikes)")
        check_state("Neuron", "state", spikes, first.shape[:-1], first)
    y, after = step_by_step(neuron.respond, drive, lambda sent: _hear(feedback, sent), spikes[..., None], population)
    return y, (after, y.select(-1, -1))


def _each(change: Any, *values: Parts) -> Parts:
    """change(*values), part by part."""
    return tuple(map(change, *values)) if isinstance(values[0], tuple) else change(*values)


def _hear(feedback: Parts, spikes: Tensor) -> Parts:
    """What spikes (N, C, T) cause."""
    return _each(lambda weight: dense(spikes, weight), feedback)
