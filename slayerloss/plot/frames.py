"""Event recordings as pictures: small multiples in time, and animations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from slayerloss._check import ArgumentError, DtypeError, ShapeError, check_integer, check_range, message
from slayerloss.io import Event
from slayerloss.plot._arrays import one_sample, step_unit
from slayerloss.plot.spikes import SMALLEST_DOT, dot_size
from slayerloss.plot.style import (
    FAINT,
    INK,
    OFF,
    ON,
    PALETTE,
    WIDTH,
    add_axes,
    color_key,
    new_figure,
    time_axis,
    title,
)


def event_frames(
    events: Any,
    figure: Figure | None = None,
    *,
    frames: int = 10,
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Figure:
    """Draw an event tensor as pictures side by side, each of one stretch of time.

    The more events a pixel has in the stretch, the stronger its colour; where ON and OFF meet, they darken each other.

    Args:
        events: (C, H, W, T), or a batch of them. Two channels are OFF and ON; one is drawn in ink.
        figure: where to draw; None makes one.
        frames: how many pictures, at most T.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The figure; it has one image per frame.

    Raises:
        ShapeError: `events` has no H and W.
        ArgumentError: `frames` is not in [1, T].

    Example:
        >>> figure = event_frames(np.ones((2, 3, 4, 6)), frames=3)
        >>> [ax.get_title(loc="left") for ax in figure.axes]
        ['0 to 2 steps', '2 to 4', '4 to 6']
    """
    values = one_sample(
        "event_frames", events, sample=sample, lengths=lengths, argument="events", flatten=False
    ).numpy()
    if values.ndim != 4:
        raise ShapeError(
            message("event_frames", "events has no space", "(C, H, W, T)", np.shape(events), "raster draws (C, T)")
        )
    check_integer("event_frames", "frames", frames, 1, values.shape[-1])
    counts, edges = _split(values, frames)
    unit = step_unit("event_frames", step_ms)
    return _small_multiples(counts, edges * unit, "steps" if step_ms is None else "ms", figure)


def show_event(event: Event, figure: Figure | None = None, *, frames: int = 10) -> Figure:
    """Draw a recording: one with two dimensions of space as pictures side by side, one with one as a raster.

    Args:
        event: at least one event, no negative coordinate.
        figure: where to draw; None makes one.
        frames: how many pictures.

    Returns:
        The figure.

    Raises:
        DtypeError: `event` is no Event.
        ArgumentError: it is empty or has a negative coordinate, or `frames` is below 1.

    Example:
        >>> event = Event([0, 3], None, [0, 1], [1.5, 9.0])
        >>> show_event(event).axes[0].collections[0].get_offsets().tolist()
        [[1.5, 0.0]]

    Note:
        `Event.show` plays an animation, as lava-dl's.
    """
    _check_event("show_event", event)
    check_integer("show_event", "frames", frames, 1)
    if event.y is not None:
        edges = np.linspace(float(event.t.min()), float(event.t.max()), frames + 1)
        count = _counter(event, edges)
        return _small_multiples(np.stack([count(i) for i in range(frames)]), edges, "ms", figure)
    figure = new_figure(figure)
    _scatter(add_axes(figure), event)
    return figure


def animate_event(
    event: Event,
    figure: Figure | None = None,
    frame_rate: float = 24,
    pre_compute_frames: bool = True,
    repeat: bool = True,
    *,
    slow_motion: float = 1.0,
) -> FuncAnimation:
    """Make an animation of a recording, in the time in which it happened or slower.

    Args:
        event: at least one event, no negative coordinate.
        figure: where to draw; None makes one.
        frame_rate: pictures per second.
        pre_compute_frames: paint all pictures now, which takes memory, or each when it is shown.
        repeat: start again at the end.
        slow_motion: how many times slower than it happened.

    Returns:
        The animation. Keep it in a variable while it plays; `save` writes a file, `to_jshtml` a page for a notebook.

    Raises:
        DtypeError: `event` is no Event.
        ArgumentError: it is empty or has a negative coordinate; `frame_rate` or `slow_motion` is not positive.

    Example:
        >>> t = np.arange(100)
        >>> event = Event(t % 5, t % 7, t % 2, t)
        >>> animation = animate_event(event, slow_motion=10)
        >>> animation.to_jshtml().count("data:image/png")
        24

    Note:
        `Event.anim` closes the figure, as lava-dl's.
    """
    _check_event("animate_event", event)
    check_range("animate_event", "frame_rate", frame_rate, 0, low_open=True)
    check_range("animate_event", "slow_motion", slow_motion, 0, low_open=True)
    interval = 1000 / frame_rate
    covered = interval / slow_motion
    first = math.floor(float(event.t.min()) / covered)
    num_frames = math.floor(float(event.t.max()) / covered) + 1 - first
    edges = (first + np.arange(num_frames + 1)) * covered

    figure = new_figure(figure, (WIDTH, 3.0) if event.y is None else (4.0, 4.0))
    ax = add_axes(figure)
    show = _scan(ax, event, edges) if event.y is None else _film(ax, event, edges, pre_compute_frames)
    return FuncAnimation(figure.canvas.figure, show, frames=num_frames, interval=interval, repeat=repeat)


def draw_strip(ax: Axes, values: np.ndarray, step_ms: float | None) -> None:
    """Draw (C, H, W, T) as a row of pictures, each over the stretch of the time axis that it shows."""
    height, width, num_steps = values.shape[1:]
    box = ax.get_window_extent()
    number = min(max(1, round(box.width / box.height * height / width)), num_steps)
    counts, edges = _split(values, number)
    full, unit = _saturation(counts), step_ms or 1.0
    for place, frame in enumerate(counts):
        span = (edges[place] - 0.5) * unit, (edges[place + 1] - 0.5) * unit
        ax.imshow(_paint(frame, full), extent=(*span, 0, 1), aspect="auto")
    time_axis(ax, num_steps, step_ms)
    ax.set(ylim=(0, 1), yticks=[])
    ax.spines["left"].set_visible(False)
    _polarity_key(ax, len(values), below=False)


def _split(values: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum (C, H, W, T) over `frames` stretches of time: (F, C, H, W) and the F + 1 steps that bound them."""
    edges = np.linspace(0, values.shape[-1], frames + 1).astype(int)
    return np.moveaxis(np.add.reduceat(np.abs(values), edges[:-1], axis=-1), -1, 0), edges


