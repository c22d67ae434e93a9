"""SpikeTime: lava-dl's values, the Oxford output, the filter's options, gradients for both arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import spike_time

SPIKES = torch.tensor(
    [
        [[1, 1, 0, 0, 1, 0, 1, 0], [1, 0, 0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 1, 0, 1]],
        [[1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 1], [1, 1, 0, 0, 1, 0, 1, 0]],
    ]
)


@pytest.mark.parametrize(
    ("time_constant", "length", "order", "total", "mean"),
    [  # lava.lib.dl.slayer.loss.SpikeTime(time_constant, length, order, reduction)(SPIKES.float(), SPIKES.flip(-1))
        (5, 100, 1, 33.0243034362793, 0.6880063414573669),
        (2, 100, 2, 53.937259674072266, 1.1236928701400757),
        (5, 4, 3, 831.442138671875, 17.32171058654785),
    ],
)
def test_values_of_lava_dl(time_constant: float, length: int, order: int, total: float, mean: float) -> None:
    desired = SPIKES.flip(-1)
    assert spike_time(SPIKES, desired, time_constant, length, order).item() == pytest.approx(total, rel=1e-6)
    assert spike_time(SPIKES, desired, time_constant, length, order, "mean").item() == pytest.approx(mean, rel=1e-6)


def test_oxford_output(shared: Path) -> None:
    path = shared / "golden" / "slayer" / "oxford.npz"
    if not path.is_file():
        pytest.skip(f"no golden values: {path} is missing")
    with np.load(path) as golden:
        output, target, loss = (torch.from_numpy(golden[key]) for key in ("output", "target", "loss"))
    assert output.dtype == torch.uint8
    ours = spike_time(output, target, time_constant=2, filter_order=2)
    assert ours.item() == pytest.approx(loss.item(), rel=1e-6)
    assert loss.item() == pytest.approx(44013.24, abs=0.01)


def test_against_a_sum_of_kernels() -> None:
    spikes, desired = SPIKES.double(), SPIKES.roll(1, 0).double()
    decay = torch.exp(torch.tensor(-1 / 3.0, dtype=torch.float64))
    lag = torch.arange(8)[:, None] - torch.arange(8)
    for order, length, gain in ((1, None, 1.0), (2, None, 1.0), (2, 3, 1.0), (1, None, (1 - decay))):
        response = (decay**lag) * (lag + 1) ** (order - 1) * (lag >= 0)
        if length is not None:
            response = response * (lag < length)
        expected = ((spikes - desired) @ (gain * response).T).square().sum()
        normalize = None if gain == 1.0 else "area"
        ours = spike_time(spikes, desired, 3.0, length, order, normalize=normalize)
        torch.testing.assert_close(ours, expected)


def test_zero_at_the_target_symmetric_and_positive_elsewhere() -> None:
    assert spike_time(SPIKES, SPIKES).item() == 0
    assert spike_time(SPIKES, SPIKES.float()).item() == 0
    other = SPIKES.flip(0)
    assert spike_time(SPIKES, other).item() > 0
    torch.testing.assert_close(spike_time(SPIKES, other), spike_time(other, SPIKES))


def test_later_spikes_cost_more_up_to_the_filter() -> None:
    spikes = torch.zeros(1, 1, 60)
    spikes[..., 5] = 1
    costs = [spike_time(spikes, spikes.roll(shift, -1)).item() for shift in (1, 2, 5, 20)]
    assert costs == sorted(costs)


def test_a_long_time_constant_is_cut_unless_length_is_none() -> None:
    spikes = torch.zeros(1, 1, 1000)
    spikes[..., 0] = 1
    cut = spike_time(spikes, torch.zeros_like(spikes), 100.0).item()
    whole = spike_time(spikes, torch.zeros_like(spikes), 100.0, None).item()
    assert cut == pytest.approx((1 - np.exp(-2)) / (1 - np.exp(-0.02)), rel=1e-5)
    assert whole == pytest.approx(1 / (1 - np.exp(-0.02)), rel=1e-5)


def test_gradients_for_both_arguments() -> None:
    spikes, desired = (x.double().requires_grad_() for x in (SPIKES, SPIKES.flip(-1)))
    assert torch.autograd.gradcheck(lambda s, d: spike_time(s, d, 2.0, 4, 2, "mean"), (spikes, desired))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"time_constant": 0.0}, ArgumentError, r"time_constant is out of range; .* in \(0, 1e\+09\], got 0"),
        ({"length": 0}, ArgumentError, "length is out of range; expected an integer of at least 1"),
        ({"filter_order": 1.5}, DtypeError, "filter_order is not an integer"),
        ({"normalize": "aera"}, ArgumentError, "normalize is unknown; .* Did you mean 'area'"),
    ],
)
def test_bad_options(options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        spike_time(SPIKES, SPIKES, **options)


@pytest.mark.parametrize(
    ("spikes", "targets", "error", "text"),
    [
        (SPIKES, SPIKES[..., :7], ShapeError, r"targets does not match spikes; .* \(2, 3, 8\), got \(2, 3, 7\)"),
        (SPIKES[0], SPIKES[0], ShapeError, "spikes has too few dimensions; .* needs a batch dimension in front"),
        (SPIKES, SPIKES.float() / 0, ArgumentError, "targets holds 48 NaN or infinite values"),
        (SPIKES, SPIKES.numpy(), DtypeError, "targets is not a tensor"),
    ],
)
def test_bad_spikes(spikes: torch.Tensor, targets: torch.Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        spike_time(spikes, targets)
