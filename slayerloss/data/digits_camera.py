"""A simulated event camera that looks at 8x8 images of digits, which move as in the recordings of N-MNIST.

The image, dark strokes on white, falls on 34 x 34 pixels and moves along a triangle: three saccades of 100 ms, each
beginning and ending at rest. A pixel sends an event each time the logarithm of its intensity has changed by a threshold
since its last event, ON for brighter and OFF for darker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss.io import Event

SENSOR = 34  # pixels in each direction
DURATION_MS = 300
_FRAME_US = 2000  # the intensity is computed this often and taken to be linear in between
_NUM_FRAMES = DURATION_MS * 1000 // _FRAME_US + 1

_CORNERS = np.array([[0.0, 0.0], [2.5, 5.0], [5.0, 0.0], [0.0, 0.0]])  # the path of the image in pixels, (x, y)
_PITCH = 3.0  # pixels on the sensor for one pixel of the image
_EDGE = (7.0, 0.9)  # value (of 0 to 16) and steepness of a stroke's edge
_INK = 0.15  # light from a stroke; from the paper comes 1 more
_THRESHOLD = 0.35  # change of log intensity for one event
_MISMATCH = 0.05  # standard deviation of the thresholds over the pixels
_NOISE = 40  # events by chance in a recording, on average


@dataclass(frozen=True)
class Recordings:
    """Many recordings in little memory, 7 bytes an event: all events one after the other, and where each one begins."""

    x: NDArray[np.uint8]
    y: NDArray[np.uint8]
    c: NDArray[np.uint8]
    t: NDArray[np.int32]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def event(self, index: int) -> Event:
        """One recording, times in ms."""
        part = slice(self.starts[index], self.starts[index + 1])
        return Event(self.x[part], self.y[part], self.c[part], self.t[part] / 1000)


def simulate(images: NDArray[Any], ids: NDArray[Any], seed: int) -> Recordings:
    """What the camera records of each image.

    Args:
        images: (N, 8, 8), values in [0, 16].
        ids: (N,) a number for each image: with the seed, it fixes the noise of the recording.
        seed: fixes the camera (the thresholds of its pixels) and all noise.

    Returns:
        N recordings of 34 x 34 pixels and 300 ms, events in order of time.

    Example:
        >>> image = np.zeros((1, 8, 8))
        >>> image[0, 1:7, 3:5] = 16
        >>> simulate(image, np.array([0]), seed=0).event(0)
        Event(2... events, x to 33, y to 33, c to 1, 0... to 299... ms)
    """
    position = _positions()
    margin = (SENSOR - 1 - 7 * _PITCH - position.max()) / 2
    columns, rows = _drawing(position[:, 0] + margin), _drawing(position[:, 1] + margin)
    thresholds = _THRESHOLD * (1 + _MISMATCH * np.random.default_rng((seed, 0)).standard_normal(SENSOR * SENSOR))
    recorded = []
    for image, number in zip(images, ids, strict=True):
        log_intensity = _log_intensity(rows @ image @ columns.transpose(0, 2, 1))
        recorded.append(_change_events(log_intensity / thresholds, np.random.default_rng((seed, 1, int(number)))))
    starts = np.cumsum([0] + [len(time) for time, _, _ in recorded])
    time, pixel, polarity = (np.concatenate(parts) for parts in zip(*recorded, strict=True))
    y, x = np.divmod(pixel, SENSOR)
    return Recordings(x.astype(np.uint8), y.astype(np.uint8), polarity.astype(np.uint8), time.astype(np.int32), starts)


def _positions() -> NDArray[np.float64]:
    """Where the image is in each frame, (F, 2): each saccade accelerates and brakes like a cosine."""
    num_saccades = len(_CORNERS) - 1
    saccade = np.arange(_NUM_FRAMES)[:, None] / (_NUM_FRAMES - 1) * num_saccades - np.arange(num_saccades)
    done = (1 - np.cos(np.pi * np.clip(saccade, 0, 1))) / 2
    return done @ np.diff(_CORNERS, axis=0)


def _drawing(offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each of the 8 image pixels a sensor pixel sees, (F, 34, 8): quadratic B-splines, which sum to one."""
    place = (np.arange(SENSOR)[:, None] - offset[:, None, None]) / _PITCH
    distance = np.abs(place - np.arange(8))
    return np.where(distance < 0.5, 0.75 - distance**2, np.maximum(1.5 - distance, 0) ** 2 / 2)


def _log_intensity(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the light on each pixel, (F, 34 * 34): dark strokes with clear edges on white paper."""
    value, steepness = _EDGE
    return np.log(_INK + 1 / (1 + np.exp(steepness * (drawn - value)))).reshape(_NUM_FRAMES, -1)


def _change_events(
    level: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Time in us, pixel and polarity of the events, in order of time, with some noise among them.

    `level` (F, P) is the log intensity in thresholds. The reference of a pixel is a whole number, and the pixel sends
    an event when `level` reaches the next one above or below: at each crossing of a whole number but the one crossed
    last.
    """
    num_pixels = level.shape[1]
    level = level - level[0] + rng.random(num_pixels)  # each pixel begins anywhere between two events
    frame, pixel, crossed, on = _crossings(level)
    last_crossed = np.roll(crossed, 1)
    first = np.diff(pixel, prepend=-1) != 0
    reference = rng.integers(0, 2, level.shape[1:])  # at first, the whole number below or above the level
    last_crossed[first] = reference[pixel[first]]
    sent = crossed != last_crossed
    frame, pixel, crossed, on = frame[sent], pixel[sent], crossed[sent], on[sent]

    start, end = level[frame, pixel], level[frame + 1, pixel]
    time = np.floor((frame + (crossed - start) / (end - start)) * _FRAME_US).astype(np.int64)
    noise = int(rng.poisson(_NOISE))
    time = np.concatenate([time, rng.integers(0, DURATION_MS * 1000, noise)])
    pixel = np.concatenate([pixel, rng.integers(0, num_pixels, noise)])
    on = np.concatenate([on, rng.integers(0, 2, noise) > 0])
    order = np.argsort(time, kind="stable")
    return time[order], pixel[order], on[order]


def _crossings(level: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Where `level` (F, P) crosses whole numbers: frame before, pixel, number, whether upward; pixel by pixel."""
    floor = np.floor(level).astype(np.int16)
    frame, pixel = np.divmod(np.flatnonzero(floor[1:] != floor[:-1]), level.shape[1])
    order = np.argsort(pixel.astype(np.uint16), kind="stable")
    frame, pixel = frame[order], pixel[order]
    before, after = floor[frame, pixel].astype(np.int64), floor[frame + 1, pixel].astype(np.int64)
    crossings = np.abs(
        after - before
    )  # between two frames a pixel may cross several numbers: an entry for each of them
    entry = np.repeat(np.arange(len(crossings)), crossings)
    nth = np.arange(len(entry)) - (np.cumsum(crossings) - crossings)[entry]
    up = (after > before)[entry]
    crossed = np.where(up, before[entry] + 1 + nth, before[entry] - nth)
    return frame[entry], pixel[entry], crossed, up