def _check_event(function: str, event: Event) -> None:
    if not isinstance(event, Event):
        way_out = "event_frames and raster draw tensors"
        raise DtypeError(message(function, "event is no Event", "an io.Event", type(event).__name__, way_out))
    if len(event) == 0:
        raise ArgumentError(message(function, "event is empty", "at least one event", 0))
    lowest = min(float(axis.min()) for axis in (event.x, event.y, event.c) if axis is not None)
    if lowest < 0:
        raise ArgumentError(message(function, "event has a negative coordinate", "x, y and c >= 0", lowest))


def _colors(num_channels: int) -> list[str]:
    return [INK] if num_channels == 1 else [OFF, ON, *(color for color in PALETTE if color != ON)]


def _polarity_key(ax: Axes, num_channels: int, *, below: bool = True) -> None:
    if num_channels == 2:
        color_key(ax, [("OFF", OFF), ("ON", ON)], below=below)


def _paint(counts: np.ndarray, full: float) -> np.ndarray:
    """Colour white paper with (C, H, W) counts: channels darken each other, `full` events saturate."""
    image = np.ones((*counts.shape[1:], 3))
    for count, color in zip(counts, itertools.cycle(_colors(counts.shape[0]))):
        amount = np.where(count > 0, 0.3 + 0.7 * np.minimum(count / full, 1), 0)
        image *= 1 - amount[..., None] * (1 - np.array(to_rgb(color)))
    return (255 * image).round().astype(np.uint8)


def _saturation(counts: np.ndarray) -> float:
    """The count that 98 of 100 pixels with events stay below."""
    return float(np.quantile(counts[counts > 0], 0.98)) if counts.any() else 1.0


def _picture(ax: Axes, image: np.ndarray) -> Any:
    ax.spines[:].set_visible(True)
    ax.spines[:].set(color=FAINT, linewidth=0.5)
    ax.set(xticks=[], yticks=[])
    return ax.imshow(image)


