"""SpikeMoid: lava-dl's values, targets of every kind, saturation."""

from __future__ import annotations

import math

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import spike_moid

SPIKES = torch.tensor(
    [
        [[1, 1, 0, 0, 1, 0, 1, 0], [1, 0, 0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 1, 0, 1]],
        [[1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 1], [1, 1, 0, 0, 1, 0, 1, 0]],
    ]
)
TARGETS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.5]])
OPTIONS = {"alpha": 0.2, "theta": 0.3}


@pytest.mark.parametrize(
    ("window", "reduction", "expected"),
    [  # lava.lib.dl.slayer.loss.SpikeMoid(window, reduction, 0.2, 0.3)(SPIKES.float(), TARGETS).item();
        # with a window TARGETS[..., None].repeat(1, 1, 8)
        (None, "sum", 4.396409034729004),
        (None, "mean", 0.7327348589897156),
        (3, "sum", 38.51797103881836),
        (3, "mean", 0.8024577498435974),
    ],
)
def test_values_of_lava_dl(window: int | None, reduction: str, expected: float) -> None:
    assert spike_moid(SPIKES, TARGETS, window, reduction, 0.2, 0.3).item() == pytest.approx(expected, rel=1e-6)
    if window is not None:
        repeated = TARGETS[..., None].repeat(1, 1, 8)
        assert spike_moid(SPIKES, repeated, window, reduction, 0.2, 0.3).item() == pytest.approx(expected, rel=1e-6)


def test_labels_bools_and_integers_are_targets() -> None:
    labels, one_hot = torch.tensor([0, 2]), torch.tensor([[True, False, False], [False, False, True]])
    for window in (None, 3):
        expected = spike_moid(SPIKES, one_hot.float(), window, **OPTIONS)
        for targets in (labels, labels.int(), one_hot, one_hot.int(), one_hot.double(), one_hot.half()):
            torch.testing.assert_close(spike_moid(SPIKES, targets, window, **OPTIONS), expected)


def test_a_label_or_a_target_for_every_step() -> None:
    labels = torch.tensor([[0, 0, 1, 1, 2, 2, 0, 1], [2, 2, 2, 1, 1, 0, 0, 0]])
    one_hot = torch.nn.functional.one_hot(labels, 3).transpose(1, 2)
    by_label = spike_moid(SPIKES, labels, 3, reduction="none", **OPTIONS)
    torch.testing.assert_close(by_label, spike_moid(SPIKES, one_hot, 3, reduction="none", **OPTIONS))
    torch.testing.assert_close(by_label, spike_moid(SPIKES, one_hot.float(), 3, reduction="none", **OPTIONS))


def test_targets_may_have_the_space_of_the_spikes() -> None:
    spikes, targets = SPIKES.repeat(1, 2, 1), TARGETS.repeat(1, 2)
    expected = spike_moid(spikes, targets, **OPTIONS)
    in_space, targets_in_space = spikes.reshape(2, 3, 2, 1, 8), targets.reshape(2, 3, 2, 1)
    torch.testing.assert_close(spike_moid(in_space, targets_in_space, **OPTIONS), expected)
    torch.testing.assert_close(spike_moid(in_space, targets, **OPTIONS), expected)
    windowed = spike_moid(spikes, targets, 3, **OPTIONS)
    torch.testing.assert_close(spike_moid(in_space, targets_in_space, 3, **OPTIONS), windowed)
    stepwise = targets_in_space[..., None].expand(in_space.shape)
    torch.testing.assert_close(spike_moid(in_space, stepwise, 3, **OPTIONS), windowed)


def test_single_targets_can_be_ignored_and_weighed() -> None:
    each = torch.stack([spike_moid(SPIKES[:, [c]], TARGETS[:, [c]], reduction="none", **OPTIONS) for c in range(3)], 1)
    masked = TARGETS.clone()
    masked[0, 1] = -1
    counted = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    loss = spike_moid(SPIKES, masked, ignore_index=-1, reduction="none", **OPTIONS)
    torch.testing.assert_close(loss, (each * counted).sum(1))
    weights = torch.tensor([1.0, 4.0, 0.5])
    mean = spike_moid(SPIKES, masked, ignore_index=-1, reduction="mean", class_weights=weights, **OPTIONS)
    torch.testing.assert_close(mean, (each * counted * weights).sum() / (counted * weights).sum())


def test_a_saturated_sigmoid_keeps_value_and_gradient() -> None:
    spikes = torch.ones(1, 1, 4, requires_grad=True)
    loss = spike_moid(spikes, torch.tensor([[0.0]]), alpha=1e-3)
    loss.backward()
    assert loss.item() == pytest.approx(1000.0)  # lava-dl: 100, and no gradient
    torch.testing.assert_close(spikes.grad, torch.full((1, 1, 4), 250.0))


def test_chance_is_log_two_for_every_class() -> None:
    assert spike_moid(torch.zeros(1, 3, 5), torch.tensor([[1.0, 0.0, 0.5]])).item() == pytest.approx(3 * math.log(2))


@pytest.mark.parametrize(
    ("targets", "window", "error", "text"),
    [
        (torch.ones(2), None, ShapeError, r"expected \(2, 3\), or integer labels \(2,\), got \(2,\)"),
        (torch.ones(2, 3, 8), None, ShapeError, r"targets has the wrong shape; expected \(2, 3\), or"),
        (
            torch.ones(2, 8),
            3,
            ShapeError,
            r"\(2, 3\) or \(2, 3, 8\), or integer labels \(2,\) or \(2, 8\), got \(2, 8\)",
        ),
        (
            torch.full((2, 3), 2),
            None,
            ArgumentError,
            r"targets is out of range; expected values in \[0, 1\], got 2 to 2",
        ),
        (torch.full((2, 3), torch.nan), None, ArgumentError, "targets is out of range"),
        (torch.tensor([0, 3]), None, ArgumentError, r"labels is out of range; expected values in \[0, 2\], got 0 to 3"),
        ([0, 1], None, DtypeError, "targets is not a tensor"),
    ],
)
def test_bad_targets(targets: torch.Tensor, window: int | None, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        spike_moid(SPIKES, targets, window)


def test_integers_that_may_be_targets_or_labels_are_refused() -> None:
    spikes, targets = torch.zeros(2, 5, 5), torch.ones(2, 5, dtype=torch.int64)
    with pytest.raises(ShapeError, match=r"may be \(N, C\) or \(N, T\); .* Use targets.float\(\) for \(N, C\)"):
        spike_moid(spikes, targets, 3)
    assert spike_moid(spikes, targets.float(), 3).item() == pytest.approx(50 * math.log(2))
    assert spike_moid(spikes, targets).item() == pytest.approx(10 * math.log(2))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"alpha": 0.0}, "alpha is out of range; .* at least 1e-06, got 0"),
        ({"theta": float("nan")}, "theta is out of range"),
    ],
)
def test_bad_options(options: dict[str, float], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        spike_moid(SPIKES, TARGETS, **options)
