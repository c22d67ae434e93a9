"""A layer of a network file on its way to a block: its fields as the arguments and the state dict of one.

State dicts are in the form that lava-dl's have: there decays are the integers of the file. A new neuron type is a row
of `NEURONS`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, FormatError, message
from slayerloss.netx.container import fail
from slayerloss.netx.description import Layer, Tree
from slayerloss.netx.limits import LONGEST_DELAY, NEVER
from slayerloss.netx.runtime.resonate import turn
from slayerloss.netx.schema import READOUT

if TYPE_CHECKING:
    from torch import Tensor

SCALE = 64
"""Weight LSBs of a file per unit of a block."""


@dataclass(frozen=True)
class Source:
    """A layer, where it comes from, and what it is to become."""

    layer: Layer
    place: str
    file: str
    training: dict[str, Any]
    weight_norm: bool
    last: bool

    @property
    def channels(self) -> int:
        """How many channels the layer's neurons have; each of a dense layer is one."""
        return math.prod(self.layer.shape) if self.layer.type.startswith("dense") else self.layer.shape[0]

    @property
    def neuron(self) -> Tree:
        """The neuron's fields; a dense layer without any is a readout."""
        if self.layer.neuron is None and self.layer.type == "dense":
            return dict(READOUT)
        if self.layer.neuron is None:
            raise self.refused("", "has no neuron", "a neuron, which only a dense layer may leave out", "none")
        return self.layer.neuron

    @property
    def never_spikes(self) -> bool:
        """Whether no voltage on the chip can pass the threshold."""
        return self.neuron["type"] != "SDNN" and bool(np.max(self.neuron["vThMant"]) >= NEVER)

    @property
    def row(self) -> NeuronRow:
        """What is known of the type of the neurons."""
        return NEURONS[self.neuron["type"]]

    @property
    def blocks(self) -> Any:
        """The namespace of the layer's blocks, such as `block.cuba`."""
        from slayerloss import block

        return getattr(block, "cuba" if self.layer.neuron is None else self.row.blocks)

    def refused(self, field: str, problem: str, expected: object, got: object, way_out: str = "") -> FormatError:
        """An error that names the file, the layer and the field."""
        return fail(self.file, f"{self.place}/{field}" if field else self.place, problem, str(expected), got, way_out)

    def whole(self, name: str, tree: Tree | None = None) -> NDArray[np.float32]:
        """A field of whole numbers, as float32; fractions are cut off, as Lava does."""
        place = name if tree is None else f"neuron/{name}"
        array = np.asarray((self.layer.fields if tree is None else tree)[name])
        if not np.isfinite(array).all():
            raise self.refused(place, "has NaN or infinity", "whole numbers", "some", "Train again")
        return np.trunc(array).astype(np.float32)

    def weights(self, name: str = "weight") -> dict[str, NDArray[np.float32]]:
        """A weight by the end of its synapse's name: empty, or of complex neurons ".real" and ".imag"."""
        values = self.layer.fields[name]
        if not isinstance(values, Mapping):
            return {"": self.whole(name)}
        return {f".{part}": self.whole(part, dict(values)) for part in ("real", "imag")}

    @property
    def kernels(self) -> dict[str, NDArray[np.float32]]:
        """`weights` of a convolution, (out, in, height, width), without the fifth dimension of old files."""
        return {end: weight.reshape(*weight.shape[:4]) for end, weight in self.weights().items()}

    def matrices(self, name: str = "weight") -> dict[str, NDArray[np.float32]]:
        """`weights` of a dense layer, (out, in, 1, 1)."""
        return {end: weight.reshape(self.channels, -1, 1, 1) for end, weight in self.weights(name).items()}

    def one(self, name: str, tree: Tree | None = None) -> float:
        """A field of one whole number."""
        return float(self.whole(name, tree).reshape(-1)[0])


@dataclass(frozen=True)
class NeuronRow:
    """How neurons of one type come from their fields.

    `blocks` is the namespace under `slayerloss.block`; `constants` makes the arguments that the file fixes; `learned`
    makes the parameters, in lava-dl's unit of them: one value for all, or one a channel.
    """

    blocks: str
    constants: Callable[[Source], dict[str, Any]]
    learned: Callable[[Source], dict[str, NDArray[np.float32]]]


