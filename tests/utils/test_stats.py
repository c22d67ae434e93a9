"""Statistics of a training: counted, printed, drawn, saved and loaded."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slayerloss import DtypeError, FormatError, MissingFileError
from slayerloss.utils import LearningStat, LearningStats

EPOCHS = [(2.0, 0.25), (1.0, 0.5), (1.5, 0.75), (0.1 + 0.2, 0.5)]


def add(stat, loss, accuracy=None, samples=4):
    """What a loop adds in an epoch."""
    stat.num_samples += samples
    stat.loss_sum += loss * samples
    if accuracy is not None:
        stat.correct_samples += accuracy * samples


def trained(*stages, accuracy=True, **names):
    stats = LearningStats(**names)
    for loss, right in EPOCHS:
        for i, stage in enumerate(stages):
            add(getattr(stats, stage), loss + i, right if accuracy else None)
        stats.update()
    return stats


def logs(stats):
    return [(s.loss_log, s.accuracy_log) for s in (stats.training, stats.validation, stats.testing)]


def test_an_epoch_is_counted_per_sample():
    stat = LearningStat()
    assert stat.loss is None
    assert stat.accuracy is None
    add(stat, 3.0, 1.0, samples=1)
    add(stat, 1.0, 0.5, samples=3)
    assert stat.loss == 1.5
    assert stat.accuracy == 2.5 / 4


def test_the_best_epochs():
    stat = LearningStat()
    best = []
    for loss, accuracy in [*EPOCHS, (0.5, 0.75)]:
        add(stat, loss, accuracy)
        stat.update()
        stat.reset()
        best.append((stat.best_loss, stat.best_accuracy))
    assert best == [(True, True), (True, True), (False, True), (True, False), (False, False)]
    assert (stat.min_loss, stat.max_accuracy) == (pytest.approx(0.3), 0.75)


def test_an_empty_epoch_and_a_diverged_one_are_no_best():
    stat = LearningStat()
    stat.update()
    assert (stat.loss_log, stat.accuracy_log, stat.best_loss, stat.min_loss) == ([None], [None], False, None)
    add(stat, math.nan, 0.0)
    stat.update()
    stat.reset()
    assert not stat.best_loss
    assert stat.best_accuracy
    add(stat, 7.0, 0.5)
    stat.update()
    assert (stat.min_loss, stat.best_loss) == (7.0, True)


def test_a_regression_has_no_accuracy():
    stats = trained("training", accuracy=False)
    assert stats.training.accuracy_log == [None] * 4
    assert not stats.training.valid_accuracy_log
    assert stats.training.valid_loss_log
    assert not stats.validation.valid_loss_log


def test_text():
    stats = LearningStats(loss_unit="rad", accuracy_str="hits")
    add(stats.training, 2.0, 0.25)
    assert str(stats) == "Train loss =     2.00000 rad    hits = 0.25000"
    stats.update()
    add(stats.training, 1.0, 0.5)
    add(stats.testing, 3.0)
    best = "Train loss =     1.00000 (min =     2.00000) rad    hits = 0.50000 (max = 0.25000)"
    assert str(stats) == f"{best} | Test  loss =     3.00000 rad"


class Loader:
    dataset = range(100)
    batch_size = 8

    def __len__(self):
        return 13


def test_print_goes_back_only_on_a_terminal(capsys, monkeypatch):
    stats = LearningStats()
    add(stats.training, 2.0)
    for _ in range(2):
        stats.print(3, iter=12, time_elapsed=0.5, header=["a", 1], dataloader=Loader())
    lines = ["a", "1", "Epoch    3:  96/100 (92%),     500.0000 ms elapsed", "Train loss =     2.00000"]
    assert capsys.readouterr().out.splitlines() == 2 * lines
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    stats.print(3, iter=5)
    stats.new_line()
    stats.print(3)
    first, rest = capsys.readouterr().out.split("\n", 1)
    assert first == "\x1b[4A\x1b[JEpoch    3: i =     5 "
    assert "\x1b" not in rest


@pytest.mark.parametrize("stages", [("training",), ("training", "testing"), ("training", "validation", "testing")])
@pytest.mark.parametrize("accuracy", [True, False])
def test_what_is_saved_is_loaded(stages, accuracy, tmp_path):
    stats = trained(*stages, accuracy=accuracy)
    stats.save(f"{tmp_path}/")
    found = LearningStats()
    found.load(str(tmp_path))
    assert logs(found) == logs(stats)
    assert found.training.min_loss == min(loss for loss, _ in EPOCHS)
    assert found.training.best_loss
    assert found.training.max_accuracy == (0.75 if accuracy else None)
    assert (tmp_path / "accuracy.txt").exists() == accuracy
    assert np.loadtxt(tmp_path / "loss.txt", ndmin=2).shape == (4, len(stages))
    add(found.training, 0.125)
    found.update()
    assert len(found.training.loss_log) == 5
    assert found.training.min_loss == 0.125


def test_missing_values_keep_their_place(tmp_path):
    stats = trained("training")
    add(stats.validation, 5.0)
    stats.validation.update()
    stats.training.loss_log[1] = None
    stats.save(f"{tmp_path}/a_")
    found = LearningStats()
    found.load(f"{tmp_path}/a_")
    assert found.training.loss_log == [*stats.training.loss_log, None]
    assert found.validation.loss_log == stats.validation.loss_log


def test_a_file_of_lava_dl_loads(tmp_path):
    rows = "#Train        Test         \r\n    2.000000     3.000000 \r\n    1.000000     4.000000 \r\n"
    (tmp_path / "loss.txt").write_text(rows, newline="")
    stats = LearningStats()
    stats.load(f"{tmp_path}/")
    assert logs(stats) == [([2.0, 1.0], [None] * 2), ([None] * 2, [None] * 2), ([3.0, 4.0], [None] * 2)]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "holds no statistics"),
        ("1.0 2.0\n", "holds no statistics"),
        ("# Train Train\n", "holds no statistics"),
        ("# Train Valid\n1.0 2.0\n1.0\n", "line 3"),
        ("# Train\n1.0\nx\n", "line 3"),
    ],
)
def test_a_file_of_something_else_is_refused(text, wrong, tmp_path):
    (tmp_path / "loss.txt").write_text(text)
    with pytest.raises(FormatError, match=wrong):
        LearningStats().load(f"{tmp_path}/")


def test_files_of_two_trainings_are_refused(tmp_path):
    trained("training").save(f"{tmp_path}/")
    (tmp_path / "accuracy.txt").write_text("# Train\n0.5\n")
    with pytest.raises(FormatError, match="another training"):
        LearningStats().load(str(tmp_path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"loss\.txt"):
        LearningStats().load(f"{tmp_path}/")
    with pytest.raises(DtypeError, match="path"):
        LearningStats().load(3)


def test_the_plot_is_written(tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    stats = trained("training", "testing", loss_unit="(rad)", accuracy_str="hits")
    stats.plot(figures=(7, 8), figsize=(4, 3), path=f"{tmp_path}/")
    assert {path.name for path in tmp_path.iterdir()} == {"loss.png", "accuracy.png"}
    (axes,) = plt.figure(7).axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "loss (rad)"
    assert [line.get_ydata().tolist() for line in axes.lines][:2] == [
        [loss for loss, _ in EPOCHS],
        [loss + 1 for loss, _ in EPOCHS],
    ]
    assert plt.figure(8).axes[0].get_ylabel() == "hits"
    plt.close("all")


def test_without_accuracy_one_plot_is_written(tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    trained("training", accuracy=False).plot(path=str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"loss.png"}
    plt.close("all")
