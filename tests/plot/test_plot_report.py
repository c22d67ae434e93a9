"""A run's figures and the page that holds them."""

from __future__ import annotations

import base64
import html.parser
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from slayerloss import ArgumentError
from slayerloss.plot import Evaluation, Sample, raster, report, run_figures, set_caption
from slayerloss.plot.style import section_of


class Page(html.parser.HTMLParser):
    """The images, texts and links of a page; raises where a tag is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "img":
            self.images.append(values)
        self.links += [str(values[name]) for name in ("src", "href", "data") if name in values]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def captioned(text: str) -> Figure:
    figure = Figure()
    raster([[0, 1]], figure.add_subplot())
    set_caption(figure, text)
    return figure


def test_page_holds_everything_and_needs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "plots"
    figures = {"first_look": captioned("Two <steps> & a spike."), "second": captioned("")}
    page = report(figures, folder, title="A <run>", facts={"seed": 1, "recipe": "a: 1\nb: <2>"})
    assert page == folder / "report.html"
    names = ["first_look.png", "first_look.svg", "report.html", "second.png", "second.svg"]
    assert sorted(file.name for file in folder.iterdir()) == names
    assert (folder / "second.png").read_bytes().startswith(b"\x89PNG")

    parsed = Page(page.read_text(encoding="utf-8"))
    assert all(link.startswith("data:image/svg+xml;base64,") for link in parsed.links)
    for image, name in zip(parsed.images, ("first_look", "second"), strict=True):
        assert base64.b64decode(str(image["src"]).split(",")[1]) == (folder / f"{name}.svg").read_bytes()
    assert parsed.images[0]["alt"] == "Two <steps> & a spike."
    for text in ("A <run>", "First look", "Two <steps> & a spike.", "seed", "b: <2>"):
        assert text in parsed.text
    assert "prefers-color-scheme: dark" in page.read_text()
    assert "width=device-width" in page.read_text()


def test_a_caption_that_figures_share_stands_once_and_sections_have_the_names_given(tmp_path: Path) -> None:
    figures = {f"decision_{i}": captioned("How to read it.") for i in range(3)}
    for i, figure in enumerate(figures.values()):
        set_caption(figure, "How to read it.", section=f"recording {i}, class <{i}>")
    text = report({**figures, "no_section": captioned("Other.")}, tmp_path, title="t").read_text()
    shown = Page(text).text
    assert shown.count("How to read it.") == 1
    assert shown.count("To be read as 'Recording 0, class <0>' above.") == 2
    headings = re.findall("<h2>(.*)</h2>", text)
    assert headings == [*(f"Recording {i}, class &lt;{i}&gt;" for i in range(3)), "No section"]
    assert Page(text).images[1]["alt"] == "To be read as 'Recording 0, class <0>' above."


def test_images_fetch_nothing(tmp_path: Path) -> None:
    report({"a": captioned("x")}, tmp_path, title="t")
    svg = (tmp_path / "a.svg").read_text()
    links = re.findall(r'(?:href|src)="([^"]+)"', svg)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "<script" not in svg


def test_the_same_figures_give_the_same_files(tmp_path: Path) -> None:
    first = report({"a": captioned("x")}, tmp_path / "1", title="t")
    second = report({"a": captioned("x")}, tmp_path / "2", title="t")
    for name in ("a.png", "a.svg", "report.html"):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()


def test_a_figure_that_fails_leaves_the_old_files(tmp_path: Path) -> None:
    page = report({"a": captioned("old")}, tmp_path, title="old")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    broken = captioned("new")
    broken.axes[0].set_title("$\\nonsense{$")  # mathtext that cannot be drawn
    with pytest.raises(ValueError, match="nonsense"):
        report({"a": broken}, tmp_path, title="new")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert "old" in page.read_text()


@pytest.mark.parametrize("name", ["a/b", "", "a b", "../up"])
def test_names_that_are_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match="is no file name"):
        report({name: captioned("x")}, tmp_path, title="t")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        report({"a": captioned("x")}, tmp_path / "file", title="t")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()  # in the way of root, too
    with pytest.raises(OSError, match=r"a\.png"):
        report({"a": captioned("x")}, tmp_path, title="t")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def random_spikes(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape) < 0.2


COLUMNS: dict[str, Any] = {"epoch": [0, 1], "train_loss": [2.0, 1.0], "valid_accuracy": [0.5, 0.75]}


def test_classification_run() -> None:
    sample = Sample(
        events=random_spikes(2, 6, 6, 40),
        hidden={"first": random_spikes(12, 40)},
        output=random_spikes(3, 40),
        label=2,
        prediction=1,
        name="00807.bin",
    )
    evaluation = Evaluation(
        [sample, sample],
        name="owls",
        class_names=["cat", "dog", "<owl>"],
        confusion=np.eye(3),
        silent=1,
        events={"input": 9.0, "first": 5.0},
        weights={"first": [[0, 2]], "output": [[-40, 2]]},
        step_ms=1.0,
    )
    figures = run_figures(evaluation, {**COLUMNS, "events_first": [4.0, 5.0], "penalty_rates": [0.5, 0.25]})
    assert section_of(figures["decision_0"]) == "recording 00807.bin, class <owl>"
    assert list(figures) == [
        "learning", "penalties", "spikes_over_epochs", "confusion", "decision_0", "decision_1", "spikes", "weights",
    ]  # fmt: skip
    assert [len(figure.axes) for figure in figures.values()] == [2, 1, 1, 1, 5, 5, 1, 2]
    assert all(figure.get_label() for figure in figures.values())
    headings = {name: figure.get_suptitle() for name, figure in figures.items()}
    assert headings["decision_0"] == "owls: recording 00807.bin, class <owl>, as a whole taken for dog"
    assert all(text.startswith("owls: ") for text in headings.values())
    assert len({ax.get_xlim() for ax in figures["weights"].axes}) == 1
    assert "last 13 ms" in figures["decision_0"].axes[-1].get_ylabel()
    assert "1 recording had no output spike" in figures["confusion"].axes[0].get_xlabel().replace("\n", " ")


@pytest.mark.parametrize(
    ("tied", "said"),
    [
        ((), "taken for 2"),
        ((8,), "taken for 2 (tied with 8)"),
        ((8, 9), "taken for 2 (tied with 8 and 9)"),
        ((0, 1, 8, 9), "taken for 2 (tied with 4 others)"),
    ],
)
def test_the_heading_says_with_which_classes_the_answer_is_tied(tied: tuple[int, ...], said: str) -> None:
    sample = Sample(random_spikes(2, 10), np.eye(10), label=9, prediction=2, tied=tied)
    figure = run_figures(Evaluation([sample], step_ms=1.0))["decision_0"]
    assert figure.get_suptitle() == f"a recording, class 9, as a whole {said}"
    assert {"9 (true)", "2 (answer)"} <= {text.get_text() for text in figure.axes[-1].texts}
    assert "no bar: no spikes, or a tie" in figure.get_label()


def test_the_heading_says_that_no_output_spiked() -> None:
    sample = Sample(random_spikes(2, 9), np.zeros((3, 9)), label=1, prediction=0, tied=(1, 2))
    heading = run_figures(Evaluation([sample]))["decision_0"].get_suptitle()
    assert heading == "a recording, class 1, as a whole taken for 0 (no output spikes)"


def test_regression_run(tmp_path: Path) -> None:
    sample = Sample(events=random_spikes(4, 700), output=random_spikes(5, 700), target=random_spikes(5, 700))
    evaluation = Evaluation([sample], spike_time={"time_constant": 2.0, "filter_order": 2, "reduction": "sum"})
    figures = run_figures(evaluation, {"epoch": [0, 1], "train_loss": [2.0, 1.0], "valid_loss": [np.nan, np.nan]})
    assert list(figures) == ["learning", "output_0", "error_0", "layers_0", "filter"]
    assert figures["error_0"].axes[2].get_xlim() == (199.5, 499.5)  # the middle, shaded above
    assert len(figures["filter"].axes[0].lines) == 2
    assert "dot" not in figures["learning"].get_label()
    page = report(figures, tmp_path, title="Regression")
    assert len(Page(page.read_text()).images) == 5


def test_events_of_the_test_are_no_epoch() -> None:
    columns = {"epoch": [1, 3, 3], "events_a": [4.0, 3.0, 9.0], "test_loss": [np.nan, np.nan, 1.0]}
    (line,) = run_figures(Evaluation([]), columns)["spikes_over_epochs"].axes[0].lines
    assert line.get_ydata().tolist() == [4.0, 3.0]
    assert line.get_xdata().tolist() == [1, 3]


@pytest.mark.parametrize(
    ("harder", "validated", "said"),
    [
        ([], True, "epoch"),
        (["augmentation"], False, "epoch\n(train is measured with augmentation)"),
        (["augmentation", "dropout"], True, "epoch\n(train is measured with augmentation and dropout, valid without)"),
    ],
)
def test_the_curves_say_how_they_were_measured(harder: list[str], validated: bool, said: str) -> None:
    columns = {"epoch": [1, 2], "train_loss": [2.0, 1.0], "train_accuracy": [0.5, 0.6]}
    columns |= {"valid_loss": [2.0, 1.5]} if validated else {}
    above, below = run_figures(Evaluation([], harder=harder), columns)["learning"].axes
    assert (above.get_xlabel(), below.get_xlabel()) == ("", said)


def test_run_figures_are_not_kept_by_pyplot() -> None:
    from matplotlib import pyplot

    evaluation = Evaluation([Sample(events=random_spikes(2, 9), output=random_spikes(3, 9))] * 30)
    assert len(run_figures(evaluation, COLUMNS)) == 31
    assert pyplot.get_fignums() == []


def test_a_run_that_logged_nothing_yet_has_no_curves() -> None:
    assert run_figures(Evaluation([]), {"epoch": [], "train_loss": []}) == {}
    assert run_figures(Evaluation([])) == {}


def test_penalties_far_apart_are_on_a_log_scale() -> None:
    columns = {"epoch": [1, 2], "penalty_size": [40.0, 30.0], "penalty_rates": [0.5, 0.0]}
    assert run_figures(Evaluation([]), columns)["penalties"].axes[0].get_yscale() == "linear"
    columns["penalty_rates"] = [0.03, 0.0]
    assert run_figures(Evaluation([]), columns)["penalties"].axes[0].get_yscale() == "log"
    columns["penalty_rates"] = [0.0, 0.0]
    assert run_figures(Evaluation([]), columns)["penalties"].axes[0].get_yscale() == "linear"
