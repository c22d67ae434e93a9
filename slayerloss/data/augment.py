"""Augmentation of recordings: each acts on the events, before they are binned.

An augmentation is called with a recording and a generator and returns another recording; it never changes the arrays it
was given. Datasets derive the generator from (seed, epoch, position), so that what it draws depends on nothing else.
Coordinates stay real from one augmentation to the next and are rounded once, where the events are binned; events that
were moved off the sensor are dropped there.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ShapeError, check_integer, check_range, check_sequence, message
from slayerloss.io import Event


@dataclass(frozen=True)
class Shift:
    """Move the recording by whole pixels, in each direction by a number drawn from [-max_pixels, max_pixels].

    Args:
        max_pixels: 0 or more.

    Example:
        >>> Shift(4)(Event([10], [10], [0], [0.0]), np.random.default_rng(0))
        Event(1 events, x to 13, y to 11, c to 0, 0 to 0 ms)
    """

    max_pixels: int

    def __post_init__(self) -> None:
        check_integer("Shift", "max_pixels", self.max_pixels, 0)

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        dx, dy = (int(step) for step in rng.integers(-self.max_pixels, self.max_pixels, 2, endpoint=True))
        return _changed(event, x=event.x + dx, y=None if event.y is None else event.y + dy)


@dataclass(frozen=True)
class Rotate:
    """Turn the recording about the centre of the sensor by an angle drawn from [-max_degrees, max_degrees].

    Args:
        max_degrees: 0 or more. lava-dl's N-MNIST tutorial uses 5.
        size: (height, width) of the sensor in pixels.

    Raises:
        ShapeError: (when called) the recording has one spatial dimension.

    Example:
        >>> turned = Rotate(5)(Event([33, 0], [16, 17], [0, 0], [0.0, 1.0]), np.random.default_rng(2))
        >>> turned.x.round(1), turned.y.round(1)
        (array([33.,  0.]), array([15.3, 17.7]))
    """

    max_degrees: float
    size: tuple[int, int] = (34, 34)

    def __post_init__(self) -> None:
        check_range("Rotate", "max_degrees", self.max_degrees, 0)
        _check_size("Rotate", self.size)

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        angle = np.deg2rad(rng.uniform(-self.max_degrees, self.max_degrees))
        return _linear(
            "Rotate", event, np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), self.size
        )


@dataclass(frozen=True)
class Scale:
    """Stretch the recording about the centre of the sensor, x and y by factors drawn from [1 - amount, 1 + amount].

    Args:
        amount: in [0, 1).
        size: (height, width) of the sensor in pixels.

    Raises:
        ShapeError: (when called) the recording has one spatial dimension.

    Example:
        >>> wider = Scale(0.1)(Event([26, 7], [16, 17], [0, 0], [0.0, 1.0]), np.random.default_rng(4))
        >>> wider.x.round(1), wider.y.round(1)
        (array([26.8,  6.2]), array([16., 17.]))
    """

    amount: float
    size: tuple[int, int] = (34, 34)

    def __post_init__(self) -> None:
        check_range("Scale", "amount", self.amount, 0, 0.999)
        _check_size("Scale", self.size)

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        return _linear("Scale", event, np.diag(rng.uniform(1 - self.amount, 1 + self.amount, 2)), self.size)


@dataclass(frozen=True)
class Jitter:
    """Move each event in time by a normally distributed amount of its own; none gets before time 0.

    Args:
        sigma_ms: its standard deviation in ms, 0 or more.

    Example:
        >>> Jitter(1.0)(Event([1, 1], None, [0, 0], [0.0, 5.0]), np.random.default_rng(0)).t.round(1)
        array([0.1, 4.9])
    """

    sigma_ms: float

    def __post_init__(self) -> None:
        check_range("Jitter", "sigma_ms", self.sigma_ms, 0)

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        t = np.maximum(event.t + self.sigma_ms * rng.standard_normal(len(event)), 0)
        return _changed(event, t=t)


@dataclass(frozen=True)
class Drop:
    """Leave out each event with a probability drawn from [0, max_probability], one for the whole recording.

    Args:
        max_probability: in [0, 1].

    Example:
        >>> len(Drop(0.5)(Event(range(1000), None, [0] * 1000, range(1000)), np.random.default_rng(0)))
        992
    """

    max_probability: float

    def __post_init__(self) -> None:
        check_range("Drop", "max_probability", self.max_probability, 0, 1)

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        return event[rng.random(len(event)) >= rng.uniform(0, self.max_probability)]


@dataclass(frozen=True)
class Elastic:
    """Bend the recording: move each pixel by a smooth random field.

    Displacements are drawn at the nodes of a coarse grid, normally distributed, and interpolated between them.

    Args:
        sigma_pixels: their standard deviation in pixels, 0 or more.
        nodes: of the grid in each direction, at least 2.
        size: (height, width) of the sensor in pixels.

    Raises:
        ShapeError: (when called) the recording has one spatial dimension.

    Example:
        >>> bent = Elastic(1.0)(Event([10, 11], [20, 20], [0, 0], [0.0, 1.0]), np.random.default_rng(0))
        >>> bent.x.round(1), bent.y.round(1)
        (array([ 9.8, 10.9]), array([20.4, 20.4]))

    References:
        Simard, Steinkraus and Platt, Best Practices for Convolutional Neural Networks, ICDAR 2003.
    """

    sigma_pixels: float
    nodes: int = 5
    size: tuple[int, int] = (34, 34)

    def __post_init__(self) -> None:
        check_range("Elastic", "sigma_pixels", self.sigma_pixels, 0)
        check_integer("Elastic", "nodes", self.nodes, 2)
        _check_size("Elastic", self.size)

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        y = _second_dimension("Elastic", event)
        field = self.sigma_pixels * rng.standard_normal((self.nodes, self.nodes, 2))
        row, down = self._cell(y, self.size[0])
        column, across = self._cell(event.x, self.size[1])
        left = field[row, column] * (1 - down) + field[row + 1, column] * down
        right = field[row, column + 1] * (1 - down) + field[row + 1, column + 1] * down
        moved = left * (1 - across) + right * across
        return _changed(event, x=event.x + moved[:, 0], y=y + moved[:, 1])

    def _cell(self, position: NDArray[Any], pixels: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The cell of the grid that each position lies in, and (n, 1) how far inside, from 0 to 1."""
        along = np.clip(position * (self.nodes - 1) / (pixels - 1), 0, self.nodes - 1)
        cell = np.minimum(along.astype(np.int64), self.nodes - 2)
        return cell, (along - cell)[:, None]


def _check_size(function: str, size: tuple[int, int]) -> None:
    for pixels in check_sequence(function, "size", size, 2, "(height, width)"):
        check_integer(function, "size", pixels, 2)


def _linear(function: str, event: Event, matrix: NDArray[np.float64], size: tuple[int, int]) -> Event:
    """Map (x, y) about the centre of the sensor."""
    cx, cy = (size[1] - 1) / 2, (size[0] - 1) / 2
    x, y = matrix @ np.stack([event.x - cx, _second_dimension(function, event) - cy])
    return _changed(event, x=x + cx, y=y + cy)


def _second_dimension(function: str, event: Event) -> NDArray[Any]:
    if event.y is None:
        raise ShapeError(message(function, "the recording has one spatial dimension", "two", "one"))
    return event.y


def _changed(event: Event, **arrays: Any) -> Event:
    """The recording with other arrays; coordinates may be real."""
    changed = copy.copy(event)
    for name, array in arrays.items():
        setattr(changed, name, array)
    return changed
