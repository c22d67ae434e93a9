"""The resonator, `functional.resonator`."""

from __future__ import annotations

from torch import Tensor

from slayerloss import functional
from slayerloss._check import check_range
from slayerloss.neuron.dynamics._units import after_spike, fraction, spread, weight_scale

__all__ = ["dynamics", "persistent_imag_state", "persistent_real_state"]


def dynamics(
    real_input: Tensor,
    imag_input: Tensor,
    sin_decay: Tensor,
    cos_decay: Tensor,
    real_state: Tensor,
    imag_state: Tensor,
    w_scale: int,
    threshold: float | None = None,
    debug: bool = False,
) -> tuple[Tensor, Tensor]:
    """Turn and shrink a complex state in every step, with a reset where the imaginary part reaches the threshold.

    z[t] = (cos_decay + i sin_decay) / 4096 z'[t-1] + x[t];  z' = i (threshold - 1/w_scale) where imag(z) >= threshold

    Args:
        real_input, imag_input: (N, C, ..., T), the parts of x.
        sin_decay, cos_decay: integers in [0, 4096], (1,) or (C,).
        real_state, imag_state: the parts of z' before the first step: one number each, or (N, C, ...).
        w_scale: state LSBs per unit of the input.
        threshold: in units of the input; None, or one below 0, for no reset.
        debug: without effect.

    Returns:
        The real and the imaginary part of z before the reset, (N, C, ..., T) each. Differentiable with respect to the
        inputs and the decays.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> import torch
        >>> x, zero = torch.tensor([[[1.0, 0.0, 0.0]]]), torch.zeros(1)
        >>> dynamics(x, 0 * x, torch.tensor([2048.0]), torch.tensor([0.0]), zero, zero, 4096)
        (tensor([[[ 1.0000,  0.0000, -0.2500]]]), tensor([[[0.0000, 0.5000, 0.0000]]]))

    Note:
        lava-dl's gradient with respect to a decay is that of decay / 4096. A threshold between two LSBs counts as the
        upper one; lava-dl resets to two LSBs below it.
    """
    turn, scale = (fraction("sin_decay", sin_decay), fraction("cos_decay", cos_decay)), weight_scale(w_scale)
    state = functional.ResonatorState(
        spread("real_state", real_state, real_input), spread("imag_state", imag_state, imag_input)
    )
    reset_at = None if threshold is None or check_range("dynamics", "threshold", threshold) < 0 else threshold
    return functional.resonator(real_input, imag_input, *turn, reset_at, state=state, scale=scale)


def persistent_real_state(real_state: Tensor, spike: Tensor) -> Tensor:
    """The real part that the next run starts from: 0 after a spike.

    Args:
        real_state, spike: of the last step, of one shape.

    Returns:
        Of that shape. The spikes count as constants.

    Example:
        >>> import torch
        >>> persistent_real_state(torch.tensor([0.5, 2.0]), torch.tensor([0.0, 1.0]))
        tensor([0.5000, 0.0000])
    """
    return real_state * (1 - after_spike(spike, real_state=real_state))


def persistent_imag_state(imag_state: Tensor, spike: Tensor, threshold: float, scale: int) -> Tensor:
    """The imaginary part that the next run starts from: one LSB below the threshold after a spike.

    Args:
        imag_state, spike: of the last step, of one shape.
        threshold: of the spike.
        scale: state LSBs per unit.

    Returns:
        Of that shape. The spikes count as constants.

    Example:
        >>> import torch
        >>> persistent_imag_state(torch.tensor([0.5, 2.0]), torch.tensor([0.0, 1.0]), 1.0, 64)
        tensor([0.5000, 0.9844])
    """
    check_range("dynamics", "threshold", threshold)
    check_range("dynamics", "scale", scale, 0, low_open=True)
    spikes = after_spike(spike, imag_state=imag_state)
    return spikes * (threshold - 1 / scale) + (1 - spikes) * imag_state
