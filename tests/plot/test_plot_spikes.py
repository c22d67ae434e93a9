"""Rasters draw every spike at its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.offsetbox import DrawingArea
from matplotlib.text import Text

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.plot import raster, raster_pair
from slayerloss.plot.spikes import dot_size
from slayerloss.plot.style import ERROR, FAINT, TRUE, points_high, points_wide


def drawn(collection: Any) -> set[tuple[float, float]]:
    """(time, neuron) of ticks or dots."""
    if hasattr(collection, "get_segments"):
        return {(float(s[0, 0]), float(s[:, 1].mean())) for s in collection.get_segments()}
    return {(float(x), float(y)) for x, y in collection.get_offsets()}


def spikes_of(values: np.ndarray) -> set[tuple[float, float]]:
    return {(float(t), float(c)) for c, t in np.argwhere(values)}


def random_spikes(*shape: int, rate: float = 0.1) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) < rate).astype(np.float32)


@pytest.mark.parametrize("neurons", [1, 64, 65, 2312])
def test_raster_draws_each_spike_once(neurons: int) -> None:
    spikes = random_spikes(neurons, 50, rate=0.02)
    ax = raster(spikes)
    assert drawn(ax.collections[0]) == spikes_of(spikes)
    assert ax.get_xlim() == (-0.5, 49.5)


CONVERSIONS: dict[str, Callable[[np.ndarray], Any]] = {
    "torch": torch.tensor,
    "bfloat16": lambda x: torch.tensor(x, dtype=torch.bfloat16),
    "grad": lambda x: torch.tensor(x, requires_grad=True),
    "bool": lambda x: x.astype(bool),
    "uint8": lambda x: x.astype(np.uint8),
    "strided": np.asfortranarray,
    "list": lambda x: x.tolist(),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_raster_takes_tensors_and_arrays(convert: Any) -> None:
    spikes = random_spikes(5, 20)
    assert drawn(raster(convert(spikes)).collections[0]) == spikes_of(spikes)


def test_raster_flattens_space_and_picks_a_sample() -> None:
    batch = random_spikes(3, 2, 4, 5, 20)
    assert drawn(raster(batch, sample=2).collections[0]) == spikes_of(batch[2].reshape(40, 20))
    assert drawn(raster(batch[1]).collections[0]) == spikes_of(batch[1].reshape(40, 20))


def test_padding_is_not_drawn() -> None:
    batch = np.ones((2, 3, 10))
    ax = raster(batch, sample=1, lengths=torch.tensor([10, 4]))
    assert drawn(ax.collections[0]) == spikes_of(np.ones((3, 4)))
    assert ax.get_xlim() == (-0.5, 3.5)
    assert raster(batch[0], lengths=4).get_xlim() == (-0.5, 3.5)


def test_time_in_milliseconds() -> None:
    ax = raster([[0, 0, 1]], step_ms=0.5)
    assert drawn(ax.collections[0]) == {(1.0, 0.0)}
    assert ax.get_xlabel() == "time (ms)"


def test_highlight_and_sign_have_colours_and_magnitude_fades() -> None:
    colors = raster([[1, 0], [0, 1]], highlight=1).collections[0].get_colors()
    assert [tuple(color) for color in colors] == [to_rgba(FAINT), to_rgba(TRUE)]
    graded = raster([[4.0, -2.0]]).collections[0].get_colors()
    assert tuple(graded[1][:3]) == to_rgba(ERROR)[:3]
    assert graded[:, 3].tolist() == [1.0, 0.625]


def test_each_highlighted_neuron_may_have_its_own_colour() -> None:
    colors = raster(np.eye(3), highlight={0: TRUE, 2: ERROR}).collections[0].get_colors()
    assert [tuple(color) for color in colors] == [to_rgba(TRUE), to_rgba(FAINT), to_rgba(ERROR)]


def test_names_stand_at_their_neurons() -> None:
    ax = raster(np.eye(3), names=["a", "b", "c"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


def test_where_dots_would_hide_each_other_the_share_is_drawn() -> None:
    spikes = np.zeros((2000, 400), dtype=bool)
    spikes[:1000] = random_spikes(1000, 400, rate=0.5)
    ax = raster(spikes)
    (mesh,) = ax.collections
    edges = mesh.get_coordinates()
    rows, steps = edges[:, 0, 1] + 0.5, edges[0, :, 0] + 0.5
    share = np.asarray(mesh.get_array()).reshape(len(rows) - 1, len(steps) - 1)
    assert (rows[0], rows[-1], steps[0], steps[-1]) == (0, 2000, 0, 400)
    for row, step in ((7, 11), (len(rows) - 2, 0)):
        block = spikes[int(rows[row]) : int(rows[row + 1]), int(steps[step]) : int(steps[step + 1])]
        np.testing.assert_allclose(share[row, step], block.mean())


def test_the_share_of_a_layer_with_space_has_a_row_for_each_channel() -> None:
    spikes = random_spikes(40, 9, 9, 30, rate=0.5)
    ax = raster(spikes)
    share = np.asarray(ax.collections[0].get_array()).reshape(40, 30)
    np.testing.assert_allclose(share, spikes.mean((1, 2)), rtol=1e-6)
    assert ax.get_ylabel() == "channel"
    for label, place in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True):
        assert place == int(label.get_text()) * 81 + 40  # its middle


def test_lines_part_the_channels_where_there_is_room() -> None:
    ax = raster(random_spikes(3, 4, 4, 20))
    assert ax.get_yticks(minor=True).tolist() == [15.5, 31.5]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2"]
    assert raster(random_spikes(3, 1, 1, 20)).get_ylabel() == "neuron"


@pytest.mark.parametrize(("neurons", "steps"), [(100, 30), (300, 30), (300, 3000), (2000, 30)])
def test_a_mark_is_as_high_as_a_row_however_many_spikes_there_are(neurons: int, steps: int) -> None:
    sizes = set()
    for rate in (0.02, 0.1, 0.5):
        ax = raster(random_spikes(neurons, steps, rate=rate / steps))
        (dots,) = ax.collections
        wide, high = dots.get_paths()[0].get_extents().size * dots.get_sizes()[0] ** 0.5
        assert wide <= max(0.7, high, points_wide(ax) / steps)
        assert high == pytest.approx(min(2.0, max(0.3, points_high(ax) / neurons)))
        sizes.add((round(wide, 6), round(high, 6)))
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("rate", "want"), [(0, 2.0), (0.004, 2.0), (0.008, 1.4), (0.015, 1.0), (0.03, 0.7), (0.5, 0.0)]
)
def test_the_size_of_dots_gives_nearly_all_a_place_of_their_own(rate: float, want: float) -> None:
    times, rows = np.nonzero(random_spikes(1000, 600, rate=rate).T)
    ax = raster(np.zeros((600, 1000)))
    points = ax.transData.transform(np.column_stack([times, rows])) * (72 / ax.figure.dpi)
    sizes = (2.0, 1.4, 1.0, 0.7)
    fit = [size for size in sizes if len({(x // size, y // size) for x, y in points}) >= 0.9 * len(points)]
    assert dot_size(ax, times, rows) == max(fit, default=0.0) == want


def test_the_size_of_dots_is_looked_for_once_and_not_at_all_among_more_spikes_than_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sorted_spikes: list[int] = []
    unique = np.unique
    monkeypatch.setattr(np, "unique", lambda x, **options: sorted_spikes.append(np.size(x)) or unique(x, **options))
    few, many = random_spikes(300, 60, rate=0.005), random_spikes(2312, 300, rate=0.3)
    raster(few)
    assert sorted_spikes.count(int(few.sum())) == 1
    raster(many)
    assert max(sorted_spikes) < many.sum()


def test_dots_of_one_step_do_not_merge_into_a_bar() -> None:
    spikes = random_spikes(2048, 30, rate=0.2)
    assert raster(spikes).collections[0].get_array() is not None  # a share; dots carry no array
    spikes[np.arange(2048) % 8 != 0] = 0
    assert raster(spikes).collections[0].get_array() is None


def test_silence_is_an_empty_raster() -> None:
    assert drawn(raster(np.zeros((3, 5))).collections[0]) == set()


def test_pair_draws_output_over_target() -> None:
    output, target = random_spikes(70, 30), random_spikes(70, 30, rate=0.2)
    ax = raster_pair(output, target)
    by_label = {artist.get_label(): drawn(artist) for artist in ax.collections}
    assert by_label == {"target": spikes_of(target), "output": spikes_of(output)}
    assert ax.collections[0].get_sizes()[0] > ax.collections[1].get_sizes()[0]


def test_the_key_of_a_pair_shows_the_marks_and_what_they_say() -> None:
    ax = raster_pair([[0, 1, 1]], [[0, 1, 0]])
    texts = [text.get_text() for text in ax.findobj(Text) if ":" in text.get_text() or text.get_text() == "both"]
    assert texts == ["both", "target only: missing", "output only: too many"]
    drawings = ax.findobj(DrawingArea)
    target, output = (collection.get_color()[0][:3] for collection in ax.collections)
    shown = [[to_rgba(line.get_color())[:3] for line in drawing.get_children()] for drawing in drawings]
    assert shown == [[tuple(target), tuple(output)], [tuple(target)], [tuple(output)]]


@pytest.mark.parametrize(
    ("spikes", "options", "error", "text"),
    [
        (np.zeros(5), {}, ShapeError, r"raster: spikes is no event tensor; expected \(C, T\), .* got \(5,\)"),
        (np.zeros((3, 0)), {}, ShapeError, "nothing empty"),
        (np.zeros((2, 3, 4)), {"sample": 2}, ArgumentError, "sample is out of range.* at most 1, got 2"),
        (np.zeros((2, 3, 4)), {"lengths": torch.tensor([4, 5])}, ArgumentError, r"lengths is out of range.*\[1, 4\]"),
        (np.full((2, 3), np.nan), {}, ArgumentError, "6 NaN or infinite"),
        (np.zeros((2, 3), dtype=complex), {}, DtypeError, "does not hold real numbers"),
        (torch.zeros(2, 3, dtype=torch.cfloat), {}, DtypeError, "does not hold real numbers"),
        ([["a", "b"]], {}, DtypeError, "does not hold real numbers"),
        (np.zeros((2, 3)), {"highlight": 2}, ArgumentError, "highlight is out of range"),
        (np.zeros((2, 3)), {"names": ["a"]}, ArgumentError, "names has the wrong length; expected 2 names, got 1"),
        (np.zeros((2, 3)), {"step_ms": 0}, ArgumentError, "step_ms is out of range"),
    ],
)
def test_raster_refuses(spikes: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    figure = Figure()
    ax = figure.add_subplot()
    with pytest.raises(error, match=text):
        raster(spikes, ax, **options)
    assert not ax.collections  # nothing is half drawn


def test_pair_refuses_other_shapes() -> None:
    with pytest.raises(ShapeError, match=r"raster_pair: target does not match output; .* got \(2, 4\)"):
        raster_pair(np.zeros((2, 3)), np.zeros((2, 4)))
