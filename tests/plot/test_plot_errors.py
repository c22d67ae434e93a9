"""Spike-time error traces are what `loss.SpikeTime` sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from slayerloss import ArgumentError, ShapeError
from slayerloss import functional as F
from slayerloss.plot import error_figure, error_traces


def pair(neurons: int = 6, steps: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple((torch.rand(neurons, steps, generator=generator) < 0.15).float() for _ in range(2))


def line(ax: Axes, label: str) -> np.ndarray:
    return next(line for line in ax.lines if line.get_label() == label).get_ydata()


def area(ax: Axes) -> np.ndarray:
    """The curve of the only area: its outline runs along the zero line and back along the curve, or the other way."""
    (fill,) = (c for c in ax.collections if not hasattr(c, "get_segments"))
    outline = fill.get_paths()[0].vertices[:, 1]
    half = (len(outline) - 3) // 2
    there, back = outline[1 : 1 + half], outline[2 + half : -1][::-1]
    return there if there.any() else back


@pytest.mark.parametrize("channel", [None, 3])
@pytest.mark.parametrize("options", [{}, {"filter_order": 2, "normalize": "peak"}, {"length": None}])
def test_traces_are_the_filtered_spikes(channel: int | None, options: dict[str, Any]) -> None:
    output, target = pair()
    ax = error_traces(output, target, 4.0, channel=channel, **options)
    options = {"length": 100, **options}
    order = options.pop("filter_order", 1)
    rows = slice(None) if channel is None else slice(channel, channel + 1)
    for label, spikes in (("output", output), ("target", target)):
        want = F.exponential_filter(spikes[None], 4.0, order, **options)[0, rows].sum(0)
        np.testing.assert_allclose(line(ax, label), want, atol=1e-5)
    np.testing.assert_allclose(area(ax), line(ax, "output") - line(ax, "target"), atol=1e-5)


def test_figure_shows_the_loss_and_where_it_comes_from() -> None:
    output, target = pair()
    figure = error_figure(output, target, 4.0, channels=[5, 0])
    loss = F.spike_time(output[None], target[None], 4.0)
    summed, squared, five, zero = figure.axes
    filtered = F.exponential_filter(output[None], 4.0, length=100)[0]
    np.testing.assert_allclose(line(summed, "output"), filtered.sum(0), atol=1e-5)
    np.testing.assert_allclose(area(squared).sum(), loss, rtol=1e-5)
    assert f"{loss:.5g}" in squared.get_title(loc="left")
    for ax, channel in ((five, 5), (zero, 0)):
        share = 100 * F.spike_time(output[None, [channel]], target[None, [channel]], 4.0) / loss
        assert ax.get_title(loc="left") == f"channel {channel}: {share:.2g} % of the error"
        rugs = [c.get_segments() for c in ax.collections if hasattr(c, "get_segments")]
        drawn = [[segment[0, 0] for segment in segments] for segments in rugs]
        assert drawn == [np.flatnonzero(spikes[channel]).tolist() for spikes in (target, output)]
    assert five.get_ylim() == zero.get_ylim()


def test_channels_go_from_the_largest_error_to_the_smallest() -> None:
    output, target = pair(20)
    errors = F.exponential_filter((output - target)[None], 5.0, length=100)[0].square().sum(-1)
    figure = error_figure(output, target, channels=3)
    chosen = [int(ax.get_title(loc="left").split(":")[0].split()[1]) for ax in figure.axes[2:]]
    by_error = errors.argsort(descending=True).tolist()
    assert chosen[0] == by_error[0]
    assert chosen[1] in by_error[9:11]
    assert chosen[2] == by_error[-1]


def test_a_stretch_leaves_the_traces_as_they_are() -> None:
    output, target = pair()
    whole = error_figure(output, target, channels=[2]).axes[2]
    part = error_figure(output, target, channels=[2], steps=(30, 50), step_ms=2.0).axes
    np.testing.assert_array_equal(line(part[2], "output"), line(whole, "output")[30:50])
    assert part[2].get_xlim() == (59.0, 99.0)
    assert part[0].get_xlim() == (-1.0, 159.0)


def test_a_padded_batch_equals_its_sample() -> None:
    output, target = pair()
    padded = [torch.stack([x, x]) for x in (output, target)]
    a = error_figure(*padded, sample=1, lengths=torch.tensor([80, 50]))
    b = error_figure(output[:, :50], target[:, :50])
    for ax, bx in zip(a.axes, b.axes, strict=True):
        assert ax.get_title(loc="left") == bx.get_title(loc="left")
        assert ax.get_xlim() == bx.get_xlim()


def test_no_channels_and_no_spikes_are_drawn() -> None:
    assert len(error_figure(*pair(), channels=0).axes) == 2
    silent = error_figure(torch.zeros(2, 5), torch.zeros(2, 5))
    assert "0 in all steps" in silent.axes[1].get_title(loc="left")


def test_oxford_shows_the_loss_that_lava_dl_computed(shared: Path) -> None:
    golden = np.load(shared / "golden" / "slayer" / "oxford.npz")
    figure = error_figure(golden["output"], golden["target"], time_constant=2, filter_order=2)
    np.testing.assert_allclose(area(figure.axes[1]).sum(), golden["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"target": torch.zeros(6, 79)}, ShapeError, r"error_figure: target does not match output"),
        ({"channels": [6]}, ArgumentError, "channels is out of range.*at most 5, got 6"),
        ({"channels": -1}, ArgumentError, "channels is out of range"),
        ({"steps": (10, 81)}, ArgumentError, "steps is out of range.*at most 80"),
        ({"steps": (10, 10)}, ArgumentError, "steps is out of range.*at most 9"),
        ({"time_constant": 0.0}, ArgumentError, "time_constant is out of range"),
        ({"filter_order": 0}, ArgumentError, "order is out of range"),
    ],
)
def test_error_figure_refuses(options: dict[str, Any], error: type[Exception], text: str) -> None:
    output, target = pair()
    with pytest.raises(error, match=text):
        error_figure(**{"output": output, "target": target, **options})


def test_error_traces_refuse_an_unknown_channel() -> None:
    with pytest.raises(ArgumentError, match=r"error_traces: channel is out of range"):
        error_traces(*pair(), channel=6)