def _cuba(source: Source) -> dict[str, Any]:
    tree = source.neuron
    threshold = source.one("vThMant", tree)
    if threshold < 1:
        raise source.refused("neuron/vThMant", "is no threshold of a block", "at least 1", int(threshold))
    for name, usual in (("weight_exp", 0), ("refDelay", 1)):
        if np.any(tree.get(name, usual) != usual):
            raise source.refused(f"neuron/{name}", "has no place in a block", usual, np.max(tree[name]))
    graded = bool(np.any(tree.get("gradedSpike", False)))
    unused = {"current_decay": 0.0, "voltage_decay": 0.0}  # `learned` replaces them
    return {"threshold": _passable(threshold), "graded_spike": graded, **unused}


def _passable(threshold: float) -> float:
    """The threshold to build a neuron with, in units; `Source.never_spikes` says where the file's is higher."""
    return min(threshold, NEVER - 1) / SCALE


def _decays(source: Source, **names: str) -> dict[str, NDArray[np.float32]]:
    """Decays by the names of their parameters, from fields."""
    decays = {name: source.whole(field, source.neuron) for name, field in names.items()}
    for name, decay in decays.items():
        if decay.min() < 0 or decay.max() > 4096:
            got = f"{decay.min():g} to {decay.max():g}"
            raise source.refused(f"neuron/{names[name]}", "is no decay", "0 to 4096", got)
    return decays


def _cuba_decays(source: Source) -> dict[str, NDArray[np.float32]]:
    return _decays(source, current_decay="iDecay", voltage_decay="vDecay")


def _resonator(source: Source) -> dict[str, Any]:
    tree = source.neuron
    threshold = source.one("vThMant", tree)
    if threshold < 1:
        raise source.refused("neuron/vThMant", "is no threshold of a block", "at least 1", int(threshold))
    if "bias" in source.layer.fields:
        raise source.refused("bias", "is of complex neurons, which do not read it", "none", "one", "Delete it")
    graded = bool(np.any(tree.get("gradedSpike", False)))
    unused = {"period": 8.0, "decay": 0.5}  # `learned` replaces them
    return {"threshold": _passable(threshold), "graded_spike": graded, **unused}


def _turn(source: Source) -> dict[str, NDArray[np.float32]]:
    """What Lava makes of the file's turn."""
    sin, cos = turn(*(np.atleast_1d(source.neuron[name]) for name in ("sinDecay", "cosDecay")))
    for name, part, lowest in (("sinDecay", sin, 1), ("cosDecay", cos, 0)):
        if part.min() < lowest:
            rule = f"from {lowest} to 4096, for a period of 4 steps or more"
            raise source.refused(f"neuron/{name}", "is no turn of a block", rule, int(part.min()))
    return {"sin_decay": sin.astype(np.float32), "cos_decay": cos.astype(np.float32)}


def _adaptive(blocks: str, of: NeuronRow) -> NeuronRow:
    """The same neurons with an adaptive threshold."""

    def constants(source: Source) -> dict[str, Any]:
        step = source.one("vThStep", source.neuron)
        if step < 0:
            raise source.refused("neuron/vThStep", "is no rise of a threshold", "at least 0", int(step))
        unused = {"threshold_decay": 0.0, "refractory_decay": 0.0}  # `learned` replaces them
        return {**of.constants(source), "threshold_step": step / SCALE, **unused}

    def learned(source: Source) -> dict[str, NDArray[np.float32]]:
        return of.learned(source) | _decays(source, threshold_decay="thDecay", refractory_decay="refDecay")

    return NeuronRow(blocks, constants, learned)


def _sigma_delta(source: Source) -> dict[str, Any]:
    import torch

    name = str(source.neuron.get("activation", "relu"))
    activation = getattr(torch.nn.functional, name, None)
    if not callable(activation):
        raise source.refused("neuron/activation", "is no function of torch", "relu, or such", name)
    return {"threshold": 1 / SCALE, "activation": activation}  # `learned` replaces the threshold


def _sent_changes(source: Source) -> dict[str, NDArray[np.float32]]:
    threshold = source.whole("vThMant", source.neuron)
    if threshold.min() < 0:
        raise source.refused("neuron/vThMant", "is no threshold of a block", "at least 0", int(threshold.min()))
    return {"delta.threshold": threshold / np.float32(SCALE)}


_CUBA = NeuronRow("cuba", _cuba, _cuba_decays)
_RF = NeuronRow("rf", _resonator, _turn)

