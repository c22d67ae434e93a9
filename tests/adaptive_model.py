"""The adaptive threshold twice more, written apart from the library, for the tests to compare with.

`integer_threshold` is lava-dl's arithmetic in numpy integers. `differentiable_threshold` is the definition of the
gradients: float64 autograd of the equations, with the integers as values and the spikes as constants.
"""

from __future__ import annotations

import numpy as np
import torch
from cuba_model import toward_zero, with_value


def integer_threshold(drive, threshold_decay, refractory_decay, base, step, theta=None, r=0, allowed=None):
    """theta, r and spikes of int64 arrays (T, N, C, ...), in state LSBs; decays are multiples of 1/4096."""
    theta, r = np.full(drive.shape[1:], base) if theta is None else theta, r + np.zeros(drive.shape[1:], np.int64)
    allowed = np.ones(drive.shape, dtype=bool) if allowed is None else allowed
    steps = np.zeros((3, *drive.shape), dtype=np.int64)
    for t, x in enumerate(drive):
        theta = toward_zero((theta - base) * (4096 - threshold_decay)) + base
        r = toward_zero(r * (4096 - refractory_decay))
        fires = ((x >= theta + r) & allowed[t]).astype(np.int64)
        steps[:, t] = theta, r, fires
        theta, r = theta + step * fires, r + 2 * theta * fires
    return steps


def differentiable_threshold(x, threshold_decay, refractory_decay, base, step, state, allowed=None):
    """theta and r of (N, C, ..., T) float64, and theta' and r' after the run; 1 is 4096 LSBs."""
    channel = (-1, *[1] * (x.ndim - 3))
    c, d = (
        with_value(decay, torch.round(decay * 4096) / 4096).reshape(channel)
        for decay in (threshold_decay, refractory_decay)
    )
    theta, r = state
    thetas, rs = [], []
    for t in range(x.shape[-1]):
        smooth = (1 - c) * (theta - base) + base, (1 - d) * r
        values = (
            torch.trunc((y - offset).detach() * 4096) / 4096 + offset
            for y, offset in zip(smooth, (base, 0), strict=True)
        )
        theta, r = (with_value(y, value) for y, value in zip(smooth, values, strict=True))
        fires = (x[..., t] >= theta + r).double()
        fires = fires if allowed is None else fires * allowed[..., t]
        thetas.append(theta)
        rs.append(r)
        theta, r = theta + step * fires, r + 2 * theta * fires
    return torch.stack(thetas, -1), torch.stack(rs, -1), theta, r
