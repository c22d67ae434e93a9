"""The same losses as the best compositions of plain torch operations that we know, several of each.

They give the values of slayerloss: `run.py` refuses to compare them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from libraries.losses import FALSE_RATE, LENGTH, TIME_CONSTANT, TRUE_RATE, Loss, loss_operation
from libraries.operation import Operation

Filter = Callable[[Tensor], Tensor]


def grouped_convolution(x: Tensor, taps: Tensor) -> Tensor:
    """y[t] = sum_k taps[k] x[t - k], as a convolution of every channel with itself."""
    kernel = taps.flip(0).expand(x.shape[1], 1, -1)
    return F.conv1d(F.pad(x, (len(taps) - 1, 0)), kernel, groups=x.shape[1])


def chunked_product(x: Tensor, taps: Tensor) -> Tensor:
    """The same as matrix products: chunks of the time, each with the one before it, times a band of the taps."""
    size = max(64, len(taps))
    num_steps = x.shape[-1]
    chunks = F.pad(x, (size, -num_steps % size)).unflatten(-1, (-1, size))
    pairs = torch.cat((chunks[..., :-1, :], chunks[..., 1:, :]), -1)
    lag = torch.arange(size, 2 * size) - torch.arange(2 * size).unsqueeze(1)
    band = torch.where((lag >= 0) & (lag < len(taps)), taps[lag.clamp(0, len(taps) - 1)], torch.zeros(()))
    return (pairs @ band).flatten(-2)[..., :num_steps]


def spectral_product(x: Tensor, taps: Tensor) -> Tensor:
    """The same as a product of spectra."""
    size = 1 << (x.shape[-1] + len(taps) - 2).bit_length()
    return torch.fft.irfft(torch.fft.rfft(x, size) * torch.fft.rfft(taps, size), size)[..., : x.shape[-1]]


def carried_product(x: Tensor, decay: float) -> Tensor:
    """y[t] = decay y[t - 1] + x[t]: products within chunks of 64 steps, and one for what they hand on."""
    size, num_steps = 64, x.shape[-1]
    chunks = F.pad(x, (0, -num_steps % size)).unflatten(-1, (-1, size))
    inside = chunks @ _powers(size, decay)
    number = chunks.shape[-2]
    handed = (inside[..., -1] @ _powers(number, decay**size))[..., :-1]
    later = torch.outer(torch.ones(1), decay ** torch.arange(1, size + 1.0))
    return (inside + F.pad(handed, (1, 0)).unsqueeze(-1) * later).flatten(-2)[..., :num_steps]


def _powers(size: int, decay: float) -> Tensor:
    """decay^(column - row) above the diagonal and on it."""
    lag = torch.arange(size) - torch.arange(size).unsqueeze(1)
    powers: Tensor = decay ** lag.clamp(min=0)
    return powers.triu()


def running_difference(x: Tensor, window: int) -> Tensor:
    """The mean over a window as a difference of running sums."""
    total = x.cumsum(-1)
    return (total - F.pad(total, (window, 0))[..., :-window]) / window


def pooled(x: Tensor, window: int) -> Tensor:
    """The mean over a window, by the pooling layer."""
    return F.avg_pool1d(F.pad(x, (window - 1, 0)), window, 1)


def _means(window: int | None) -> dict[str, Filter]:
    """Ways to the rates: of a window (N, C, T), or of the whole (N, C)."""
    if window is None:
        return {"mean": lambda x: x.mean(-1)}
    taps = torch.full((window,), 1 / window)
    return {
        "cumsum": lambda x: running_difference(x, window),
        "avg_pool1d": lambda x: pooled(x, window),
        "grouped conv1d": lambda x: grouped_convolution(x, taps),
        "chunked matmul": lambda x: chunked_product(x, taps),
    }


def spike_max(rates: Filter, mode: str | None, count: int | None) -> Loss:
    """SpikeMax of the rates."""

    def probability(spikes: Tensor, labels: Tensor) -> Tensor:
        r = rates(spikes)
        n = count or spikes.shape[-1]
        true = r.gather(1, labels.unsqueeze(1)).squeeze(1)
        missing = (1 / n - true).clamp(min=0)
        total = r.sum(1) + spikes.shape[1] * n * missing.square() + 1e-6
        return ((total / (true + missing)).log() + n * missing).sum()

    def softmax(spikes: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(rates(spikes), labels, reduction="sum")

    return softmax if mode == "softmax" else probability


def spike_rate(rates: Filter) -> Loss:
    """SpikeRate of the rates: all squared to the false rate, and what the true class has beside that."""

    def loss(spikes: Tensor, labels: Tensor) -> Tensor:
        r = rates(spikes)
        true = r.gather(1, labels.unsqueeze(1))
        return (r - FALSE_RATE).square().sum() + ((true - TRUE_RATE).square() - (true - FALSE_RATE).square()).sum()

    return loss


def spike_rate_dense(rates: Filter) -> Loss:
    """SpikeRate of the rates: mse_loss to a target of the same size."""

    def loss(spikes: Tensor, labels: Tensor) -> Tensor:
        r = rates(spikes)
        target = torch.full_like(r, FALSE_RATE).scatter_(1, labels.unsqueeze(1), TRUE_RATE)
        return F.mse_loss(r, target, reduction="sum")

    return loss


def spike_time(low_pass: Filter) -> Loss:
    """SpikeTime with a low-pass filter: it is linear, so that the difference is filtered once."""
    return lambda spikes, targets: low_pass(spikes - targets).square().sum()


def compositions(kind: str, window: int | None = None, mode: str | None = None) -> dict[str, Loss]:
    """All that we have of a loss."""
    if kind == "SpikeTime":
        taps = (torch.arange(LENGTH) / -TIME_CONSTANT).exp()
        return {
            "grouped conv1d": spike_time(lambda x: grouped_convolution(x, taps)),
            "chunked matmul": spike_time(lambda x: chunked_product(x, taps)),
            "carried matmul": spike_time(lambda x: carried_product(x, float(taps[1]))),
            "FFT": spike_time(lambda x: spectral_product(x, taps)),
        }
    ways = _means(window)
    if kind == "SpikeMax":
        return {name: spike_max(rates, mode, window) for name, rates in ways.items()}
    found = {f"{name}, gather": spike_rate(rates) for name, rates in ways.items()}
    first = next(iter(ways))
    return {**found, f"{first}, mse_loss": spike_rate_dense(ways[first])}


def composition(
    shape: Sequence[int], way: str, kind: str, window: int | None = None, mode: str | None = None
) -> Operation:
    """One of them."""
    return loss_operation(compositions(kind, window, mode)[way], kind, shape, window)


OPERATIONS = {"torch": composition}
