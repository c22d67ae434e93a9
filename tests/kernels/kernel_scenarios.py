"""Small work for every kernel, through the public functions: both memory orders, both dtypes, ragged sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from slayerloss import functional as F
from slayerloss.kernels.backend import use_backend

Scenario = Callable[[torch.dtype, bool], object]


def signal(dtype: torch.dtype, time_first: bool, *shape: int, spikes: bool = False) -> Tensor:
    """(N, C, ..., T), the same numbers whenever the shape is the same; a leaf that wants its gradient."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    x = (x > 1).to(dtype) if spikes else x
    if time_first:
        x = x.movedim(-1, 0).contiguous().movedim(0, -1)
    return x.requires_grad_()


def back(*results: Tensor) -> None:
    """Send a gradient of changing numbers back from each result."""
    for number, result in enumerate(results):
        weight = torch.linspace(-1, 1 + number, result.numel(), dtype=result.dtype).reshape(result.shape)
        result.backward(weight, retain_graph=True)


def cuba(dtype: torch.dtype, time_first: bool) -> None:
    decays = torch.linspace(0.05, 0.4, 5, requires_grad=True), torch.linspace(0.03, 0.1, 5, requires_grad=True)
    for steps in (1, 70):
        x = signal(dtype, time_first, 3, 5, 2, steps)
        spikes, state = F.cuba(x, *decays, threshold=0.7, graded=steps == 1)
        back(spikes)
        F.cuba(x.detach(), 0.25, 0.03, threshold=0.7, state=state)
    back(F.cuba(signal(dtype, time_first, 2, 41, 33), 0.25, 0.03, threshold=0.7)[0])


def leaky(dtype: torch.dtype, time_first: bool) -> None:
    decay = torch.linspace(0.05, 0.4, 5, requires_grad=True)
    x = signal(dtype, time_first, 3, 5, 37)
    back(F.leaky_integrator(x, decay)[0], F.integrate_and_fire(x, decay, 0.7)[0])


def delays(dtype: torch.dtype, time_first: bool) -> None:
    for shape, longest in (((3, 5, 2, 70), 30.0), ((2, 41, 33), 63.0), ((2, 41, 90), 200.0), ((2, 7, 5, 1), 0.0)):
        times = torch.linspace(0, longest, shape[1]).requires_grad_()
        state = signal(dtype, time_first, *shape[:-1], 9)
        back(F.delay(signal(dtype, time_first, *shape), times, state=state))
        back(F.shift(signal(dtype, time_first, *shape), 2))


def sparse_images(dtype: torch.dtype, time_first: bool) -> None:
    spikes = signal(dtype, time_first, 2, 4, 9, 7, 6, spikes=True).detach().to_sparse()
    for geometry in ({"padding": (1, 2)}, {"stride": (2, 3), "dilation": (1, 2)}, {"groups": 2}):
        weight = signal(dtype, False, 22, 4 // geometry.get("groups", 1), 3, 2)
        back(F.conv(spikes, weight, **geometry))


SCENARIOS: tuple[Scenario, ...] = (cuba, leaky, delays, sparse_images)


def run_all() -> Iterator[str]:
    """Run them on the C++ kernels, one after the other; the name of each when it is done."""
    with use_backend("cpu"):
        for scenario in SCENARIOS:
            for dtype in (torch.float32, torch.float64):
                for time_first in (False, True):
                    scenario(dtype, time_first)
                    yield f"{scenario.__name__}, {dtype}, {'time first' if time_first else 'time last'}"
