"""Small work for every kernel, through the public functions: both memory orders, both dtypes, ragged sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from slayerloss import functional as F
from slayerloss.kernels.backend import use_backend
from slayerloss.kernels.penalty_terms import KINDS, Term
from slayerloss.kernels.weight_penalty import sums

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


def adaptive(dtype: torch.dtype, time_first: bool) -> None:
    decays = torch.linspace(0.05, 0.4, 5, requires_grad=True), torch.linspace(0.03, 0.9, 5, requires_grad=True)
    for shape in ((3, 5, 2, 70), (3, 5, 1), (1, 5, 600), (2, 5, 103, 3)):
        back(*F.adaptive_threshold(signal(dtype, time_first, *shape), *decays, 0.5, 0.25))
        back(*F.adaptive_threshold(signal(dtype, time_first, *shape), decays[0][:1], 0.2, 0.5, 0.25))


def resonators(dtype: torch.dtype, time_first: bool) -> None:
    turn = torch.linspace(0.1, 0.6, 5, requires_grad=True), torch.linspace(0.7, 0.3, 5, requires_grad=True)
    for shape, threshold in (((3, 5, 2, 70), 0.5), ((3, 5, 1), None), ((2, 205, 33), 0.5), ((1, 5, 600), None)):
        turn_of_shape = turn if shape[1] == 5 else (0.4, 0.8)
        state = F.ResonatorState(*(signal(dtype, False, *shape[:-1]).mul(4096).round().div(4096) for _ in range(2)))
        parts = signal(dtype, time_first, *shape), signal(dtype, not time_first, *shape)
        back(*F.resonator(*parts, *turn_of_shape, threshold, state=state))
        for graded in (False, True):
            back(F.phase_spike(*parts, 0.5, tau=0.7, graded=graded, before=state.imag if graded else None))


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


def time_orders(dtype: torch.dtype, time_first: bool) -> None:
    for shape in ((3, 5, 70), (2, 41, 33), (1, 3, 4), (2, 9, 1100)):
        back(F.dense(signal(dtype, time_first, *shape), signal(dtype, False, 2, shape[1])))


def sigma_deltas(dtype: torch.dtype, time_first: bool) -> None:
    thresholds = torch.linspace(0.1, 1, 5, requires_grad=True)
    for shape in ((3, 5, 2, 70), (3, 5, 1), (1, 5, 600), (2, 5, 103, 3)):
        for cum_error in (False, True):
            x = signal(dtype, time_first, *shape)
            y, state = F.sigma_delta(x, thresholds, bias=thresholds, cum_error=cum_error)
            back(y, state.pre, F.delta(x, 0.5, cum_error=cum_error)[0], F.sigma(x, state=state.sigma.detach()))


def windows(dtype: torch.dtype, time_first: bool) -> None:
    lengths = torch.tensor([1, 40, 33])
    for window in (1, 20, 300):
        x = signal(dtype, time_first, 3, 7, 40)
        back(F.moving_window(x, window, lengths=lengths), F.moving_window(x, window, "sum", start="seen"))
        back(F.moving_window(x, window, start="seen"))
        F.moving_window(x.detach(), window, "max")
        F.moving_window(x.detach(), window, "max", start="seen", lengths=lengths)
    back(F.moving_window(signal(dtype, time_first, 1, 2, 900), 290))
    back(F.moving_window(signal(dtype, time_first, 1, 1030, 5), 3))


def low_passes(dtype: torch.dtype, time_first: bool) -> None:
    times = torch.linspace(1, 30, 5, requires_grad=True)
    for shape in ((3, 5, 2, 70), (3, 5, 1), (1, 5, 600), (2, 5, 103, 3)):
        state = signal(dtype, False, *shape[:-1], 2)
        back(F.exponential_filter(signal(dtype, time_first, *shape), times, 2, state=state))
        back(F.exponential_filter(signal(dtype, time_first, *shape), 5.0))


def spike_times(dtype: torch.dtype, time_first: bool) -> None:
    for shape, length in (((3, 5, 2, 70), 20), ((3, 5, 1), 100), ((1, 5, 1100), None), ((2, 515, 3), 2)):
        spikes, targets = (signal(dtype, first, *shape, spikes=True) for first in (time_first, False))
        lengths = torch.arange(shape[0]) + 1 if length == 2 else None
        back(F.spike_time(spikes, targets.detach().flip(0), 5.0, length, lengths=lengths))


def class_losses(dtype: torch.dtype, time_first: bool) -> None:
    lengths, weights = torch.tensor([1, 40, 33]), torch.linspace(0.5, 1.5, 7)
    for window, start in ((1, "zero"), (20, "seen"), (64, "zero")):
        given = {"moving_window": window, "start": start, "lengths": lengths, "class_weights": weights}
        labels = torch.tensor([2, 6, -1])
        for mode in ("probability", "softmax"):
            x = signal(dtype, time_first, 3, 7, 40, spikes=True)
            back(F.spike_max(x, labels, mode=mode, ignore_index=-1, label_smoothing=0.1, reduction="none", **given))
        back(F.spike_rate(signal(dtype, time_first, 3, 7, 40), labels, 0.2, 0.03, ignore_index=-1, **given))
    each_step = torch.arange(2 * 1100).reshape(2, 1100) % 5
    back(F.spike_moid(signal(dtype, time_first, 2, 5, 1100), each_step, 30, alpha=2.0, theta=0.1))
    back(F.spike_max(signal(dtype, time_first, 2, 1030, 5, spikes=True), torch.tensor([3, 1029]), 3))


def products(dtype: torch.dtype, time_first: bool) -> None:
    for channels, outputs, steps in ((70, 215, 300), (301, 77, 1100)):
        spikes = signal(dtype, time_first, 1, channels, steps, spikes=True)
        back(F.dense(spikes, signal(dtype, False, outputs, channels)))


def magnitudes(dtype: torch.dtype, time_first: bool) -> None:
    for shape in ((3, 5, 2, 70), (2, 300, 3, 33), (1, 5, 2600), (4, 7, 1)):
        back(F.rate_band(signal(dtype, time_first, *shape), 0.5, 0.6, lengths=torch.arange(shape[0]) % shape[-1] + 1))
        back(F.sparsity(signal(dtype, time_first, *shape, spikes=True)))


def weight_penalties(dtype: torch.dtype, time_first: bool) -> None:
    terms = [*map(Term, KINDS[:4]), *(Term(kind, -0.5, 0.25, 0.3) for kind in KINDS[4:])]
    for shape in ((3, 5, 70), (1, 2, 3), (3, 41, 600)):
        reference = signal(dtype, time_first, *shape).detach().flip(1)
        for compared in (reference, reference.sign().to(torch.int8)):
            back(sums(signal(dtype, time_first, *shape), terms, compared))
    back(sums(signal(dtype, time_first, 2, 3, 5), [Term("squared", 0.0, 1e-3, 1e-6), Term("expm1", upper=-9.0)]))


SCENARIOS: tuple[Scenario, ...] = (
    *(cuba, leaky, adaptive, resonators, delays, sparse_images, products, magnitudes),
    *(time_orders, sigma_deltas, windows, low_passes, spike_times, class_losses, weight_penalties),
)


def run_all() -> Iterator[str]:
    """Run them on the C++ kernels, one after the other; the name of each when it is done."""
    with use_backend("cpu"):
        for scenario in SCENARIOS:
            for dtype in (torch.float32, torch.float64):
                for time_first in (False, True):
                    scenario(dtype, time_first)
                    yield f"{scenario.__name__}, {dtype}, {'time first' if time_first else 'time last'}"
