"""The leaky integrator, `functional.leaky_integrator`, and with a threshold `functional.integrate_and_fire`."""

from __future__ import annotations

import math

from torch import Tensor

from slayerloss import functional
from slayerloss._check import check_range
from slayerloss.neuron.dynamics._units import after_spike, fraction, spread, weight_scale

__all__ = ["dynamics", "persistent_state"]


def dynamics(
    input: Tensor, decay: Tensor, state: Tensor, w_scale: int, threshold: float | None = None, debug: bool = False
) -> Tensor:
    """Integrate the input with a leak, and with a reset to zero where the threshold is reached.

    y[t] = (1 - decay / 4096) y'[t-1] + x[t];  y' = 0 where y >= threshold, else y

    Args:
        input: (N, C, ..., T).
        decay: integers in [0, 4096], (1,) or (C,).
        state: y' before the first step: one number, or (N, C, ...).
        w_scale: state LSBs per unit of the input.
        threshold: in units of the input; None, or none above 0, for no reset.
        debug: without effect.

    Returns:
        (N, C, ..., T), y before the reset. Differentiable with respect to input and decay.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> import torch
        >>> x = torch.ones(1, 1, 4)
        >>> dynamics(x, torch.tensor([0.0]), torch.zeros(1), 4096, threshold=2)
        tensor([[[1., 2., 1., 2.]]])

    Note:
        lava-dl's gradient with respect to the decay has the wrong sign, and is that of decay / 4096.
    """
    lost, scale, start = fraction("decay", decay), weight_scale(w_scale), spread("state", state, input)
    reset_at = -1 if threshold is None else check_range("dynamics", "threshold", threshold)
    if reset_at <= 0:
        return functional.leaky_integrator(input, lost, state=start, scale=scale)
    below = (math.ceil(reset_at * w_scale) - 0.5) / w_scale  # >= an integer is > half an integer less
    return functional.integrate_and_fire(input, lost, below, state=start, scale=scale)


def persistent_state(state: Tensor, spike: Tensor) -> Tensor:
    """The state that the next run starts from.

    y' = y [spike <= 0]

    Args:
        state, spike: of the last step, of one shape.

    Returns:
        Of that shape. The spikes count as constants.

    Example:
        >>> import torch
        >>> persistent_state(torch.tensor([0.5, 2.0]), torch.tensor([0.0, 1.0]))
        tensor([0.5000, 0.0000])
    """
    return state * (1 - after_spike(spike, state=state))
