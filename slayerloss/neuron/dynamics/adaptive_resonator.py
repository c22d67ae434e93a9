"""The resonator whose threshold rises with every spike, `functional.resonator` and `functional.adaptive_threshold`."""

from __future__ import annotations

from torch import Tensor

from slayerloss.neuron.dynamics import adaptive_threshold, resonator
from slayerloss.neuron.dynamics._after_spike import persistent_ref_state, persistent_th_state

__all__ = ["dynamics", "persistent_ref_state", "persistent_th_state"]


def dynamics(
    real_input: Tensor,
    imag_input: Tensor,
    sin_decay: Tensor,
    cos_decay: Tensor,
    ref_decay: Tensor,
    th_decay: Tensor,
    real_state: Tensor,
    imag_state: Tensor,
    ref_state: Tensor,
    th_state: Tensor,
    th_scale: float,
    th0: float,
    w_scale: int,
    debug: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A resonator without reset, and the threshold and refractory state that its imaginary part raises.

    Args:
        real_input, imag_input, sin_decay, cos_decay, real_state, imag_state: as `resonator.dynamics`.
        ref_decay, th_decay, ref_state, th_state, th_scale, th0: as `adaptive_threshold.dynamics`.
        w_scale, debug: as both.

    Returns:
        Real part, imaginary part, theta and r, (N, C, ..., T) each. Differentiable with respect to the inputs and the
        decays; the spikes count as constants.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> import torch
        >>> x, zero, none = torch.tensor([[[0.0, 2.0]]]), torch.zeros(1), torch.tensor([0.0])
        >>> dynamics(0 * x, x, none, none, none, none, zero, zero, zero, zero + 1, 0.5, 1.0, 4096)[1:3]
        (tensor([[[0., 2.]]]), tensor([[[1., 1.]]]))

    Note:
        lava-dl has no gradients of threshold and refractory state.
    """
    real, imag = resonator.dynamics(
        real_input, imag_input, sin_decay, cos_decay, real_state, imag_state, w_scale, debug=debug
    )
    theta, r = adaptive_threshold.dynamics(imag, ref_state, ref_decay, th_state, th_decay, th_scale, th0, w_scale)
    return real, imag, theta, r