def _small_multiples(counts: np.ndarray, edges: np.ndarray, unit: str, figure: Figure | None) -> Figure:
    """Draw (F, C, H, W), the frame f from edges[f] to edges[f + 1]."""
    num_frames = counts.shape[0]
    rows = math.ceil(num_frames / 5)
    columns = math.ceil(num_frames / rows)
    side = WIDTH / columns
    figure = new_figure(figure, (WIDTH, rows * (side * counts.shape[2] / counts.shape[3] + 0.22) + 0.15))
    full = _saturation(counts)
    digits = 0 if np.all(edges == edges.round()) or edges[-1] - edges[0] >= 10 * num_frames else 1
    for place, frame in enumerate(counts):
        ax = add_axes(figure, rows, columns, place + 1)
        _picture(ax, _paint(frame, full))
        stretch = f"{edges[place]:.{digits}f} to {edges[place + 1]:.{digits}f}"
        title(ax, stretch if place else f"{stretch} {unit}")
    _polarity_key(ax, counts.shape[1])
    return figure


def _counter(event: Event, edges: np.ndarray) -> Callable[[int], np.ndarray]:
    """A function that counts the events of frame i per channel and pixel, (C, H, W)."""
    y, x, c = (np.round(np.asarray(axis)).astype(int) for axis in (event.y, event.x, event.c))
    shape = max(2, int(c.max()) + 1), int(y.max()) + 1, int(x.max()) + 1
    pixel = np.ravel_multi_index((c, y, x), shape)
    frame = np.clip(np.searchsorted(edges, event.t, side="right") - 1, 0, len(edges) - 2)
    order = np.argsort(frame, kind="stable")
    pixel, bounds = pixel[order], np.searchsorted(frame[order], np.arange(len(edges)))
    return lambda i: np.bincount(pixel[bounds[i] : bounds[i + 1]], minlength=math.prod(shape)).reshape(shape)


def _scatter(ax: Axes, event: Event) -> list[tuple[PathCollection, np.ndarray]]:
    """Draw every event of a 1-D recording at its time, channel by channel; paler the smaller its payload."""
    x, c, t = (np.asarray(axis) for axis in (event.x, event.c, event.t))
    weight = np.ones(len(t)) if event.p is None else np.abs(np.asarray(event.p, dtype=float))
    alpha = 0.25 + 0.75 * weight / max(weight.max(), 1e-12)
    ax.set(xlabel="time (ms)", ylabel="neuron", xlim=(t.min(), t.max() + 1), ylim=(-0.6, x.max() + 0.6))
    size = max(dot_size(ax, t, x), SMALLEST_DOT) ** 2
    drawn = []
    for channel, color in zip(range(int(c.max()) + 1), itertools.cycle(_colors(int(c.max()) + 1))):
        at = c == channel
        style = {"color": color, "alpha": alpha[at], "marker": "s", "linewidths": 0, "rasterized": True}
        drawn.append((ax.scatter(t[at], x[at], s=size, **style), np.column_stack([t[at], x[at]])))
    _polarity_key(ax, int(c.max()) + 1, below=False)
    return drawn


def _film(ax: Axes, event: Event, edges: np.ndarray, at_once: bool) -> Callable[[int], list[Artist]]:
    """A function that shows frame i of a 2-D recording."""
    count = _counter(event, edges)
    num_frames = len(edges) - 1
    full = max(_saturation(count(i)) for i in range(num_frames))
    images = [_paint(count(i), full) for i in range(num_frames)] if at_once else None
    picture = _picture(ax, _paint(0 * count(0), full))
    _polarity_key(ax, len(count(0)))
    title(ax, "")

    def show(i: int) -> list[Artist]:
        picture.set_data(images[i] if images else _paint(count(i), full))
        title(ax, f"{edges[i]:.0f} to {edges[i + 1]:.0f} ms")
        return [picture]

    return show


def _scan(ax: Axes, event: Event, edges: np.ndarray) -> Callable[[int], list[Artist]]:
    """A function that shows the events of a 1-D recording until the end of frame i, and a line there."""
    drawn = _scatter(ax, event)
    ax.set_xlim(edges[0], edges[-1])
    line = ax.axvline(edges[0], color=FAINT)

    def show(i: int) -> list[Artist]:
        for dots, offsets in drawn:
            dots.set_offsets(np.where(offsets[:, :1] < edges[i + 1], offsets, np.nan))
        line.set_xdata([edges[i + 1]] * 2)
        return [line, *(dots for dots, _ in drawn)]

    return show
