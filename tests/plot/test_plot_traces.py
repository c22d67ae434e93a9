"""Rates, confidences and decisions over time are those that `functional` computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss import functional as F
from slayerloss.plot import confidence_traces, decision_figure, rate_traces
from slayerloss.plot.style import FAINT, INK, RIVAL, TRUE


def spikes(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    chance = torch.tensor([0.1, 0.5, 0.3, 0.05])[:, None]
    return (torch.rand(4, 60, generator=generator) < chance).float()


def coloured(ax: Axes, color: str) -> list[Any]:
    return [line for line in ax.lines if to_hex(line.get_color()) == color.lower()]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_first_lines_are_the_rates_of_the_classes() -> None:
    x = spikes()
    ax = rate_traces(x, 7, label=1, start="seen", step_ms=2.0)
    want = F.moving_window(x[None], 7, start="seen")[0].numpy()
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines[:4]], want)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(60) * 2.0)
    assert "last 14 ms" in ax.get_ylabel()


def test_true_class_and_rival_stand_out() -> None:
    x = spikes()
    ax = rate_traces(x, 7, label=2)
    rates = F.moving_window(x[None], 7)[0].numpy()
    (true,), (rival,) = coloured(ax, TRUE), coloured(ax, RIVAL)
    np.testing.assert_array_equal(true.get_ydata(), rates[2])
    np.testing.assert_array_equal(rival.get_ydata(), rates[1])
    assert len(coloured(ax, FAINT)) == 4
    assert set(texts(ax)) == {"2 (true)", "1", "the others"}


def test_without_a_label_the_class_that_ends_strongest_is_dark() -> None:
    x = spikes()
    strongest = int(F.moving_window(x[None], 7)[0, :, -1].argmax())
    ax = rate_traces(x, 7, names=["a", "b", "c", "d"])
    assert len(coloured(ax, INK)) == 1
    assert not coloured(ax, TRUE)
    assert set(texts(ax)) == {"abcd"[strongest], "the others"}


def test_labels_per_step_colour_each_stretch() -> None:
    x, label = spikes(), torch.tensor([1] * 20 + [-1] * 10 + [2] * 30)
    ax = rate_traces(x, 7, label=label)
    rates = F.moving_window(x[None], 7)[0].numpy()
    first, second = coloured(ax, TRUE)
    np.testing.assert_array_equal(first.get_ydata(), rates[1, :20])
    np.testing.assert_array_equal(second.get_ydata(), rates[2, 30:])
    np.testing.assert_array_equal(second.get_xdata(), np.arange(30, 60))
    assert {"1 (true)", "2 (true)"} <= set(texts(ax))


@pytest.mark.parametrize("label", [torch.tensor([0, 1]), torch.tensor([[0] * 60, [1] * 60]), 1])
def test_a_padded_batch_equals_its_samples(label: Any) -> None:
    batch = torch.stack([spikes(0), spikes(1)])
    ax = confidence_traces(batch, 5, label=label, sample=1, lengths=torch.tensor([60, 40]))
    alone = confidence_traces(batch[1, :, :40], 5, label=1)
    assert ax.get_xlim() == alone.get_xlim()
    for a, b in zip(ax.lines, alone.lines, strict=True):
        np.testing.assert_array_equal(a.get_ydata(), b.get_ydata())
    assert ax.get_title(loc="left") == alone.get_title(loc="left")


class OnGpu(torch.Tensor):
    """Says that it lies on a GPU, and cannot become an array, until it is moved."""

    device = torch.device("cuda:0")

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)

    def numpy(self) -> np.ndarray:
        raise TypeError("it lies on a GPU")


@pytest.mark.parametrize("label", [[1, 2], [[1] * 60, [2] * 60]])
def test_lengths_and_labels_may_lie_on_a_gpu(label: Any) -> None:
    batch, lengths = torch.stack([spikes(0), spikes(1)]), torch.tensor([40, 50])
    label = torch.tensor(label)
    moved = {name: value.as_subclass(OnGpu) for name, value in {"label": label, "lengths": lengths}.items()}
    for draw in (rate_traces, confidence_traces):
        want = draw(batch, 10, sample=1, label=label, lengths=lengths)
        got = draw(batch.as_subclass(OnGpu), 10, sample=1, **moved)
        for a, b in zip(got.lines, want.lines, strict=True):
            np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())


@pytest.mark.parametrize("mode", ["probability", "softmax", "logsoftmax"])
def test_confidence_is_that_of_functional(mode: str) -> None:
    x = spikes()
    options = {} if mode == "probability" else {"temperature": 0.1}
    ax = confidence_traces(x, 7, label=1, mode=mode, **options)
    want = F.confidence(F.moving_window(x[None], 7), mode, **options)[0].numpy()
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines[:4]], want)
    chance = next(line for line in ax.lines if len(set(line.get_ydata())) == 1 and len(line.get_ydata()) == 2)
    assert chance.get_ydata()[0] == pytest.approx(np.log(1 / 4) if mode == "logsoftmax" else 1 / 4)


def test_bar_and_title_say_when_the_decision_is_right() -> None:
    x = torch.zeros(2, 8)
    x[1, 2:4] = 1  # wrong in steps 2 and 3, right from 5 on
    x[0, 5:] = 1
    ax = confidence_traces(x, 1, label=0, step_ms=10)
    right, wrong = ax.collections
    assert [to_hex(bar.get_color()[0]) for bar in (right, wrong)] == [TRUE.lower(), RIVAL.lower()]
    spans = [[tuple(segment[:, 0]) for segment in bar.get_segments()] for bar in (right, wrong)]
    assert spans == [[(45.0, 75.0)], [(15.0, 35.0)]]
    assert right.get_linewidth()[0] > 2 * wrong.get_linewidth()[0]  # also where a print has no colours
    assert ax.get_title(loc="left") == "decided by the last 10 ms: right from 50 ms on"
    assert confidence_traces(x, 1, label=1).get_title(loc="left") == "decided by the last step: not right at the end"


def test_one_class_and_silence_are_drawn() -> None:
    assert texts(rate_traces(torch.ones(1, 5), 2, label=0)) == ["0 (true)"]
    ax = confidence_traces(torch.zeros(3, 5), 2, label=0)
    assert ax.get_title(loc="left") == "decided by the last 2 steps: not right at the end"
    assert set(texts(ax)) == {"0 (true)", "the others", "decision"}
    assert all((line.get_ydata() == 0).all() for line in ax.lines[:3])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"label": 4}, ArgumentError, r"rate_traces: label is out of range; expected classes in \[0, 3\], got 4"),
        ({"label": 1.0}, DtypeError, "label is not of an integer type"),
        ({"label": [1, 2]}, ShapeError, r"label has the wrong shape.*T of 60, got \(2,\)"),
        ({"window": 0}, ArgumentError, "window is out of range"),
        ({"start": "none"}, ArgumentError, "start is unknown"),
        ({"names": ["a"]}, ArgumentError, "expected 4 names"),
    ],
)
def test_traces_refuse(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rate_traces(spikes(), **{"window": 5, **options})


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"mode is unknown.*'softmax'"):
        confidence_traces(spikes(), 5, mode="softmx")


def test_decision_figure_has_a_row_per_stage() -> None:
    events, hidden = np.ones((2, 6, 6, 60)), np.ones((8, 60))
    figure = decision_figure(spikes(), 7, events=events, hidden={"input": hidden, "second": hidden}, label=1)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[:5] == [
        "input: 4,320 events, 2 x 6 x 6 pixels",
        "input: 480 spikes, 8 neurons",
        "second: 480 spikes, 8 neurons",
        f"output: {int(spikes().sum())} spikes, 4 neurons",
        "output spikes counted in the last 7 steps",
    ]
    assert len(figure.axes[0].images) > 1  # with space: a strip of pictures
    assert len({ax.get_xlim() for ax in figure.axes}) == 1


def test_a_class_has_one_colour_in_its_spikes_and_in_its_line() -> None:
    x = spikes()
    *_, output, _, lowest = decision_figure(x, 7, label=2).axes
    (marks,) = output.collections
    drawn = {(round(s[:, 1].mean()), to_hex(c)) for s, c in zip(marks.get_segments(), marks.get_colors(), strict=True)}
    rival = next(row for row, color in drawn if color == RIVAL.lower())
    assert drawn == {
        (2, TRUE.lower()),
        (rival, RIVAL.lower()),
        *((c, FAINT.lower()) for c in {0, 1, 3} - {rival} if x[c].any()),
    }
    (line,) = coloured(lowest, RIVAL)
    want = F.confidence(F.moving_window(x[None], 7))[0, rival].numpy()
    np.testing.assert_array_equal(line.get_ydata(), want)
    assert set(texts(output)) == {"2 (true)", str(rival)}


def test_the_figure_counts_the_spikes_that_a_confidence_rests_on() -> None:
    x = spikes()
    counted = decision_figure(x, 7, label=2).axes[-2]
    want = F.moving_window(x[None], 7, "sum")[0].sum(0).numpy()
    (steps,) = counted.patches
    np.testing.assert_allclose(steps.get_data().values, want)
    assert counted.get_yticks().tolist() == [0, want.max()]


def test_chance_stands_at_its_line() -> None:
    ax = confidence_traces(spikes(), 7)
    labels = {label.get_text(): place for label, place in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    assert labels == {"0": 0, "0.5": 0.5, "1": 1, "chance": 0.25}
    assert [tick.get_text() for tick in confidence_traces(torch.eye(2), 1).get_yticklabels()] == ["0", "1", "chance"]


def test_a_class_that_never_leads_another_is_no_rival() -> None:
    x = torch.zeros(3, 5)
    x[1] = 1
    assert set(texts(rate_traces(x, 2, label=1))) == {"1 (true)", "the others"}


def test_a_wrong_answer_is_the_rival_even_where_another_class_leads() -> None:
    x = torch.zeros(4, 8)
    x[1, :2], x[2, 6:], x[3, ::4] = 1, 1, 1  # true 1; class 2 leads at the end
    figure = decision_figure(x, 2, label=1, answer=3)
    for ax in (figure.axes[-1], figure.axes[0]):
        assert {"1 (true)", "3 (answer)"} <= set(texts(ax))
        assert "2" not in texts(ax)
    (line,) = coloured(figure.axes[-1], RIVAL)
    np.testing.assert_array_equal(line.get_ydata(), F.confidence(F.moving_window(x[None], 2))[0, 3].numpy())
    assert {"1 (true)", "2"} <= set(texts(decision_figure(x, 2, label=1, answer=1).axes[-1]))
    silent = confidence_traces(torch.zeros(3, 5), 2, label=1, answer=0)
    assert {"1 (true)", "0 (answer)"} <= set(texts(silent))
    assert {"3 (answer)", "the others"} == set(texts(confidence_traces(x, 2, answer=3)))


def test_an_answer_that_is_no_class_is_refused() -> None:
    for draw in (confidence_traces, decision_figure):
        with pytest.raises(ArgumentError, match=rf"{draw.__name__}: answer is out of range.* at most 3, got 4"):
            draw(spikes(), 5, answer=4)


def test_decision_figure_of_a_batch_takes_the_label_of_its_sample() -> None:
    batch = torch.stack([spikes(0), spikes(1)])
    figure = decision_figure(batch, 7, events=batch, label=torch.tensor([0, 2]), sample=1)
    assert "2 (true)" in texts(figure.axes[-1])
    assert figure.axes[0].get_ylabel() == "input"
    assert len(figure.axes) == 4


def test_decision_figure_refuses_layers_of_another_duration() -> None:
    with pytest.raises(ShapeError, match="hidden has another duration; expected 60 steps"):
        decision_figure(spikes(), 7, hidden={"hidden": np.ones((3, 59))})
