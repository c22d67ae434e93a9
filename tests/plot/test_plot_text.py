"""No text of a figure is cut off, however long the names are."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from slayerloss import netx, plot
from slayerloss.plot.style import heading, title
from slayerloss.plot.text import shortened, width_of, wrapped

FILE = "/a/long/way/to/the_recordings_of_the_second_day_of_the_experiment/of/a/subject/session_00819.bin"
CLASSES = [f"the class of the very patient and very slow creature number {i}" for i in range(3)]
LAYERS = [f"encoder.stages.{i}.blocks.downsampling.convolution.spiking" for i in range(3)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """The texts that were drawn: ticks beyond the limits of an axis are not."""
    found: list[Text] = []
    original = Text.draw

    def draw(self: Text, *arguments: object, **options: object) -> None:
        found.append(self)
        original(self, *arguments, **options)

    monkeypatch.setattr(Text, "draw", draw)
    return found


def cut_off(figure: Figure, drawn: list[Text]) -> list[str]:
    """The texts that do not lie inside the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn.clear()
    canvas.draw()
    width, height = canvas.get_width_height()
    found = []
    for text in drawn:
        if text.get_text().strip() and text.get_visible():
            box = text.get_window_extent(canvas.get_renderer())
            if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
                found.append(text.get_text())
    return found


@pytest.mark.parametrize("prediction", [0, 1, 2])
@pytest.mark.parametrize("name", ["d_vth.net", FILE])
def test_no_text_of_a_run_is_cut_off(name: str, prediction: int, drawn: list[Text]) -> None:
    rng = np.random.default_rng(0)
    output = np.zeros((3, 40)) if prediction == 0 else (rng.random((3, 40)) < 0.2) * 1
    hidden = {layer: (rng.random((20, 40)) < 0.1) * 1 for layer in LAYERS}
    known = {"label": 1, "prediction": prediction, "tied": [2], "name": "0/00819.bin" if name != FILE else FILE}
    sample = plot.Sample((rng.random((2, 8, 8, 40)) < 0.1) * 1, output, hidden, **known)
    target = plot.Sample(sample.events, output, hidden, target=1 - output, name=FILE)
    evaluation = plot.Evaluation(
        [sample, target, plot.Sample(sample.events, output, hidden, name=FILE)],
        name=name,
        class_names=CLASSES,
        confusion=np.array([[5, 1, 0], [0, 4, 2], [1, 1, 1]]),
        silent=2,
        events={"input": 30.0, **dict.fromkeys(LAYERS, 400.0)},
        weights={layer: np.array([-256, 0, 2, 254]) for layer in LAYERS},
        harder=("augmentation", "dropout"),
    )
    epochs = {"epoch": [0.0, 1.0], "train_loss": [2.0, 1.0], "valid_loss": [2.0, 1.5]}
    metrics = {**epochs, **{f"events_{layer}": [100.0, 90.0] for layer in LAYERS}}
    figures = plot.run_figures(evaluation, metrics)
    assert {"decision_0", "error_1", "layers_2", "confusion", "spikes", "weights", "learning"} <= figures.keys()
    assert {key: cut for key, figure in figures.items() if (cut := cut_off(figure, drawn))} == {}
    assert len(drawn) > 5


def test_the_energy_of_layers_with_long_names_is_not_cut_off(drawn: list[Text]) -> None:
    ones = np.ones(3)
    figure = plot.energy_per_layer(netx.Energy(tuple(LAYERS), 1e6 * ones, 1e5 * ones, ones, netx.LOIHI)).figure
    assert isinstance(figure, Figure)
    heading(figure, f"{FILE}: energy per recording")
    assert cut_off(figure, drawn) == []


def test_pictures_side_by_side_keep_their_titles_in_a_line(drawn: list[Text]) -> None:
    figure = plot.event_frames(np.ones((2, 34, 34, 300)), frames=10, step_ms=1.0)
    assert cut_off(figure, drawn) == []
    assert all("\n" not in ax.get_title(loc="left") for ax in figure.axes)


def test_a_long_title_goes_on_in_the_next_line() -> None:
    ax = plot.raster([[0, 1, 0, 1]])
    text = "recording 0/00819.bin, class 0, as a whole taken for 0 (no output spikes), and again the whole of it"
    title(ax, text)
    lines = ax.get_title(loc="left").split("\n")
    assert len(lines) > 1
    assert " ".join(lines) == text
    title(ax, "short")
    assert ax.get_title(loc="left") == "short"


@pytest.mark.parametrize("bold", [False, True])
def test_texts_take_no_more_than_they_may(bold: bool) -> None:
    for points in (40.0, 90.0, 200.0):
        short = shortened(FILE, points, 9.0, bold)
        assert width_of(short, 9.0, bold) <= points
        assert (short[0], short[-1]) == (FILE[0], FILE[-1])
        lines = wrapped(f"recording {FILE}, class {CLASSES[0]}", points, 9.0, bold).split("\n")
        assert all(width_of(line, 9.0, bold) <= points for line in lines)
    assert wrapped("as it is\nand below", 500, 9.0) == "as it is\nand below"
    assert shortened("", 1, 9.0) == ""
