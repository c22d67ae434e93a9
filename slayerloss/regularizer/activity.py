"""Penalties on what a layer did in a pass, as modules; `ActivityCollector` tells what it did."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_choice, check_range, check_type, message
from slayerloss.functional import (
    hoyer_penalty,
    membrane_excursion,
    rate_band,
    synaptic_operations,
    temporal_smoothness,
    total_events,
    treves_rolls,
)
from slayerloss.functional._tree import total
from slayerloss.functional.activity import check_bounds
from slayerloss.functional.sparsity import check_band
from slayerloss.regularizer._synapses import arrivals


class LayerActivity(NamedTuple):
    """What one layer did in a pass, as `ActivityCollector` gives it and as the penalties on activity take it."""

    name: str
    """Of the layer in its model."""
    module: torch.nn.Module
    """The layer."""
    inputs: Any
    """What it was called with, (N, C, ..., T); of complex input neurons a pair."""
    spikes: Tensor
    """What it sent, (N, C', ..., T), with its gradient; of a readout its voltage or its sums."""
    voltage: Tensor | None = None
    """What met the threshold, (N, C', ..., T), before resets; None where nobody asked, or the neurons have none."""
    lengths: Tensor | None = None
    """(N,), the steps of each sample that count; None for all."""


class ActivityPenalty(torch.nn.Module, abc.ABC):
    """A penalty on what a layer did; a subclass says in `penalty` which.

    Example:
        >>> class Graded(ActivityPenalty):
        ...     def penalty(self, activity):
        ...         return activity.spikes.square().mean()
        >>> Graded()(LayerActivity("hidden", torch.nn.Identity(), None, torch.full((1, 2, 3), 2.0))).item()
        4.0
    """

    needs_voltage: ClassVar[bool] = False
    """Whether what collects the activity has to collect the voltage, too."""
    counts_arrivals: ClassVar[bool] = False
    """Whether it is about what a layer hears, so that the first one, which hears the data, is left out by default."""

    def forward(self, activity: LayerActivity) -> Tensor:
        """The penalty, 0-d; `backward` applies to it also where nothing has a gradient."""
        check_type(type(self).__name__, "activity", activity, LayerActivity, "a LayerActivity")
        return total([self.penalty(activity)])

    @abc.abstractmethod
    def penalty(self, activity: LayerActivity) -> Tensor:
        """The penalty, 0-d."""

    def keep(self, **options: Any) -> None:
        """Keep options as attributes, tensors as buffers that are not saved."""
        for name, value in options.items():
            if isinstance(value, Tensor):
                self.register_buffer(name, value, persistent=False)
            else:
                setattr(self, name, value)


class RateBand(ActivityPenalty):
    """Penalize every channel whose event rate leaves a band, `functional.rate_band`.

    Args:
        min_rate: events per neuron and step, at least 0.
        max_rate: events per neuron and step, at least `min_rate`.
        per: "channel", or "neuron" for a band of every neuron of a layer with space.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> activity = LayerActivity("hidden", torch.nn.Identity(), None, torch.tensor([[[0.0, 1.0, 0.0, 1.0]]]))
        >>> RateBand(max_rate=0.25)(activity).item()
        0.0625
    """

    def __init__(self, min_rate: float = 0.0, max_rate: float = 0.01, per: str = "channel") -> None:
        super().__init__()
        check_band("RateBand", min_rate, max_rate, 1.0)
        check_choice("RateBand", "per", per, ("channel", "neuron"))
        self.min_rate, self.max_rate, self.per = float(min_rate), float(max_rate), per

    def penalty(self, activity: LayerActivity) -> Tensor:
        spikes = activity.spikes.flatten(1, -2) if self.per == "neuron" else activity.spikes
        return rate_band(spikes, self.min_rate, self.max_rate, lengths=activity.lengths)

    def extra_repr(self) -> str:
        return f"min_rate={self.min_rate:g}, max_rate={self.max_rate:g}, per={self.per!r}"


class TotalEvents(ActivityPenalty):
    """Penalize the events that a layer sends in a sample, `functional.total_events`.

    Args:
        allowance: events per sample that cost nothing, at least 0.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> TotalEvents(2)(LayerActivity("hidden", torch.nn.Identity(), None, torch.ones(1, 2, 3))).item()
        4.0
    """

    def __init__(self, allowance: float = 0.0) -> None:
        super().__init__()
        self.allowance = check_range("TotalEvents", "allowance", allowance, 0)

    def penalty(self, activity: LayerActivity) -> Tensor:
        return total_events(activity.spikes, self.allowance, lengths=activity.lengths)

    def extra_repr(self) -> str:
        return f"allowance={self.allowance:g}"


class SynapticOperations(ActivityPenalty):
    """Penalize the synaptic operations that arriving events cause in a layer, `functional.synaptic_operations`.

    By the rules of `netx.operations`: a synapse counts if its weight is not zero, quantised as in the chip; what a
    convolution's padding cuts off is none; a block's own spikes count where it hears them; complex weights count twice.

    Args:
        allowance: operations per sample that cost nothing, at least 0.
        fan_out: how many synapses each input neuron has into the layer, a number or a tensor that broadcasts over
            (C, ...). None asks the layer: a block of this library, torch.nn.Linear or Conv, whose weights other than
            zero are counted in every pass, or any module with a method ``fan_out(shape)``.

    Raises:
        ArgumentError, DtypeError: an argument does not fit; (in a pass) nothing is known of a layer's synapses.

    Example:
        >>> activity = LayerActivity("hidden", torch.nn.Linear(2, 5), torch.ones(1, 2, 3), torch.ones(1, 5, 3))
        >>> SynapticOperations()(activity).item()
        30.0

    Note:
        An event counts as its magnitude, of which the gradient is; `netx.operations` counts a graded spike as one.
    """

    fan_out: Tensor | float | None

    counts_arrivals = True

    def __init__(self, allowance: float = 0.0, fan_out: Tensor | float | None = None) -> None:
        super().__init__()
        self.allowance = check_range("SynapticOperations", "allowance", allowance, 0)
        if fan_out is not None and not isinstance(fan_out, Tensor):
            fan_out = check_range("SynapticOperations", "fan_out", fan_out, 0)
        self.keep(fan_out=fan_out)

    def penalty(self, activity: LayerActivity) -> Tensor:
        arrived = arrivals(activity.module, activity.inputs, activity.spikes, self.fan_out)
        each = [synaptic_operations(events, counts, lengths=activity.lengths) for events, counts in arrived]
        return (total(each) - self.allowance).clamp_min(0)

    def extra_repr(self) -> str:
        return f"allowance={self.allowance:g}"


class MembraneExcursion(ActivityPenalty):
    """Penalize voltages outside of a band, `functional.membrane_excursion`; the collector has voltage=True.

    Args:
        lower, upper: of the voltage, numbers or tensors that broadcast over (C, ...); None for no bound.

    Raises:
        ArgumentError: there is no bound; (in a pass) nobody has collected a voltage.

    Example:
        >>> spikes, voltage = torch.zeros(1, 1, 2), torch.tensor([[[-2.0, 0.5]]])
        >>> MembraneExcursion(-1.0, 1.0)(LayerActivity("hidden", torch.nn.Identity(), None, spikes, voltage)).item()
        0.5
    """

    needs_voltage = True
    lower: Tensor | float | None
    upper: Tensor | float | None

    def __init__(self, lower: Tensor | float | None = None, upper: Tensor | float | None = None) -> None:
        super().__init__()
        check_bounds("MembraneExcursion", lower, upper)
        self.keep(lower=lower, upper=upper)

    def penalty(self, activity: LayerActivity) -> Tensor:
        if activity.voltage is None:
            problem, rule = f"{activity.name} has no voltage", "what a neuron compares with its threshold"
            way_out = "Collect with voltage=True, of a layer that has neurons or returns (spikes, ..., voltage)"
            raise ArgumentError(message("MembraneExcursion", problem, rule, None, way_out))
        return membrane_excursion(activity.voltage, self.lower, self.upper, lengths=activity.lengths)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


class TemporalSmoothness(ActivityPenalty):
    """Penalize changes of the activity from step to step, `functional.temporal_smoothness`.

    Args:
        time_constant: of the low-pass filter before, in steps, at least 0; None or 0 for none.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> spikes = torch.tensor([[[1.0, 0.0, 1.0, 0.0]]])
        >>> TemporalSmoothness()(LayerActivity("hidden", torch.nn.Identity(), None, spikes)).item()
        1.0
    """

    def __init__(self, time_constant: float | None = None) -> None:
        super().__init__()
        given = 0.0 if time_constant is None else time_constant
        self.time_constant = check_range("TemporalSmoothness", "time_constant", given, 0)

    def penalty(self, activity: LayerActivity) -> Tensor:
        return temporal_smoothness(activity.spikes, self.time_constant, lengths=activity.lengths)

    def extra_repr(self) -> str:
        return f"time_constant={self.time_constant:g}"


class Hoyer(ActivityPenalty):
    """Penalize activity that many neurons of a layer share, `functional.hoyer_penalty`.

    Example:
        >>> Hoyer()(LayerActivity("hidden", torch.nn.Identity(), None, torch.ones(1, 4, 3))).item()
        1.0
    """

    def penalty(self, activity: LayerActivity) -> Tensor:
        return hoyer_penalty(activity.spikes, lengths=activity.lengths)


class TrevesRolls(ActivityPenalty):
    """Penalize the share of a layer's neurons that are active, `functional.treves_rolls`.

    Example:
        >>> TrevesRolls()(LayerActivity("hidden", torch.nn.Identity(), None, torch.ones(1, 4, 3))).item()
        1.0
    """

    def penalty(self, activity: LayerActivity) -> Tensor:
        return treves_rolls(activity.spikes, lengths=activity.lengths)
