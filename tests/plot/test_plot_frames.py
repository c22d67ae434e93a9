"""Event recordings as pictures: every event lands in its frame, pixel and colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from slayerloss import ArgumentError, DtypeError, ShapeError, io
from slayerloss.plot import animate_event, event_frames, show_event
from slayerloss.plot.style import INK, OFF, ON

WHITE = (255, 255, 255)


def pixels(figure: Any) -> np.ndarray:
    """(F, H, W, 3)."""
    return np.stack([np.asarray(ax.images[0].get_array()) for ax in figure.axes])


def full(color: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(color))


def test_events_land_in_their_frame_pixel_and_colour() -> None:
    x = np.zeros((2, 3, 4, 10))
    x[0, 0, 1, 2] = 1  # OFF
    x[1, 2, 3, 7] = 1  # ON
    image = pixels(event_frames(x, frames=2))
    assert tuple(image[0, 0, 1]) == full(OFF)
    assert tuple(image[1, 2, 3]) == full(ON)
    assert (image != 255).any(-1).sum() == 2


def test_both_polarities_darken_each_other_and_counts_deepen_a_colour() -> None:
    x = np.zeros((2, 1, 3, 4))
    x[:, 0, 0, :] = 1
    x[1, 0, 1, 0] = 1
    both, one, none = pixels(event_frames(x, frames=1))[0, 0]
    assert (both <= np.minimum(full(OFF), full(ON))).all()
    assert tuple(none) == WHITE
    assert tuple(one) != WHITE
    assert (one >= full(ON)).all()  # one event of four is pale


def test_one_channel_is_ink_and_frames_cover_uneven_lengths() -> None:
    figure = event_frames(torch.ones(1, 2, 2, 7), frames=3, step_ms=0.5)
    assert tuple(pixels(figure)[2, 0, 0]) == full(INK)  # three steps; the others have two and are paler
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["0.0 to 1.0 ms", "1.0 to 2.0", "2.0 to 3.5"]


def test_a_padded_batch_equals_its_sample() -> None:
    batch = (np.random.default_rng(0).random((2, 2, 5, 5, 20)) < 0.3).astype(float)
    padded = event_frames(batch, frames=4, sample=1, lengths=torch.tensor([20, 12]))
    np.testing.assert_array_equal(pixels(padded), pixels(event_frames(batch[1, ..., :12], frames=4)))


@pytest.mark.parametrize(
    ("events", "options", "error", "text"),
    [
        (np.zeros((4, 10)), {}, ShapeError, r"events has no space; expected \(C, H, W, T\), got \(4, 10\)"),
        (np.zeros((2, 3, 4, 10)), {"frames": 11}, ArgumentError, "frames is out of range.*at most 10"),
        (np.zeros((2, 3, 4, 10)), {"frames": 2.5}, DtypeError, "frames is not an integer"),
    ],
)
def test_event_frames_refuses(events: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        event_frames(events, **options)


def camera_event() -> io.Event:
    t = np.arange(0, 100, 2.5)
    n = np.arange(t.size)
    return io.Event(n % 6, n % 5, n % 2, t)


def test_show_event_counts_every_event_once() -> None:
    figure = show_event(camera_event(), frames=40)
    drawn = (pixels(figure) != 255).any(-1)
    assert drawn.sum() == 40
    assert drawn.sum((1, 2)).tolist() == [1] * 40


def test_show_event_of_one_dimension_is_a_raster_with_exact_times() -> None:
    event = io.Event([3, 0, 5], None, [0, 1, 0], [0.25, 7.5, 9.0], payload=[1.0, 2.0, 4.0])
    off, on = show_event(event).axes[0].collections
    assert off.get_offsets().tolist() == [[0.25, 3], [9.0, 5]]
    assert on.get_offsets().tolist() == [[7.5, 0]]
    assert off.get_facecolors()[:, 3].tolist() == [0.25 + 0.75 / 4, 1.0]


@pytest.mark.parametrize("at_once", [True, False])
def test_animation_shows_each_stretch(at_once: bool) -> None:
    event = camera_event()
    animation = animate_event(event, frame_rate=25, pre_compute_frames=at_once)
    assert animation.to_jshtml().count("data:image/png") == 3  # 97.5 ms at 40 ms a picture
    ax = animation._fig.axes[0]
    seen = []
    for i in range(3):
        animation._func(i)
        seen.append(int((np.asarray(ax.images[0].get_array()) != 255).any(-1).sum()))
    assert seen == [16, 16, 8]
    assert ax.get_title(loc="left") == "80 to 120 ms"


def test_slow_motion_and_one_dimension() -> None:
    event = io.Event([3, 0, 5], None, [0, 0, 0], [1.0, 7.5, 9.0])
    animation = animate_event(event, frame_rate=100, slow_motion=2, repeat=False)
    assert animation.to_jshtml().count("data:image/png") == 2  # 5 ms a picture
    dots = animation._fig.axes[0].collections[0]
    animation._func(0)
    assert np.isfinite(dots.get_offsets()).all(1).tolist() == [True, False, False]
    animation._func(1)
    assert np.isfinite(dots.get_offsets()).all()


@pytest.mark.parametrize("draw", [show_event, animate_event])
@pytest.mark.parametrize(
    ("event", "error", "text"),
    [
        (np.zeros((3, 3)), DtypeError, "event is no Event; expected an io.Event, got ndarray"),
        (io.Event([], [], [], []), ArgumentError, "event is empty"),
        (io.Event([-1], [0], [0], [0.0]), ArgumentError, "negative coordinate"),
    ],
)
def test_other_events_are_refused(draw: Any, event: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        draw(event)


def test_animation_refuses_a_rate_of_zero() -> None:
    with pytest.raises(ArgumentError, match="frame_rate is out of range"):
        animate_event(camera_event(), frame_rate=0)


def test_a_real_recording_keeps_its_events(shared: Path) -> None:
    path = sorted((shared / "data" / "NMNIST" / "Test" / "3").glob("*.bin"))[0]
    event = io.read_2d_spikes(path)
    image = pixels(show_event(event, frames=1))[0]
    touched = {(int(y), int(x)) for x, y in zip(event.x, event.y, strict=True)}
    assert {tuple(place) for place in np.argwhere((image != 255).any(-1)).tolist()} == touched
