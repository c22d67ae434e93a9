"""SpikeMax: lava-dl's values where those are finite, and what the loss promises below one spike."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import ArgumentError, DtypeError
from slayerloss.functional import moving_window, rate, spike_max

# One of the three classes spikes in every window: with zeros before the start lava-dl is finite.
SPIKES = torch.tensor(
    [
        [[1, 1, 0, 0, 1, 0, 1, 0], [1, 0, 0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 1, 0, 1]],
        [[1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 1], [1, 1, 0, 0, 1, 0, 1, 0]],
    ]
)
LABELS = torch.tensor([0, 2])
STEP_LABELS = torch.tensor([[0, 0, 1, 1, 2, 2, 0, 1], [2, 2, 2, 1, 1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("window", "mode", "reduction", "expected"),
    [  # lava.lib.dl.slayer.loss.SpikeMax(window, mode, reduction)(SPIKES.float(), LABELS).item()
        (None, "probability", "sum", 1.9278931617736816),
        (None, "probability", "mean", 0.9639465808868408),
        (None, "softmax", "sum", 2.0908420085906982),
        (None, "softmax", "mean", 1.0454210042953491),
        (3, "probability", "sum", 14.950277328491211),
        (3, "probability", "mean", 0.9343923330307007),
        (3, "softmax", "sum", 16.86408233642578),
        (3, "softmax", "mean", 1.0540051460266113),
    ],
)
def test_values_of_lava_dl(window: int | None, mode: str, reduction: str, expected: float) -> None:
    assert spike_max(SPIKES, LABELS, window, mode, reduction).item() == pytest.approx(expected, rel=1e-6)


def test_a_label_for_every_step_where_lava_dl_is_infinite() -> None:
    # lava.lib.dl.slayer.loss.SpikeMax(3, "softmax")(SPIKES.float(), STEP_LABELS).item()
    softmax = spike_max(SPIKES, STEP_LABELS, 3, "softmax").item()
    assert softmax == pytest.approx(16.86408233642578, rel=1e-6)
    probability = spike_max(SPIKES, STEP_LABELS, 3, reduction="none")  # lava-dl: the sum is inf
    rates = moving_window(SPIKES, 3)
    true = rates.gather(1, STEP_LABELS[:, None]).squeeze(1)
    spiked = true > 0
    assert spiked.sum() == 14
    torch.testing.assert_close(probability[spiked], -(true / (rates.sum(1) + 1e-6)).log()[spiked])
    assert (probability[~spiked] > math.log(3) + 1).all()


def from_counts(counts: Tensor, num_steps: int) -> Tensor:
    """Spikes (N, C, T) in float64 with so many spikes, (N, C)."""
    return (torch.arange(num_steps) < counts[..., None]).double()


def by_rate(spikes: Tensor, labels: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """The loss of each sample, and its derivative by the rates, (N, C)."""
    spikes = spikes.clone().requires_grad_()
    loss = spike_max(spikes, labels, reduction="none", **options)
    loss.sum().backward()
    assert spikes.grad is not None
    return loss.detach(), spikes.grad[..., 0] * spikes.shape[-1]


@settings(max_examples=60, deadline=None)
@given(num_steps=st.integers(1, 400), num_classes=st.integers(1, 300), seed=st.integers(0, 9999))
def test_whole_spikes_have_bounded_gradients_that_raise_a_silent_true_class(
    num_steps: int, num_classes: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    most = torch.randint(num_steps + 1, (16, 1), generator=generator)  # some samples are quiet, some are busy
    counts = (torch.rand(16, num_classes, generator=generator) * (most + 1)).long()
    labels = torch.randint(num_classes, (16,), generator=generator)
    counts[0], counts[1, labels[1]] = 0, 0
    loss, grad = by_rate(from_counts(counts, num_steps), labels)
    true = grad.gather(1, labels[:, None]).squeeze(1)
    assert grad.abs().max() <= 3 * num_steps
    assert (true[counts.gather(1, labels[:, None]).squeeze(1) == 0] <= -num_steps).all()
    assert (true <= 1e-9).all()
    assert (grad.scatter(1, labels[:, None], 0.0) >= 0).all()
    assert (loss >= 0).all()


@pytest.mark.parametrize("num_classes", [1, 2, 3, 4, 10, 300])
def test_fractions_of_a_spike_have_the_documented_bound(num_classes: int) -> None:
    num_steps = 4
    true = torch.linspace(0, 1.2, 801, dtype=torch.float64) / num_steps
    spikes = torch.zeros(len(true), num_classes, num_steps, dtype=torch.float64)
    spikes[:, 0] = true[:, None]  # no other class: there the gradient is steepest
    largest = by_rate(spikes, torch.zeros(len(true), dtype=torch.int64))[1].abs().max().item()
    bound = num_steps * (1 + 2 * num_classes / math.sqrt(4 * num_classes - 1))
    assert largest <= bound
    if num_classes <= 3:
        assert largest <= 3 * num_steps
    if num_classes >= 2:
        assert largest >= 0.999 * bound  # the bound is tight


def test_loss_and_gradient_are_continuous_in_the_rates() -> None:
    num_steps, num_points = 20, 20001
    true = torch.linspace(0, 3, num_points, dtype=torch.float64) / num_steps
    for others in (0.0, 0.01, 0.4):
        spikes = torch.full((num_points, 5, num_steps), others, dtype=torch.float64)
        spikes[:, 2] = true[:, None]
        loss, grad = by_rate(spikes, torch.full((num_points,), 2))
        step = (true[1] - true[0]).item()
        assert loss.diff().abs().max() <= 3.4 * num_steps * step
        assert grad.diff(dim=0).abs().max() <= 20 * num_steps**2 * step  # a jump would be of the size of num_steps


def test_the_gradient_does_not_jump_at_one_spike_in_float32() -> None:
    grads = []
    for true in (1 - 1e-6, 1.0, 1 + 1e-6):
        spikes = torch.zeros(1, 3, 10)
        spikes[0, 0], spikes[0, 1, :4] = true / 10, 1.0
        grads.append(by_rate(spikes, torch.tensor([0]))[1])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grads[2], grads[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("num_steps", [1, 7, 300])
def test_a_silent_sample_costs_more_than_every_correctly_classified_one(num_classes: int, num_steps: int) -> None:
    generator = torch.Generator().manual_seed(num_classes * num_steps)
    silent = spike_max(torch.zeros(1, num_classes, num_steps, dtype=torch.float64), torch.tensor([0])).item()
    assert silent == pytest.approx(math.log(num_classes) + 1, rel=1e-3)
    # Rates (as one step of graded spikes repeated), whole numbers of spikes and not, ties with the true class included.
    rates = torch.rand(500, num_classes, dtype=torch.float64, generator=generator)
    rates = rates ** torch.linspace(0.01, 8, 500, dtype=torch.float64)[:, None]
    rates[::2] = (rates[::2] * num_steps).floor() / num_steps
    rates[250:] /= num_steps
    best = rates.argmax(1)
    rates[::5] = rates[::5].amax(1, keepdim=True)
    spikes = rates[..., None].expand(-1, -1, num_steps)
    spiking = rates.amax(1) > 0
    loss = spike_max(spikes, best, reduction="none")[spiking]
    assert (loss < silent).all()


def test_a_silent_network_learns() -> None:
    for window in (None, 5):
        spikes = torch.zeros(4, 10, 20, requires_grad=True)
        loss = spike_max(spikes, torch.tensor([0, 3, 3, 9]), window, reduction="mean")
        (grad,) = torch.autograd.grad(loss, spikes)
        assert loss.item() == pytest.approx(math.log(10) + 1, rel=1e-4)
        assert (grad[0, 0] < 0).all()
        assert (grad[0, 1:] > 0).all()


def test_one_spike_is_one_over_the_steps_behind_the_rate() -> None:
    one = torch.zeros(1, 2, 12)
    one[0, 0, 0] = 1.0
    label = torch.tensor([0])
    exactly_one = math.log1p(1e-6 * 12)
    assert spike_max(one, label).item() == pytest.approx(exactly_one, abs=1e-7)
    assert spike_max(one, label, lengths=torch.tensor([6])).item() == pytest.approx(math.log1p(6e-6), abs=1e-7)
    for start in ("zero", "seen"):  # a window that has the spike in it is certain, whatever the start divides by
        each = spike_max(one, label, 4, reduction="none", start=start)[0]
        assert each[:4].max() < 1e-5
        torch.testing.assert_close(each[4:], torch.full((8,), math.log(2) + 1), rtol=1e-5, atol=0)
    first = spike_max(torch.zeros(1, 2, 12), label, 4, reduction="none", start="seen")[0]
    torch.testing.assert_close(first, torch.full((12,), math.log(2) + 1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 0.0])])
def test_softmax_is_the_cross_entropy_of_torch_on_rates(
    reduction: str, smoothing: float, weights: Tensor | None
) -> None:
    labels = torch.tensor([1, -100])
    options = {"ignore_index": -100, "label_smoothing": smoothing}
    loss = spike_max(SPIKES, labels, None, "softmax", reduction, temperature=0.25, class_weights=weights, **options)
    expected = F.cross_entropy(rate(SPIKES) / 0.25, labels, weights, reduction=reduction, **options)
    torch.testing.assert_close(loss, expected)
    step_labels = STEP_LABELS.clone()
    step_labels[0, 3] = -100
    loss = spike_max(SPIKES, step_labels, 3, "softmax", reduction, temperature=0.25, class_weights=weights, **options)
    rates = moving_window(SPIKES, 3)
    torch.testing.assert_close(
        loss, F.cross_entropy(rates / 0.25, step_labels, weights, reduction=reduction, **options)
    )


def test_a_low_temperature_tells_the_classes_apart_and_stays_accurate() -> None:
    best = torch.zeros(1, 10, 50)  # as right as rates can be
    best[0, 3] = 1.0
    label, wrong = torch.tensor([3]), torch.tensor([0])
    assert spike_max(best, label, mode="softmax").item() == pytest.approx(math.log1p(9 / math.e), rel=1e-6)
    lower = spike_max(best, label, mode="softmax", temperature=0.1).item()
    assert lower == pytest.approx(math.log1p(9 * math.exp(-10)), rel=1e-3)
    assert spike_max(best, wrong, mode="softmax", temperature=1e-3).item() == pytest.approx(1000.0)


def test_label_smoothing_spreads_the_label_over_the_classes() -> None:
    counts = torch.tensor([[4, 0, 2, 1], [0, 0, 3, 1]])  # silent classes too
    spikes, labels = from_counts(counts, 9), torch.tensor([0, 1])
    of_class = [spike_max(spikes, torch.tensor([c, c]), reduction="none") for c in range(4)]
    expected = 0.8 * torch.stack([of_class[0][0], of_class[1][1]]) + 0.2 * torch.stack(of_class).mean(0)
    torch.testing.assert_close(spike_max(spikes, labels, reduction="none", label_smoothing=0.2), expected)
    assert by_rate(spikes, labels, label_smoothing=0.2)[1].abs().max() <= 3 * 9


def test_class_weights_weigh_samples_by_their_label() -> None:
    each = spike_max(SPIKES, LABELS, reduction="none")
    weighted = spike_max(SPIKES, LABELS, reduction="none", class_weights=[2.0, 5.0, 0.5])
    torch.testing.assert_close(weighted, each * torch.tensor([2.0, 0.5]))
    mean = spike_max(SPIKES, LABELS, reduction="mean", class_weights=[2.0, 5.0, 0.5])
    torch.testing.assert_close(mean, weighted.sum() / 2.5)
    torch.testing.assert_close(spike_max(SPIKES, LABELS, class_weights=torch.ones(3)), each.sum())


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"mode": "softmx"},
            ArgumentError,
            "mode is unknown; expected one of 'probability', 'softmax', got 'softmx'. Did",
        ),
        (
            {"temperature": 0.0, "mode": "softmax"},
            ArgumentError,
            "temperature is out of range; .* at least 1e-06, got 0",
        ),
        ({"temperature": 0.1}, ArgumentError, "temperature has no effect; .* mode='softmax'"),
        ({"label_smoothing": 1.5}, ArgumentError, r"label_smoothing is out of range; .* \[0, 1\], got 1.5"),
        ({"label_smoothing": "0.1"}, DtypeError, "label_smoothing is not a number"),
    ],
)
def test_bad_options(options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        spike_max(SPIKES, LABELS, **options)
