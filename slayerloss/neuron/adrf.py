"""The resonate-and-fire neuron with an adaptive threshold (ADRF), which spikes at a phase of its oscillation."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from slayerloss.functional.delay import shift
from slayerloss.functional.spike import phase_spike
from slayerloss.neuron._adaptive_resonator import AdaptiveResonator, AdrfState, adaptive_resonator_arguments

__all__ = ["AdrfState", "Neuron", "neuron_params"]


def neuron_params(device_params: dict[str, Any], scale: int = 64, p_scale: int = 4096) -> dict[str, Any]:
    """The arguments of a neuron from its fields in a network file.

    Args:
        device_params: as `Neuron.device_params`.
        scale: weight LSBs per unit.
        p_scale: LSBs of a decay per unit.

    Returns:
        Arguments of `Neuron`.

    Example:
        >>> neuron = Neuron(1.0, 0.5, period=8, decay=0.1, threshold_decay=0.25, refractory_decay=0.5)
        >>> params = neuron_params(neuron.device_params)
        >>> params["threshold_step"], round(float(params["period"]), 2), round(float(params["decay"]), 2)
        (0.5, 8.0, 0.1)

    Note:
        lava-dl's fails.
    """
    return adaptive_resonator_arguments(device_params, scale, p_scale)


class Neuron(AdaptiveResonator):
    """A population of ADRF neurons, in the chip's integers: they spike at phase zero, and raise their threshold.

    z[t] = (1 - decay) exp(2 pi i / period) z[t-1] + norm(x[t]);
    s[t] = real(z[t]) >= theta[t] + r[t] and imag(z[t]) >= 0 and imag(z[t-1]) < 0, where theta and r are those of
    `slayerloss.functional.adaptive_threshold`.

    Args:
        threshold: what theta starts from and relaxes to; cut to multiples of 1/scale, as the chip holds it.
        threshold_step: what a spike adds to theta; likewise cut.
        period: steps per turn, at least 4; with `shared_param=False` also (lowest, highest).
        decay, threshold_decay, refractory_decay: the fraction of z, of the rise of theta and of r lost per step, in
            [0, 1]; with `shared_param=False` also (lowest, highest).
        tau_grad: width of the surrogate gradient, in units of 100 thresholds.
        scale_grad: height of the surrogate gradient, in tenths.
        scale: weight LSBs per unit.
        norm: a class such as `norm.MeanOnlyBatchNorm`, applied to both parts of the input.
        dropout: an instance of `Dropout`, applied to the spikes.
        shared_param: one value of each parameter for all neurons; False has one per channel.
        persistent_state: go on from the last run's state until `reset_state`.
        requires_grad: learn period and decays.
        graded_spike: a spike carries the real part.
        log_init: periods per channel divide their range evenly by their logarithm; False draws frequencies uniformly.
        channels: C, if parameters per channel are to be drawn now; None to draw them at the first run.

    Raises:
        ArgumentError, DtypeError: a value out of range.

    Example:
        >>> import torch
        >>> neuron = Neuron(0.5, 0.5, period=4, decay=0.05, threshold_decay=0.1, refractory_decay=0.5)
        >>> x = torch.tensor([[[1.0, 0, 0, 0, 0, 0, 0, 0, 0]]])
        >>> neuron((x, torch.zeros_like(x)))  # without the adaptation there is one more, at the end
        tensor([[[0., 0., 0., 0., 1., 0., 0., 0., 0.]]])

    Note:
        Period and decays are held as logarithms. State dicts of lava-dl are converted when they are loaded. lava-dl
        does not learn the decays of the threshold and of the refractory state; here they learn.
    """

    device_type = "ADRF_PHASE"

    def _met(self, real: Tensor, imag: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        earlier = shift(imag, 1, state=None if before is None else before[..., None])
        return real, (imag >= 0) & (earlier < 0)

    def _spikes(self, real: Tensor, imag: Tensor, threshold: Tensor, before: Tensor | None) -> Tensor:
        surrogate: dict[str, Any] = {"tau": self.tau, "scale": self.grad_scale, "graded": self.graded_spike}
        return phase_spike(self.shown(real), imag, threshold, before=before, **surrogate)
