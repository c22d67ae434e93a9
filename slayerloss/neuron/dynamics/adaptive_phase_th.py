"""The adaptive threshold of a neuron that spikes at a phase, `functional.adaptive_threshold`."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss import functional
from slayerloss._check import check_events, check_same_shape
from slayerloss.neuron.dynamics._after_spike import persistent_ref_state, persistent_th_state
from slayerloss.neuron.dynamics._units import fraction, spread, weight_scale

__all__ = ["dynamics", "persistent_ref_state", "persistent_th_state"]


def dynamics(
    re_input: Tensor,
    im_input: Tensor,
    im_state: Tensor,
    ref_state: Tensor,
    ref_decay: Tensor,
    th_state: Tensor,
    th_decay: Tensor,
    th_scale: float,
    th0: float,
    w_scale: int,
    debug: bool = False,
) -> tuple[Tensor, Tensor]:
    """As `adaptive_threshold.dynamics`, with spikes only where the imaginary part comes up through zero.

    s[t] = [real[t] >= theta[t] + r[t]] [imag[t] >= 0] [imag[t-1] < 0], on the chip's integers

    Args:
        re_input, im_input: (N, C, ..., T), the parts of the state of a resonator.
        im_state: the imaginary part before the first step: one number, or (N, C, ...).
        ref_state, ref_decay, th_state, th_decay, th_scale, th0, w_scale, debug: as `adaptive_threshold.dynamics`.

    Returns:
        theta and r, (N, C, ..., T) each. Differentiable with respect to the decays; the spikes count as constants.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> re, im = torch.tensor([[[9.0, 9.0, 9.0]]]), torch.tensor([[[-1.0, 1.0, 1.0]]])
        >>> zero, none = torch.zeros(1), torch.tensor([0.0])
        >>> dynamics(re, im, zero, zero, none, torch.ones(1), none, 0.5, 1.0, 4096)
        (tensor([[[1.0000, 1.0000, 1.5000]]]), tensor([[[0., 0., 2.]]]))

    Note:
        lava-dl has no gradients here.
    """
    check_events("dynamics", re_input, "re_input")
    check_events("dynamics", im_input, "im_input")
    check_same_shape("dynamics", "im_input", im_input, "re_input", re_input)
    state = functional.AdaptiveState(spread("th_state", th_state, re_input), spread("ref_state", ref_state, re_input))
    decays, scale = (fraction("th_decay", th_decay), fraction("ref_decay", ref_decay)), weight_scale(w_scale)
    before = spread("im_state", im_state, im_input).unsqueeze(-1)
    imag = (w_scale * torch.cat((before, im_input), -1)).trunc()
    comes_up = (imag.narrow(-1, 1, im_input.shape[-1]) >= 0) & (imag.narrow(-1, 0, im_input.shape[-1]) < 0)
    return functional.adaptive_threshold(re_input, *decays, th0, th_scale, allowed=comes_up, state=state, scale=scale)
