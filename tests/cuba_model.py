"""The CUBA neuron twice more, written apart from the library, for the tests to compare with.

`integer_cuba` is Lava's arithmetic in numpy integers. `differentiable_cuba` is the definition of the gradients: float64
autograd of the equations, with the integers as values.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def toward_zero(product: np.ndarray) -> np.ndarray:
    return np.sign(product) * (np.abs(product) >> 12)


def wrapped(u: np.ndarray) -> np.ndarray:
    u = np.where(u > 2**23, u - 2**24, u)
    return np.where(u <= -(2**23), u + 2**24, u)


def integer_cuba(drive, current_decay, voltage_decay, threshold, u=0, v=0, feedback=None, bias=0):
    """Lava's PyLifModelBitAcc on int64 arrays (T, N, C, ...); decays and threshold are integers or arrays of them.

    `drive` is what the synapses deliver, and `bias` what the voltage is given each step, both already times 64. Returns
    u, v before the reset, and spikes.
    """
    steps = np.zeros((3, *drive.shape), dtype=np.int64)
    spikes = np.zeros(drive.shape[1:], dtype=np.int64)
    for t, a in enumerate(drive):
        if feedback is not None:
            a = a + 64 * (spikes @ feedback.T)
        u = wrapped(toward_zero(u * (4096 - current_decay)) + a)
        v = np.clip(toward_zero(v * (4096 - voltage_decay)) + u + bias, -(2**23 - 1), 2**23 - 1)
        spikes = (v > threshold).astype(np.int64)
        steps[:, t] = u, v, spikes
        v = np.where(spikes, 0, v)
    return steps


def with_value(smooth: Tensor, value: Tensor) -> Tensor:
    """The value of one tensor and the gradient of another."""
    return value.detach() + (smooth - smooth.detach())


def cut(x: Tensor) -> Tensor:
    return torch.trunc(x.detach() * 4096)


def differentiable_cuba(
    x, current_decay, voltage_decay, threshold, tau, scale, graded=False, state=None, feedback=None, bias=None
):
    """Spikes, current and voltage of (N, C, ..., T) float64, and the state (current, voltage, spikes) after the run."""
    channel = (-1, *[1] * (x.ndim - 3))
    a, b = (
        with_value(decay, torch.round(decay * 4096) / 4096).reshape(channel) for decay in (current_decay, voltage_decay)
    )
    u, v, s = state if state is not None else [torch.zeros_like(x[..., 0])] * 3
    bias = x.new_zeros(()) if bias is None else bias
    spikes, currents, voltages = [], [], []
    for t in range(x.shape[-1]):
        heard = x[..., t] if feedback is None else x[..., t] + s @ feedback.T
        u_value = cut((1 - a) * u) + cut(heard)
        u_value = u_value - 2**24 * (u_value > 2**23) + 2**24 * (u_value <= -(2**23))
        u = with_value((1 - a) * u + heard, u_value / 4096)
        v_value = (cut((1 - b) * v) + u_value + cut(bias)).clamp(-(2**23 - 1), 2**23 - 1)
        v = with_value((1 - b) * v + u + bias, v_value / 4096)
        fires = (v > threshold).double()
        if graded:
            slope = scale * torch.exp((v.detach() - threshold).clamp(max=0) / tau)
            s = with_value(slope * v, fires * v)
        else:
            slope = scale / (2 * tau) * torch.exp(-(v.detach() - threshold).abs() / tau)
            s = with_value(slope * v, fires)
        spikes.append(s)
        currents.append(u)
        voltages.append(v)
        v = v - (v * fires).detach()
    return *(torch.stack(steps, -1) for steps in (spikes, currents, voltages)), (u, v, s)
