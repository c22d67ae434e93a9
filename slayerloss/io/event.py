"""`Event`: a recording as arrays of coordinates and times, with lava-dl's ways to a tensor and back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slayerloss._check import (
    DtypeError,
    ShapeError,
    check_choice,
    check_flag,
    check_integer,
    check_range,
    check_sequence,
    check_type,
    message,
)
from slayerloss.io._filling import check_writable, put, random_shift_of, sums_held
from slayerloss.io._values import check_steps, coordinates, fitting, numbers, silent_frames, whole

if TYPE_CHECKING:
    import torch
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

    Frames = TypeVar("Frames", NDArray[Any], torch.Tensor)


class Event:
    """A recording: where, in which channel and when something happened.

    The arrays are kept as attributes `x`, `y` (None in one dimension), `c`, `t` and `p` (the payload, or None) and may
    be replaced. They are never written to: an argument that needs no conversion is kept as it is.

    Args:
        x_event: (E,) column or neuron id; converted to int64, fractions cut off.
        y_event: (E,) row, the same; None for one spatial dimension.
        c_event: (E,) channel: for a camera the polarity, 0 for OFF and 1 for ON.
        t_event: (E,) time in milliseconds, finite; converted to float64.
        payload: (E,) value of each graded spike; None for binary events.

    Raises:
        ShapeError: the arrays are not one-dimensional and of one length.
        DtypeError: an array does not hold real numbers.
        ArgumentError: a coordinate or a time is NaN or infinite, or a coordinate is beyond 32 bits.

    Example:
        >>> event = Event([3, 3, 0], [1, 1, 2], [0, 1, 1], [0.25, 1.0, 2.75])
        >>> event
        Event(3 events, x to 3, y to 2, c to 1, 0.25 to 2.75 ms)
        >>> event.to_tensor().shape
        (2, 3, 4, 4)
        >>> event[event.c == 1].t
        array([1.  , 2.75])

    Note:
        lava-dl subtracts the smallest channel, in the caller's array, so that a recording of ON events only becomes one
        of OFF events only. Here channels stay as they are.
    """

    def __init__(
        self,
        x_event: ArrayLike,
        y_event: ArrayLike | None,
        c_event: ArrayLike,
        t_event: ArrayLike,
        payload: ArrayLike | None = None,
    ) -> None:
        self.x = coordinates("x_event", x_event)
        self.y = None if y_event is None else coordinates("y_event", y_event)
        self.c = coordinates("c_event", c_event)
        self.t = numbers("Event", "t_event", t_event).astype(np.float64, copy=False)
        self.p = None if payload is None else numbers("Event", "payload", payload)
        sizes = [len(array) for array in (self.x, self.y, self.c, self.t, self.p) if array is not None]
        if len(set(sizes)) != 1:
            raise ShapeError(message("Event", "the arrays have different lengths", "one length", sizes))

    @property
    def dim(self) -> int:
        """The number of spatial dimensions, 1 or 2."""
        return 1 if self.y is None else 2

    @property
    def graded(self) -> bool:
        """Whether the events carry a payload."""
        return self.p is not None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, selection: Any) -> Event:
        """The selected events: a slice, a boolean mask, an array of indices, or the index of one event.

        Raises:
            IndexError: the selection is something else, or out of range.
        """
        try:
            if isinstance(selection, int) or hasattr(selection, "__array__"):
                index = np.asarray(selection)
                selection = index.reshape(1) if index.ndim == 0 and index.dtype.kind in "iu" else index
            fits = self.t[selection].ndim == 1
        except (IndexError, TypeError, ValueError, RuntimeError):
            fits = False
        if not fits:
            rule = f"a slice, {len(self)} booleans, or whole numbers from {-len(self)} to {len(self) - 1}"
            got = repr(selection) if isinstance(selection, (int, str)) else type(selection).__name__
            raise IndexError(message("Event", "the selection does not fit", rule, got))
        selected = copy.copy(self)
        for name in ("x", "y", "c", "t", "p"):
            array = getattr(self, name)
            setattr(selected, name, None if array is None else array[selection])
        return selected

    def __repr__(self) -> str:
        if len(self) == 0:
            return f"Event(empty, {self.dim}-dimensional)"
        rows = "" if self.y is None else f"y to {self.y.max()}, "
        graded = ", graded" if self.graded else ""
        times = f"{self.t.min():g} to {self.t.max():g} ms"
        return f"Event({len(self)} events, x to {self.x.max()}, {rows}c to {self.c.max()}, {times}{graded})"

    def sorted(self) -> Event:
        """The same events in the order of their times; events of one time keep their order."""
        return self[np.argsort(self.t, kind="stable")]

    def to_tensor(self, sampling_time: float = 1, dim: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Bin the events as lava-dl does: bin round(t / Ts), amplitude 1/Ts, at most one spike per bin.

        Args:
            sampling_time: the width Ts of a bin in ms, above 0.
            dim: the shape wanted, (C, X, T) or (C, Y, X, T); without it, the smallest that holds all events.

        Returns:
            (C, X, T) for one spatial dimension, (C, Y, X, T) for two. An empty recording gives one silent step.

        Raises:
            ArgumentError: `sampling_time` is not above 0, or the tensor would be too large.
            ShapeError: `dim` has the wrong number of entries.

        Example:
            >>> Event([0, 1], None, [0, 0], [0.4, 2.0]).to_tensor()
            array([[[1., 0., 0.],
                    [0., 0., 1.]]])

        Note:
            `slayerloss.io.to_frames` bins with floor, counts, and keeps amplitude 1.
        """
        name = "Event.to_tensor"
        sampling_time = check_range(name, "sampling_time", sampling_time, 0, low_open=True)
        axes = [whole(axis) for axis in (self.c, self.y, self.x, self.t / sampling_time) if axis is not None]
        if dim is None:
            check_steps(name, axes[-1])
            shape = [int(axis.max(initial=0)) + 1 for axis in axes]
        else:
            shape = [check_integer(name, "dim", size, 1) for size in check_sequence(name, "dim", dim)]
        if len(shape) != len(axes):
            layout = "(C, X, T)" if self.dim == 1 else "(C, Y, X, T)"
            raise ShapeError(message(name, "dim does not fit the events", layout, tuple(shape)))
        spikes = silent_frames(name, tuple(shape), np.dtype(np.float64), "Give dim or a longer sampling_time")
        self.fill_tensor(spikes[:, None] if self.dim == 1 else spikes, sampling_time)
        return spikes

    def fill_tensor(
        self,
        empty_tensor: Frames,
        sampling_time: float = 1,
        random_shift: bool = False,
        binning_mode: str = "OR",
        *,
        rng: np.random.Generator | None = None,
    ) -> Frames:
        """Write the events into a tensor as lava-dl does: bin round(t / Ts), amplitude 1/Ts; others are dropped.

        Args:
            empty_tensor: (C, Y, X, T), or (C, 1, X, T) for one spatial dimension; numpy or torch, any device. It is
                filled in place.
            sampling_time: the width Ts of a bin in ms, above 0.
            random_shift: shift the recording by a random number of bins, such that no event leaves the tensor; where
                the recording is longer than the tensor, a random part of it is taken.
            binning_mode: "OR" gives at most one spike per bin, "SUM" adds them up. Graded events are always added up.
            rng: the source of the shift; by default one that follows numpy's global seed.

        Returns:
            `empty_tensor`.

        Raises:
            ArgumentError: `sampling_time` is not above 0; `binning_mode` is unknown; or `empty_tensor` is read-only,
                expanded, a leaf that requires grad, or of integers or booleans that do not hold a bin's sum.
            ShapeError: `empty_tensor` does not have four dimensions.

        Example:
            >>> Event([1, 1], None, [0, 0], [0.6, 1.4]).fill_tensor(np.zeros((1, 1, 2, 3)), binning_mode="SUM")
            array([[[[0., 0., 0.],
                     [0., 2., 0.]]]])

        Note:
            numpy's rounding sends halves to the even bin, in lava-dl as here. Unlike lava-dl's, "SUM" counts events
            that share a bin, and `random_shift` does not drop the beginning. A tensor of one channel takes events of
            one channel whichever number it bears: lava-dl renumbers such events.
        """
        name = "Event.fill_tensor"
        sampling_time = check_range(name, "sampling_time", sampling_time, 0, low_open=True)
        check_choice(name, "binning_mode", str(binning_mode).upper(), ("OR", "SUM"))
        check_flag(name, "random_shift", random_shift)
        if rng is not None:
            check_type(name, "rng", rng, np.random.Generator, "a numpy.random.Generator")
        array = as_array(name, "empty_tensor", empty_tensor)
        shape = tuple(empty_tensor.shape)
        if len(shape) != 4:
            layout = "(C, 1, X, T)" if self.dim == 1 else "(C, Y, X, T)"
            raise ShapeError(message(name, "empty_tensor has the wrong shape", layout, shape))
        check_writable(name, empty_tensor)
        x, c = whole(self.x), whole(self.c)
        y = np.zeros_like(x) if self.y is None else whole(self.y)
        t = whole(self.t / sampling_time)
        if random_shift and len(t):
            t = t + random_shift_of(int(t.min()), int(t.max()), shape[3], rng)
        if shape[0] == 1 and len(c) and c.min() == c.max():
            c = np.zeros_like(c)
        index: tuple[NDArray[np.int64], ...] = (c, y, x, t)
        inside = np.logical_and.reduce([(axis >= 0) & (axis < size) for axis, size in zip(index, shape, strict=True)])
        index = (c[inside], y[inside], x[inside], t[inside])
        values = np.full(len(index[0]), 1 / sampling_time) if self.p is None else self.p[inside]
        add = self.graded or str(binning_mode).upper() == "SUM"
        if array.dtype.kind in "biu":
            if add:
                index, values = sums_held(array, index, values)
            values, add = fitting(name, values, array.dtype, "Give a tensor of floats"), False
        put(empty_tensor, index, values, add)
        return empty_tensor

    def show(
        self,
        fig: int | Figure | None = None,
        frame_rate: float = 24,
        pre_compute_frames: bool = True,
        repeat: bool = False,
    ) -> FuncAnimation:
        """Play the recording in a window: `plot.animate_event`, then `matplotlib.pyplot.show`.

        Args:
            fig: where to draw, a figure or pyplot's number of one; None makes one.
            frame_rate, pre_compute_frames, repeat: as `plot.animate_event`.

        Returns:
            The animation, to be kept where the window does not block.

        Raises:
            MissingPackageError: matplotlib is not installed.
            ArgumentError: the recording is empty or has a negative coordinate, or `frame_rate` is not positive.
        """
        animation = self._animation(fig, frame_rate, pre_compute_frames, repeat)
        import matplotlib.pyplot as plt

        plt.show()
        return animation

    def anim(
        self,
        fig: int | Figure | None = None,
        frame_rate: float = 24,
        pre_compute_frames: bool = True,
        repeat: bool = True,
    ) -> FuncAnimation:
        """Make an animation of the recording, `plot.animate_event`, without a window of its own.

        Args:
            fig, frame_rate, pre_compute_frames, repeat: as `show`.

        Returns:
            The animation; `save` writes a file, `to_jshtml` a page for a notebook.

        Raises:
            MissingPackageError, ArgumentError: as `show`.

        Example:
            >>> t = np.arange(100)
            >>> Event(t % 5, t % 7, t % 2, t).anim(frame_rate=50).to_jshtml().count("data:image/png")
            5
        """
        animation = self._animation(fig, frame_rate, pre_compute_frames, repeat)
        import matplotlib.pyplot as plt

        plt.close(animation._fig)  # type: ignore[attr-defined]  # else a notebook shows the first picture, too
        return animation

    def _animation(self, fig: int | Figure | None, *arguments: Any) -> FuncAnimation:
        from slayerloss.plot import animate_event  # which says so if matplotlib is missing

        import matplotlib.pyplot as plt  # isort: skip
        from matplotlib.figure import Figure

        check_type("Event", "fig", fig, (int, Figure, type(None)), "a figure or the number of one")
        return animate_event(self, plt.figure(fig) if isinstance(fig, int) else fig, *arguments)


