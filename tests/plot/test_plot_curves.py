"""Learning curves, events per layer, confusion matrix and weights show the numbers given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb

from slayerloss import ArgumentError, DtypeError, FormatError, ShapeError
from slayerloss.plot import (
    confusion_matrix,
    events_per_layer,
    learning_curve,
    penalty_curves,
    read_metrics,
    weight_histogram,
)
from slayerloss.plot.style import ERROR, MUTED, PALETTE

# As Lightning's CSVLogger writes it: one row per stage, empty where the stage logged nothing.
METRICS = """epoch,step,train_loss,train_accuracy,valid_loss,valid_accuracy,test_loss,test_accuracy
0,9,4.0,0.25,,,,
0,9,,,5.0,0.5,,
1,19,2.0,0.75,,,,
1,19,,,3.0,0.875,,
2,29,1.0,1.0,,,,
2,29,,,3.5,0.75,,
3,30,,,,,3.25,0.8125
"""


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.csv"
    path.write_text(METRICS)
    return path


def curve(ax: Axes, label: str) -> tuple[list[float], list[float]]:
    line = next(line for line in ax.lines if line.get_label() == label)
    return line.get_xdata().tolist(), line.get_ydata().tolist()


def texts(ax: Axes) -> set[str]:
    return {text.get_text() for text in ax.texts}


def test_read_metrics_keeps_what_is_missing_as_nan(metrics: Path) -> None:
    columns = read_metrics(metrics)
    assert columns["epoch"].tolist() == [0, 0, 1, 1, 2, 2, 3]
    np.testing.assert_array_equal(columns["train_loss"], [4, np.nan, 2, np.nan, 1, np.nan, np.nan])


def test_loss_and_its_best_epoch(metrics: Path) -> None:
    ax = learning_curve(metrics, scale="log")
    assert curve(ax, "train") == ([0, 1, 2], [4, 2, 1])
    assert curve(ax, "valid") == ([0, 1, 2], [5, 3, 3.5])
    assert curve(ax, "test") == ([3], [3.25])
    assert ax.get_title(loc="left") == "best validation 3 in epoch 1"
    assert texts(ax) == {"train 1", "valid 3.5", "test 3.25"}
    assert ax.get_yscale() == "log"


def test_accuracy_is_in_percent_and_best_where_it_is_highest(metrics: Path) -> None:
    ax = learning_curve(str(metrics), "accuracy")
    assert ax.get_title(loc="left") == "best validation 87.5 % in epoch 1"
    assert texts(ax) == {"train 100.0 %", "valid 75.0 %", "test 81.2 %"}


def test_several_values_of_an_epoch_are_averaged_and_large_ones_stay_readable() -> None:
    ax = learning_curve({"epoch": [0, 0, 1], "train_loss": [60000.0, 50000.0, 44013.2]})
    assert curve(ax, "train") == ([0, 1], [55000.0, 44013.2])
    assert texts(ax) == {"train 44,013"}


@pytest.mark.parametrize(
    ("content", "text"),
    [("", "is no metrics file; expected a column 'epoch', got an empty file"), ("a,b\n1,2\n", "got a, b"),
     ("epoch,train_loss\n0,high\n", "holds a field that is no number")],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    with pytest.raises(FormatError, match=text) as error:
        learning_curve(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
        read_metrics(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("columns", "options", "text"),
    [
        ({"epoch": [0], "train_loss": [1.0]}, {"quantity": "accuracy"}, "nothing logged 'accuracy'.*epoch, train_loss"),
        ({"epoch": [0], "train_loss": [np.nan]}, {}, "nothing logged 'loss'"),
        ({"train_loss": [1.0]}, {}, "metrics are no columns"),
        ({"epoch": [0, 1], "train_loss": [1.0]}, {}, "metrics are no columns"),
        ({"epoch": [0], "train_loss": [1.0]}, {"scale": "logarithmic"}, "scale is unknown"),
    ],
)
def test_learning_curve_refuses(columns: dict[str, Any], options: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        learning_curve(columns, **options)


PENALTIES = {"epoch": [1, 1, 2, 3], "train_loss": [3.0, 3, 2, 1], "penalty_rates": [0.5, 0.25, 0.25, 0.0]}


def test_each_penalty_has_its_line() -> None:
    ax = penalty_curves({**PENALTIES, "penalty_dale": [np.nan, 1.5, np.nan, 0.03125], "penalty_none": [np.nan] * 4})
    assert curve(ax, "rates") == ([1, 2, 3], [0.375, 0.25, 0])  # the mean of an epoch
    assert curve(ax, "dale") == ([1, 3], [1.5, 0.03125])
    assert len(ax.lines) == 2
    assert texts(ax) == {"rates 0", "dale 0.0312"}
    assert ax.get_ylim()[0] == 0


def test_penalties_below_zero_and_on_a_log_scale() -> None:
    assert penalty_curves({"epoch": [1, 2], "penalty_dale": [-2.0, -3.0]}).get_ylim()[0] < -2.9
    ax = penalty_curves(PENALTIES, scale="log")
    assert curve(ax, "rates") == ([1, 2], [0.375, 0.25])  # zero is not on the scale
    assert texts(ax) == {"rates 0"}


@pytest.mark.parametrize(
    ("columns", "options", "text"),
    [
        ({"epoch": [0], "train_loss": [1.0]}, {}, "no penalty was logged; expected a column penalty_<name>, got epoch"),
        ({"epoch": [0], "penalty_a": [np.nan]}, {}, "no penalty was logged"),
        ({"epoch": [0, 1], "penalty_a": [1.0]}, {}, "metrics are no columns"),
        (PENALTIES, {"scale": "linar"}, "scale is unknown.*Did you mean 'linear'"),
    ],
)
def test_penalty_curves_refuses(columns: dict[str, Any], options: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=f"^penalty_curves: {text}"):
        penalty_curves(columns, **options)


def test_bars_have_their_counts() -> None:
    ax = events_per_layer({"input": 4123.4, "hidden": 12.0, "output": 0.5})
    assert [bar.get_width() for bar in ax.patches] == [4123.4, 12.0, 0.5]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["input", "hidden", "output"]
    assert texts(ax) == {"4,123", "12", "0.5"}
    assert ax.get_xlabel() == "spikes per recording (of the input: events)"
    grey, *blue = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert [grey, *blue] == [MUTED, PALETTE[0].lower(), PALETTE[0].lower()]
    assert events_per_layer({"hidden": 12.0}).get_xlabel() == "spikes per recording"
    assert ax.yaxis_inverted()  # the first layer on top


def test_series_become_lines() -> None:
    ax = events_per_layer({"input": [5.0, 5.0], "hidden": np.array([3.0, 2.0])})
    assert [line.get_ydata().tolist() for line in ax.lines] == [[5, 5], [3, 2]]
    assert texts(ax) == {"input", "hidden"}
    assert [line.get_xdata().tolist() for line in ax.lines] == [[1, 2], [1, 2]]  # epochs count from 1
    ax = events_per_layer({"hidden": [3.0, 2.0]}, epochs=[5, 10])
    assert ax.lines[0].get_xdata().tolist() == [5, 10]


def test_epochs_fit_the_series() -> None:
    with pytest.raises(ArgumentError, match="epochs has the wrong length; expected 2 epochs, as 'a' has values, got 3"):
        events_per_layer({"a": [1.0, 2.0]}, epochs=[1, 2, 3])


@pytest.mark.parametrize(
    ("events", "text"),
    [({}, "wrong form"), ({"a": 1.0, "b": [1.0]}, r"dimensions \[0, 1\]"), ({"a": -1.0}, "events of 'a' are no counts"),
     ({"a": [np.nan]}, "no counts")],
)  # fmt: skip
def test_events_per_layer_refuses(events: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        events_per_layer(events)


def test_confusion_matrix_shows_counts_and_shares() -> None:
    matrix = np.array([[8, 2, 0], [0, 10, 0], [1, 0, 0]])
    ax = confusion_matrix(matrix, names=["a", "b", "c"])
    numbers = {(text.get_position()[1], text.get_position()[0]): int(text.get_text()) for text in ax.texts}
    assert numbers == {(0, 0): 8, (0, 1): 2, (1, 1): 10, (2, 0): 1}
    assert ax.get_title(loc="left") == "18 of 21 right (85.7 %)"
    colors = np.asarray(ax.images[0].get_array())[..., :3]
    assert (colors[0, 2] == 1).all()
    assert (colors[2, 2] == 1).all()
    assert colors[0, 0, 2] > colors[0, 0, 0]  # right: blue
    assert colors[2, 0, 0] > colors[2, 0, 2]  # wrong: orange
    full = np.array(to_rgb(ERROR))
    for row, column, tint in ((0, 1, 0.4), (2, 0, 1.0)):  # of shares 0.2 and 1
        np.testing.assert_allclose(colors[row, column], 1 - tint * (1 - full), atol=0.01)
    assert all(spine.get_visible() for spine in ax.spines.values())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


def test_silent_recordings_are_named_below_the_matrix() -> None:
    assert confusion_matrix(np.eye(2)).get_xlabel() == "predicted"
    matrices = {silent: confusion_matrix(np.eye(2), names=["a", "b"], silent=silent) for silent in (1, 2)}
    said = {silent: " ".join(ax.get_xlabel().split()) for silent, ax in matrices.items()}
    assert said[1] == "predicted 1 recording had no output spike and counts as class a"
    assert said[2] == "predicted 2 recordings had no output spike and count as class a"


def test_a_single_mistake_among_many_is_seen() -> None:
    ax = confusion_matrix([[500, 1], [0, 36]])
    mistake = np.asarray(ax.images[0].get_array())[0, 1, :3]
    full = np.array(to_rgb(ERROR))
    assert (1 - mistake >= 0.24 * (1 - full)).all()


def test_many_classes_get_no_numbers_and_an_empty_matrix_no_error() -> None:
    assert not confusion_matrix(np.eye(30)).texts
    assert confusion_matrix(np.zeros((2, 2))).get_title(loc="left") == "0 of 0 right (0.0 %)"


@pytest.mark.parametrize(
    ("matrix", "options", "error", "text"),
    [
        (np.zeros((2, 3)), {}, ShapeError, r"matrix is not square; expected \(C, C\), got \(2, 3\)"),
        ([[1, -1], [0, 1]], {}, ArgumentError, "negative count"),
        ([["a"]], {}, DtypeError, "does not hold real numbers"),
        (np.eye(2), {"names": ["a", "b", "c"]}, ArgumentError, "expected 2 names, got 3"),
        (np.eye(2), {"silent": -1}, ArgumentError, "silent is out of range"),
    ],
)
def test_confusion_matrix_refuses(matrix: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        confusion_matrix(matrix, **options)


def test_histogram_counts_every_weight() -> None:
    weights = 2 * np.random.default_rng(0).integers(-128, 128, size=(30, 20))
    ax = weight_histogram(weights)
    heights = {round(bar.get_x() + 1): bar.get_height() for bar in ax.patches if bar.get_height()}
    values, counts = np.unique(weights, return_counts=True)
    assert heights == dict(zip(values.tolist(), counts.tolist(), strict=True))
    at_limits = int(np.isin(weights, (-256, 254)).sum())
    assert ax.get_title(loc="left").endswith(f"{at_limits} at the limits")
    assert ax.get_ylabel() == "number of weights"
    assert ax.get_yscale() == "log"
    assert [line.get_xdata()[0] for line in ax.lines] == [-257, 255]  # the limits
    assert ax.get_xlim() == (-259, 257)


@pytest.mark.parametrize("widest", [0, 2, 6, 8, 16, 20, 36, 100, 254])
def test_ticks_are_weights_that_the_chip_has(widest: int) -> None:
    ax = weight_histogram([-widest, 0, widest])
    low, high = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert 0 in ticks
    assert all(tick % 2 == 0 for tick in ticks)


@pytest.mark.parametrize(
    ("weights", "got"), [([1], "got 1"), ([-258], "got -258"), ([256], "got 256"), ([], "got no weight")]
)
def test_histogram_refuses_what_the_chip_has_not(weights: list[int], got: str) -> None:
    with pytest.raises(ArgumentError, match=got):
        weight_histogram(weights)