NEURONS: Mapping[str, NeuronRow] = MappingProxyType(
    {
        "CUBA": _CUBA,
        "LOIHI": _CUBA,
        "RF_PHASE": _RF,
        "RF_IZHIKEVICH": NeuronRow("rf_iz", _resonator, _turn),
        "SDNN": NeuronRow("sigma_delta", _sigma_delta, _sent_changes),
        "ALIF": _adaptive("alif", _CUBA),
        "ADRF_PHASE": _adaptive("adrf", _RF),
        "ADRF_IZHIKEVICH": _adaptive("adrf_iz", _RF),
    }
)
"""Neuron type -> how its blocks are made."""


def parameters(source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
    """The neuron_params of a layer, and the state dict of its neuron."""
    row, options = source.row, dict(source.training)
    learned = {name: values.reshape(-1) for name, values in row.learned(source).items()}
    shared = all(values.size == 1 for values in learned.values())
    if options.setdefault("shared_param", shared) and not shared:
        problem, rule = f"{source.place}: the decays differ from channel to channel", "shared_param=False, or none"
        raise ArgumentError(message("to_torch", problem, rule, "shared_param=True"))
    state = {}
    for name, values in learned.items():
        each = values if options["shared_param"] else np.broadcast_to(values, source.channels)
        state[f"neuron.{name}"] = each
    return {**row.constants(source), **options}, state


def keep_whole(weight: Tensor, scale: int = SCALE, descale: bool = False) -> Tensor:
    """Bring weights to whole numbers of LSBs, odd and large ones too: a `pre_hook_fx` for files that have such.

    q = round(w scale) / scale; gradient 1

    Args:
        weight: any shape, any real dtype.
        scale: weight LSBs per unit.
        descale: return the integers, not the integers over `scale`.

    Example:
        >>> import torch
        >>> keep_whole(torch.tensor([1.01, 300.0]), descale=True)
        tensor([   65., 19200.])
    """
    from slayerloss.functional import quantize

    q = quantize(weight, 1 / scale)
    return q * scale if descale else q


def hook_for(*values: NDArray[np.float32]) -> dict[str, Any]:
    """The argument pre_hook_fx of a block, so that it keeps these weights; the default one if it can."""
    return {} if all(in_8_bits(each) for each in values) else {"pre_hook_fx": keep_whole}


def in_8_bits(values: NDArray[np.float32]) -> bool:
    return bool(np.all(values % 2 == 0) and values.min() >= -256 and values.max() <= 254)


def with_bias(source: Source, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A norm that stands for the layer's bias, among the neuron_params, and its state; nothing without a bias."""
    from slayerloss.neuron.norm import MeanOnlyBatchNorm

    if "bias" not in source.layer.fields:
        return params, {}
    bias = source.whole("bias")
    if bias.ndim == 3:  # (W, H, C)
        if np.any(bias != bias[:1, :1]):
            rule, way_out = "one bias for each channel", "Take the mean over the space, and train on"
            raise source.refused("bias", "differs from place to place", rule, bias.shape, way_out)
        bias = bias[0, 0]
    mean = -np.broadcast_to(bias.reshape(-1), source.channels)
    hook = None if in_8_bits(mean) else keep_whole
    norm = params.get("norm") or functools.partial(MeanOnlyBatchNorm, source.channels, pre_hook_fx=hook)
    return {**params, "norm": norm}, {"neuron.norm.running_mean": mean / SCALE}


def delay_of(source: Source) -> dict[str, Any]:
    """The state of the layer's axonal delay; nothing where nothing waits."""
    if "delay" not in source.layer.fields:
        return {}
    steps = np.asarray(source.layer.fields["delay"], np.float32)
    if not (steps.min() >= 0 and steps.max() <= LONGEST_DELAY):
        got = f"{steps.min():g} to {steps.max():g}"
        raise source.refused("delay", "is out of range", f"0 to {LONGEST_DELAY} steps", got)
    if steps.max() < 1 and source.layer.type != "dense":
        return {}
    if source.layer.type == "dense_rec":
        way_out = "Take the delays out"
        raise source.refused("delay", "is of a recurrent layer, which Lava cannot load", "none", "delays", way_out)
    if steps.ndim == 1 and len(steps) == source.channels:  # Lava looks at the neurons first
        return {"delay.delay": steps}
    each = steps.reshape(-1, steps.shape[-1] if steps.ndim else 1)
    if np.any(each != each[:, :1]):
        rule, way_out = "one delay for each neuron", "Train again with delay=True, or without"
        raise source.refused("delay", "differs from input to input", rule, f"{steps.shape} of them", way_out)
    return {"delay.delay": np.broadcast_to(each[:, 0], source.channels)}
