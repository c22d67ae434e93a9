"""lava-dl's ways to look at an Event."""

from __future__ import annotations

import numpy as np
import pytest

from slayerloss import ArgumentError
from slayerloss.io import Event

plt = pytest.importorskip("matplotlib.pyplot")
T = np.arange(100)
RECORDINGS = {
    "1-D": Event(T % 5, None, T % 2, T),
    "1-D graded": Event(T % 5, None, T % 2, T, payload=T + 1),
    "2-D": Event(T % 5, T % 7, T % 2, T),
}


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """How often a window was opened; figures are closed afterwards."""
    plt.switch_backend("Agg")
    plt.close("all")  # of other tests
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(plt.get_fignums()))
    yield calls
    plt.close("all")


@pytest.mark.parametrize("event", RECORDINGS.values(), ids=RECORDINGS)
@pytest.mark.parametrize("pre_compute_frames", [True, False])
def test_an_animation_leaves_no_figure_open(event, pre_compute_frames, shown):
    animation = event.anim(None, 50, pre_compute_frames)
    assert plt.get_fignums() == []
    assert shown == []
    assert animation.to_jshtml().count("data:image/png") == 5


def test_a_figure_may_be_given_by_its_number(shown):
    figure = plt.figure(7)
    animations = [
        RECORDINGS["2-D"].show(fig=7, frame_rate=50),
        RECORDINGS["1-D"].show(fig=plt.figure(8), frame_rate=50),
    ]
    assert [animation._fig for animation in animations] == [figure, plt.figure(8)]
    assert shown == [[7], [7, 8]]
    assert all(animation.to_jshtml() for animation in animations)  # one that is never drawn warns


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ArgumentError, match="empty"):
        Event([], None, [], []).anim()
    with pytest.raises(ArgumentError, match="frame_rate"):
        RECORDINGS["1-D"].show(frame_rate=0)
