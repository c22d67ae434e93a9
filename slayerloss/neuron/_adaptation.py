"""What the neurons with an adaptive threshold share: its parameters, its state, and its fields in a network file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_range
from slayerloss.functional.adaptive import AdaptiveState, adapted, adaptive_threshold
from slayerloss.kernels.reference import STATE_LIMIT
from slayerloss.neuron import _decay, base
from slayerloss.neuron._fields import field
from slayerloss.neuron.base import kept_state, whole

Decay = float | Sequence[float]


class AdaptiveNeuron(base.Neuron):
    """A neuron whose threshold rises with every spike; its state ends in `threshold` and `refractory`."""

    threshold_state = kept_state("threshold")
    refractory_state = kept_state("refractory")
    threshold_decay: torch.nn.Parameter
    refractory_decay: torch.nn.Parameter

    def _declare_adaptation(self, threshold_step: float, threshold_decay: Decay, refractory_decay: Decay) -> None:
        step = check_range("Neuron", "threshold_step", threshold_step, 0, STATE_LIMIT / self.lsb)
        self.threshold_step = int(step * self.scale) / self.scale
        for name, decay in (("threshold_decay", threshold_decay), ("refractory_decay", refractory_decay)):
            self._declare(name, _decay.stored(name, decay, jitter=0))  # as in lava-dl

    @property
    def adaptation_decays(self) -> tuple[Tensor, Tensor]:
        """The fractions of threshold and refractory state lost per step, (1,) or (C,) each; differentiable."""
        return _decay.to_decay(self.threshold_decay), _decay.to_decay(self.refractory_decay)

    @property
    def cx_threshold_decay(self) -> Any:
        """The threshold's decay as the chip holds it, in [0, 4096]: an int, or an array with one per channel."""
        return whole(self.adaptation_decays[0])

    @property
    def cx_refractory_decay(self) -> Any:
        """The refractory state's decay as the chip holds it, in [0, 4096]: an int, or an array with one per channel."""
        return whole(self.adaptation_decays[1])

    @property
    def v_th_step(self) -> int:
        """The threshold's step in weight LSBs, as the chip holds it."""
        return round(self.threshold_step * self.scale)

    @property
    def adaptation_params(self) -> dict[str, Any]:
        """The adaptive threshold in the fields of a network file."""
        return {
            "thDecay": self.cx_threshold_decay,
            "refDecay": self.cx_refractory_decay,
            "vThMant": self.v_th_mant,
            "vThStep": self.v_th_step,
        }

    def _adapt(
        self, x: Tensor, before: Sequence[Tensor | None], allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor, AdaptiveState]:
        """theta and r that the neuron compares x with, where a spike is allowed, and both after the last step."""
        threshold, refractory = before
        state = None if threshold is None or refractory is None else AdaptiveState(threshold, refractory)
        constants = self.threshold, self.threshold_step
        theta, r = adaptive_threshold(
            x, *self.adaptation_decays, *constants, allowed=allowed, state=state, scale=self.scale
        )
        last = [part.narrow(-1, part.shape[-1] - 1, 1) for part in (x, theta, r)]
        fires = last[0] >= last[1] + last[2]
        fires = fires if allowed is None else fires & allowed.narrow(-1, allowed.shape[-1] - 1, 1)
        return theta, r, adapted(last[1], last[2], fires, self.threshold_step)


def adaptation_arguments(device_params: dict[str, Any], scale: int, p_scale: int) -> dict[str, Any]:
    """The adaptive threshold's arguments of a neuron from the fields of a network file.

    Note:
        lava-dl takes the step from the threshold's field.
    """
    return {
        "threshold": field(device_params, "vThMant", scale),
        "threshold_step": field(device_params, "vThStep", scale),
        "threshold_decay": field(device_params, "thDecay", p_scale),
        "refractory_decay": field(device_params, "refDecay", p_scale),
    }
