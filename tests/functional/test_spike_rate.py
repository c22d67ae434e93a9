"""SpikeRate: lava-dl's values, labels for every step, weights."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError
from slayerloss.functional import spike_rate

SPIKES = torch.tensor(
    [
        [[1, 1, 0, 0, 1, 0, 1, 0], [1, 0, 0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 1, 0, 1]],
        [[1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 1], [1, 1, 0, 0, 1, 0, 1, 0]],
    ]
)
LABELS = torch.tensor([0, 2])
STEP_LABELS = torch.tensor([[0, 0, 1, 1, 2, 2, 0, 1], [2, 2, 2, 1, 1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("window", "reduction", "expected"),
    [  # lava.lib.dl.slayer.loss.SpikeRate(0.6, 0.1, window, reduction)(SPIKES.float(), LABELS or STEP_LABELS).item()
        (None, "sum", 0.50062495470047),
        (None, "mean", 0.0834374949336052),
        (3, "sum", 5.0577778816223145),
        (3, "mean", 0.10537037253379822),
    ],
)
def test_values_of_lava_dl(window: int | None, reduction: str, expected: float) -> None:
    labels = LABELS if window is None else STEP_LABELS
    assert spike_rate(SPIKES, labels, 0.6, 0.1, window, reduction).item() == pytest.approx(expected, rel=1e-6)


def test_zero_at_the_target_rates_only() -> None:
    spikes = torch.zeros(1, 3, 10)
    spikes[0, 0, :6], spikes[0, 1:, 0] = 1, 1
    assert spike_rate(spikes, torch.tensor([0]), 0.6, 0.1).item() == pytest.approx(0, abs=1e-12)
    assert spike_rate(spikes, torch.tensor([1]), 0.6, 0.1).item() == pytest.approx(2 * 0.5**2)
    constant = torch.full((1, 3, 10), 0.1)
    constant[0, 0] = 0.6
    seen = spike_rate(constant, torch.tensor([0]), 0.6, 0.1, 4, start="seen")
    assert seen.item() == pytest.approx(0, abs=1e-12)
    assert spike_rate(constant, torch.tensor([0]), 0.6, 0.1, 4).item() > 0.1  # with zeros before the start


def test_a_sample_is_weighed_by_its_label_and_a_mean_is_over_its_rates() -> None:
    each = spike_rate(SPIKES, LABELS, 0.6, 0.1, reduction="none")
    weighted = spike_rate(SPIKES, LABELS, 0.6, 0.1, reduction="none", class_weights=[2.0, 5.0, 0.5])
    torch.testing.assert_close(weighted, each * torch.tensor([2.0, 0.5]))
    mean = spike_rate(SPIKES, LABELS, 0.6, 0.1, reduction="mean", class_weights=[2.0, 5.0, 0.5])
    torch.testing.assert_close(mean, weighted.sum() / (3 * 2.5))


@pytest.mark.parametrize(("true_rate", "false_rate", "name"), [(1.1, 0.1, "true_rate"), (0.6, -0.1, "false_rate")])
def test_bad_rates(true_rate: float, false_rate: float, name: str) -> None:
    with pytest.raises(ArgumentError, match=rf"spike_rate: {name} is out of range; expected a number in \[0, 1\]"):
        spike_rate(SPIKES, LABELS, true_rate, false_rate)
