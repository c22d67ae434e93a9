"""The threshold that rises with every spike, `functional.adaptive_threshold`."""

from __future__ import annotations

from torch import Tensor

from slayerloss import functional
from slayerloss.neuron.dynamics._after_spike import persistent_ref_state, persistent_th_state
from slayerloss.neuron.dynamics._units import fraction, spread, weight_scale

__all__ = ["dynamics", "persistent_ref_state", "persistent_th_state"]


def dynamics(
    input: Tensor,
    ref_state: Tensor,
    ref_decay: Tensor,
    th_state: Tensor,
    th_decay: Tensor,
    th_scale: float,
    th0: float,
    w_scale: int,
    debug: bool = False,
) -> tuple[Tensor, Tensor]:
    """The threshold and the refractory state, both raised by every step in which the input reaches their sum.

    theta[t] = (1 - th_decay / 4096) (theta'[t-1] - th0) + th0;  r[t] = (1 - ref_decay / 4096) r'[t-1];
    s = x >= theta + r;  theta' = theta + th_scale s;  r' = r + 2 theta s

    Args:
        input: (N, C, ..., T), what is compared, such as a voltage.
        ref_state, th_state: r' and theta' before the first step: one number each, or (N, C, ...).
        ref_decay, th_decay: integers in [0, 4096], (1,) or (C,).
        th_scale: what a spike adds to the threshold.
        th0: what the threshold relaxes to.
        w_scale: state LSBs per unit of the input.
        debug: without effect.

    Returns:
        theta and r, (N, C, ..., T) each. Differentiable with respect to the decays; the spikes count as constants.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> import torch
        >>> x, half = torch.tensor([[[1.0, 2.5, 2.5]]]), torch.tensor([2048.0])
        >>> dynamics(x, torch.zeros(1), half, torch.ones(1), half, 0.5, 1.0, 4096)
        (tensor([[[1.0000, 1.2500, 1.3750]]]), tensor([[[0.0000, 1.0000, 1.7500]]]))

    Note:
        lava-dl has no gradients here.
    """
    state = functional.AdaptiveState(spread("th_state", th_state, input), spread("ref_state", ref_state, input))
    decays, scale = (fraction("th_decay", th_decay), fraction("ref_decay", ref_decay)), weight_scale(w_scale)
    return functional.adaptive_threshold(input, *decays, th0, th_scale, state=state, scale=scale)
