"""What a spike does to the states of an adaptive threshold."""

from __future__ import annotations

from torch import Tensor

from slayerloss._check import check_range
from slayerloss.neuron.dynamics._units import after_spike

__all__ = ["persistent_ref_state", "persistent_th_state"]


def persistent_ref_state(ref_state: Tensor, spike: Tensor, th_state: Tensor) -> Tensor:
    """The refractory state that the next run starts from.

    r' = r + 2 theta [spike > 0]

    Args:
        ref_state, spike, th_state: of the last step, of one shape.

    Returns:
        Of that shape. The spikes count as constants.

    Example:
        >>> import torch
        >>> persistent_ref_state(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]))
        tensor([0.5000, 2.5000])
    """
    return ref_state + 2 * after_spike(spike, ref_state=ref_state, th_state=th_state) * th_state


def persistent_th_state(th_state: Tensor, spike: Tensor, th_step: float) -> Tensor:
    """The threshold that the next run starts from.

    theta' = theta + th_step [spike > 0]

    Args:
        th_state, spike: of the last step, of one shape.
        th_step: what a spike adds.

    Returns:
        Of that shape. The spikes count as constants.

    Example:
        >>> import torch
        >>> persistent_th_state(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0]), 0.5)
        tensor([1.0000, 1.5000])
    """
    check_range("dynamics", "th_step", th_step)
    return th_state + after_spike(spike, th_state=th_state) * th_step
