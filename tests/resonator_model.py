"""The resonator twice more, written apart from the library, for the tests to compare with.

`integer_resonator` is Lava's arithmetic in Python's integers. `differentiable_resonator` is the definition of the
gradients: float64 autograd of the equations, with the integers as values.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LIMIT = 2**23 - 1


def toward_zero(product: np.ndarray) -> np.ndarray:
    return np.sign(product) * (np.abs(product) >> 12)


def integer_resonator(drive_real, drive_imag, sin, cos, threshold=None, real=0, imag=0):
    """int64 arrays (T, N, C, ...); sin, cos and the threshold are integers or arrays of them.

    Returns both parts before the reset.
    """
    steps = np.zeros((2, *drive_real.shape), np.int64)
    for t, (to_real, to_imag) in enumerate(zip(drive_real, drive_imag, strict=True)):
        turned_real = toward_zero(cos * real) - toward_zero(sin * imag) + to_real
        turned_imag = toward_zero(sin * real) + toward_zero(cos * imag) + to_imag
        real, imag = (np.clip(part, -LIMIT, LIMIT) for part in (turned_real, turned_imag))
        steps[:, t] = real, imag
        if threshold is not None:
            fired = imag >= threshold
            real, imag = np.where(fired, 0, real), np.where(fired, threshold - 1, imag)
    return steps


def with_value(smooth: Tensor, value: Tensor) -> Tensor:
    return value.detach() + (smooth - smooth.detach())


def differentiable_resonator(x_real, x_imag, sin, cos, threshold=None, state=None):
    """Both parts of (N, C, ..., T) float64 before the reset, and the state after the run."""
    channel = (-1, *[1] * (x_real.ndim - 3))
    sin, cos = (with_value(part, torch.round(part * 4096) / 4096).reshape(channel) for part in (sin, cos))
    re, im = (torch.zeros_like(x_real[..., 0]) for _ in range(2)) if state is None else state
    reals, imags = [], []
    for t in range(x_real.shape[-1]):
        smooth = cos * re - sin * im + x_real[..., t], sin * re + cos * im + x_imag[..., t]
        integers = (
            (torch.trunc(a.detach() * 4096) + sign * torch.trunc(b.detach() * 4096) + torch.trunc(x.detach() * 4096))
            for a, b, sign, x in (
                (cos * re, sin * im, -1, x_real[..., t]),
                (sin * re, cos * im, 1, x_imag[..., t]),
            )
        )
        re, im = (with_value(a, b.clamp(-LIMIT, LIMIT) / 4096) for a, b in zip(smooth, integers, strict=True))
        reals.append(re)
        imags.append(im)
        if threshold is not None:
            fires = (im >= threshold).double()
            re, im = re - (re * fires).detach(), im - ((im - threshold + 1 / 4096) * fires).detach()
    return torch.stack(reals, -1), torch.stack(imags, -1), (re, im)