def tensor_to_event(spike_tensor: Any, sampling_time: float = 1) -> Event:
    """The events of a tensor, as lava-dl gives them: t = k Ts, payload = value * Ts unless that is 1 everywhere.

    Args:
        spike_tensor: (C, X, T) or (C, Y, X, T), numpy or torch.
        sampling_time: the width Ts of a bin in ms, above 0.

    Returns:
        One event per value other than zero; binary if every value is 1/Ts, graded otherwise.

    Raises:
        DtypeError: `spike_tensor` is neither a numpy array nor a torch tensor.
        ShapeError: it has neither three nor four dimensions.
        ArgumentError: `sampling_time` is not above 0.

    Example:
        >>> event = Event([0, 1], None, [0, 1], [0.0, 2.0])
        >>> tensor_to_event(event.to_tensor())
        Event(2 events, x to 1, c to 1, 0 to 2 ms)

    Note:
        As in lava-dl, `fill_tensor` writes a payload as it is and this function multiplies it by Ts: for graded events
        the two are inverse at Ts = 1 only. `to_frames` and `from_frames` are inverse at every step.
    """
    sampling_time = check_range("tensor_to_event", "sampling_time", sampling_time, 0, low_open=True)
    spikes = as_array("tensor_to_event", "spike_tensor", spike_tensor)
    if spikes.ndim not in (3, 4):
        raise ShapeError(
            message(
                "tensor_to_event", "spike_tensor has the wrong shape", "(C, X, T) or (C, Y, X, T)", tuple(spikes.shape)
            )
        )
    index = np.nonzero(spikes)
    payload = spikes[index] * sampling_time
    binary = bool(np.all(np.abs(payload - 1) < 1e-6))
    y = index[1] if spikes.ndim == 4 else None
    return Event(index[-2], y, index[0], index[-1] * sampling_time, None if binary else payload)


