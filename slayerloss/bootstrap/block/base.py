"""What the blocks with two ways of computing share."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

from slayerloss._check import ArgumentError, check_events, check_lengths, check_type, message
from slayerloss.block import SpikingBlock
from slayerloss.bootstrap.ann_sampler import AnnSampler
from slayerloss.bootstrap.routine import Mode
from slayerloss.functional.rate import rate

__all__ = ["AbstractBlock", "Mode"]


class AbstractBlock(SpikingBlock):
    """A spiking block that can also compute with rates, as its `mode` says.

    SNN, SAMPLE: s = neuron(synapse(x)), step by step; ANN, FIT: r = f(synapse(rate of x)), the same in every step

    Mixed into a block of `slayerloss.block`, whose arguments it takes.

    Attributes:
        f: the `AnnSampler`, which is the activation.

    Raises:
        ArgumentError: the block has an axonal delay, which says nothing to rates, or no neuron.

    Example:
        >>> from slayerloss.bootstrap.block import cuba
        >>> block = cuba.Dense(dict(threshold=1, current_decay=1, voltage_decay=0), 4, 2)
        >>> isinstance(block, AbstractBlock), block.f
        (True, AnnSampler())
    """

    f: AnnSampler

    def __init__(self, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        name = type(self).__name__
        if self.neuron is None:
            raise ArgumentError(message(name, "there is no neuron", "neuron_params", "None"))
        if self.delay is not None:
            raise ArgumentError(message(name, "rates know no axonal delay", "delay=False", "True"))
        self.f = AnnSampler()
        self._samples = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Show the arguments of the block that it is made from, or of a constructor of its own."""
        super().__init_subclass__(**arguments)
        made_by: Any = next(base for base in cls.__mro__ if "__init__" in vars(base) and base is not AbstractBlock)
        _, *parameters = inspect.signature(made_by.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]

    def fit(self) -> None:
        """Fit the activation to what has been sampled, and forget half of that."""
        self.f.fit()
        self.f.soft_clear()

    def forward(  # type: ignore[override]  # the mode comes second in lava-dl
        self, x: Tensor, mode: Mode = Mode.ANN, lengths: Tensor | None = None
    ) -> Any:
        """(N, C, ..., T) in and out: spikes, or in ANN and FIT rates that are the same in every step.

        `lengths` (N,) are the steps of each sample of a padded batch that count.
        """
        name = type(self).__name__
        check_type(name, "mode", mode, Mode, "a bootstrap.Mode")
        if mode is Mode.FIT:
            self.fit()
        if mode in (Mode.FIT, Mode.ANN):
            return self._forward_ann(x, lengths)
        self._samples = mode is Mode.SAMPLE
        try:
            return super().forward(x, lengths)
        finally:
            self._samples = False

    def _forward_ann(self, x: Tensor, lengths: Tensor | None) -> Any:
        check_events(type(self).__name__, x, "x")
        if lengths is not None:
            check_lengths(type(self).__name__, lengths, x)
        z = self.drive(rate(x, lengths=lengths).unsqueeze(-1))
        y = self.activation(z).expand(*z.shape[:-1], x.shape[-1])
        self.input_shape, self.shape = x.shape[1:-1], y.shape[1:-1]
        return (y, self.log(y, lengths)) if self.count_log else y

    def activation(self, z: Tensor) -> Tensor:
        """The neurons' rates (N, C, ..., 1) of a constant weighted input."""
        norm, drop = self.neuron.norm, self.neuron.drop
        if norm is not None:  # it acts on the current, here on what that settles at
            current_decay = self.neuron.decays[0].clamp(min=1 / self.neuron.p_scale)
            z = norm(z / current_decay.reshape(-1, *[1] * (z.ndim - 2)))
        rates = self.f(z)
        return rates if drop is None else drop(rates)

    def respond(self, z: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        """The neurons' spikes and their state after them; what they heard and said is sampled if it shall be."""
        if not self._samples:
            return super().respond(z, state, lengths)
        current, voltage, after = self.neuron.run_dynamics(z, state, lengths)
        fired = voltage.detach() > self.neuron.threshold
        spikes = voltage.where(fired, 0) if self.neuron.graded_spike else fired.to(voltage.dtype)
        heard = z if self.neuron.norm is None else current
        if self.delay_shift is True and z.shape[-1] > 1:  # nothing can arrive in the first step
            spikes, heard = spikes[..., 1:], heard[..., 1:]
            lengths = None if lengths is None else (lengths - 1).clamp(min=1)
        self.f.append(spikes, heard, lengths)
        return self.neuron.spike(voltage), after