def as_array(function: str, argument: str, tensor: Any) -> NDArray[Any]:
    """The values of a numpy array or a torch tensor as a numpy array.

    Raises:
        DtypeError: it is neither.
    """
    array = tensor
    if not isinstance(tensor, np.ndarray):
        if not hasattr(tensor, "detach"):
            raise DtypeError(message(function, f"{argument} is no tensor", "numpy or torch", type(tensor).__name__))
        if str(tensor.layout) != "torch.strided":
            got, way_out = tensor.layout, "Use to_dense()"
            raise DtypeError(message(function, f"{argument} is not dense", "a dense tensor", got, way_out))
        host = tensor.detach().cpu()
        try:
            array = np.asarray(host.float() if str(host.dtype) == "torch.bfloat16" else host)
        except (TypeError, RuntimeError):  # nested, quantised, or of a dtype of 8 bits
            problem, rule = f"{argument} is no array", "a dense tensor of a dtype that numpy has"
            raise DtypeError(message(function, problem, rule, host.dtype)) from None
    if array.dtype.kind not in "biuf":
        raise DtypeError(message(function, f"{argument} does not hold numbers", "real numbers", array.dtype))
    return array


def check_event(function: str, argument: str, event: Any) -> None:
    """Raise DtypeError unless `event` is an Event."""
    check_type(function, argument, event, Event, "an Event")
