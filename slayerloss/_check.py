"""Exceptions and argument checks: the only place that words an error.

Every message reads `function: argument is wrong how; expected <rule>, got <value>. <a way out>.` The module imports
neither torch nor numpy: it looks at `.shape`, `.dtype` and `.ndim`, so that it serves `io` and `netx` as well.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SlayerError(Exception):
    """Whatever slayerloss refuses; every exception that it raises on purpose is one of these."""


class ArgumentError(SlayerError, ValueError):
    """A value outside its range, or not among the choices."""


class ShapeError(SlayerError, ValueError):
    """A tensor whose shape does not fit."""


class DtypeError(SlayerError, TypeError):
    """An argument of a type that cannot be used."""


class BackendError(SlayerError, RuntimeError):
    """A backend that was named and cannot run."""


class FormatError(SlayerError, ValueError):
    """A file that does not hold what its format demands."""


class DivergedError(SlayerError, ArithmeticError):
    """A training whose numbers are no longer finite."""


class MissingPackageError(SlayerError, ImportError):
    """A package of an optional extra that is not installed."""


def message(function: str, problem: str, expected: str, got: object, way_out: str = "") -> str:
    """Word an error the one way it is worded here.

    Example:
        >>> message("rate", "spikes has too few dimensions", "(N, C, ..., T)", "(3,)", "Add a batch dimension")
        'rate: spikes has too few dimensions; expected (N, C, ..., T), got (3,). Add a batch dimension.'
    """
    text = f"{function}: {problem}; expected {expected}, got {got}."
    return f"{text} {way_out.rstrip('.')}." if way_out else text


@dataclass(frozen=True)
class Finding:
    """One thing that a check of a file or folder found; its text is a line for people.

    Attributes:
        severity: "error" (it cannot be used, or not as it says), "warning" (it can, but is probably not what was meant)
            or "note".
        place: the file or folder, or the path inside an HDF5 file.
        problem: what is there, and what becomes of it.
        way_out: what to do about it.
        fatal: nothing can load or run it.

    Example:
        >>> print(Finding("warning", "Train/3", "the folder is empty", "Unpack the archive again"))
        warning: Train/3: the folder is empty. Unpack the archive again.
    """

    severity: str
    place: str
    problem: str
    way_out: str = ""
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.severity}: {self.place}: {self.problem}.{f' {self.way_out}.' if self.way_out else ''}"


_debug = False


@contextmanager
def debug_checks(enabled: bool = True) -> Iterator[None]:
    """Check values on every device, too, which makes a GPU wait; values on the CPU are always checked.

    Example:
        >>> with debug_checks():
        ...     pass
    """
    global _debug
    before, _debug = _debug, enabled
    try:
        yield
    finally:
        _debug = before


def values_are_checked(tensor: Any) -> bool:
    """Whether looking into `tensor` is allowed now: it lies on the CPU or `debug_checks` is on, and nothing compiles.

    Under torch.func (vmap, grad) a tensor may stand for many and has no value to look at.
    """
    import torch

    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    return bool(_debug or tensor.device.type == "cpu")


def check_installed(function: str, package: str, extra: str) -> None:
    """Raise MissingPackageError unless `package`, which the extra `extra` brings, can be imported."""
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(
            message(
                function,
                f"{package} is missing",
                f"{package} to be installed",
                "no such package",
                f'pip install "slayerloss[{extra}]"',
            )
        )


def check_folder_to_write(function: str, path: str | os.PathLike[str]) -> None:
    """Raise ArgumentError unless the folder `path` can be made where it is missing, and files be written into it."""
    place = Path(path).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        problem, got = f"'{path}' cannot be a folder", f"the file '{place}'"
        raise ArgumentError(message(function, problem, "folders, or nothing yet, all along the path", got))
    if not os.access(place, os.W_OK | os.X_OK):
        way_out = "Choose another folder, or change its permissions"
        raise ArgumentError(message(function, f"'{path}' cannot be written to", "permission to", "none", way_out))


def check_file_to_write(function: str, path: str | os.PathLike[str]) -> None:
    """Raise ArgumentError unless the file `path` can be made or replaced: its folder is there and it is none itself."""
    folder = Path(path).parent
    if not folder.is_dir():
        got = "a file" if folder.exists() else "no such folder"
        way_out = "" if folder.exists() else f"Make it first: mkdir -p {folder}"
        raise ArgumentError(message(function, f"'{path}' cannot be written", f"the folder '{folder}'", got, way_out))
    check_folder_to_write(function, folder)
    if Path(path).is_dir() or os.fspath(path).endswith(os.sep):
        raise ArgumentError(message(function, f"'{path}' is a folder", "a file", "a folder", "Name a file in it"))


def check_choice(function: str, argument: str, value: object, choices: Collection[str]) -> None:
    """Raise ArgumentError unless `value` is one of `choices`, naming the nearest one."""
    if value in choices:
        return
    near = difflib.get_close_matches(str(value), list(choices), n=1, cutoff=0.4)
    expected = "one of " + ", ".join(repr(choice) for choice in choices)
    raise ArgumentError(
        message(function, f"{argument} is unknown", expected, repr(value), f"Did you mean {near[0]!r}" if near else "")
    )


def check_range(
    function: str,
    argument: str,
    value: float,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    way_out: str = "",
) -> None:
    """Raise ArgumentError unless the number `value` lies in [low, high], or in (low, high] with `low_open`."""
    if isinstance(value, bool) or (not isinstance(value, (int, float)) and not hasattr(value, "__float__")):
        raise DtypeError(message(function, f"{argument} is not a number", "a number", type(value).__name__, way_out))
    inside = (low < float(value) if low_open else low <= float(value)) and float(value) <= high
    if not inside:
        if high == math.inf:
            rule = f"a number {'above' if low_open else 'of at least'} {low:g}"
        elif low == -math.inf:
            rule = f"a number of at most {high:g}"
        else:
            rule = f"a number in {'(' if low_open else '['}{low:g}, {high:g}]"
        raise ArgumentError(message(function, f"{argument} is out of range", rule, value, way_out))


def check_integer(function: str, argument: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as int; raise DtypeError unless it is an integer, ArgumentError unless low <= value <= high."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise DtypeError(message(function, f"{argument} is not an integer", "an integer", repr(value)))
    number = int(value.__index__())
    if (low is not None and number < low) or (high is not None and number > high):
        bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
        raise ArgumentError(
            message(function, f"{argument} is out of range", "an integer of " + " and ".join(bounds), number)
        )
    return number


def check_tensor(function: str, argument: str, value: Any, *, min_ndim: int = 0, layout: str = "") -> None:
    """Raise DtypeError unless `value` is a real torch tensor, ShapeError if it has under `min_ndim` dimensions."""
    import torch

    if not isinstance(value, torch.Tensor):
        way_out = "Use torch.as_tensor" if hasattr(value, "__array__") or isinstance(value, (list, tuple)) else ""
        raise DtypeError(
            message(function, f"{argument} is not a tensor", "a torch.Tensor", type(value).__name__, way_out)
        )
    if value.is_complex():
        raise DtypeError(message(function, f"{argument} is complex", "a real tensor", value.dtype))
    if value.ndim < min_ndim:
        raise ShapeError(
            message(
                function,
                f"{argument} has too few dimensions",
                layout or f"at least {min_ndim} dimensions",
                tuple(value.shape),
                "A single sample needs a batch dimension in front: x[None]" if value.ndim == min_ndim - 1 else "",
            )
        )


def check_same_shape(function: str, name_a: str, a: Any, name_b: str, b: Any) -> None:
    """Raise ShapeError unless both tensors have the same shape."""
    if tuple(a.shape) != tuple(b.shape):
        raise ShapeError(
            message(function, f"{name_b} does not match {name_a}", f"{name_b} {tuple(a.shape)}", tuple(b.shape))
        )


def check_shape(function: str, argument: str, value: Any, expected: Sequence[int], way_out: str = "") -> None:
    """Raise ShapeError unless `value.shape` is `expected`, DtypeError if it has none."""
    if not hasattr(value, "shape"):
        raise DtypeError(message(function, f"{argument} is not a tensor", str(tuple(expected)), type(value).__name__))
    if tuple(value.shape) != tuple(expected):
        raise ShapeError(
            message(function, f"{argument} has the wrong shape", str(tuple(expected)), tuple(value.shape), way_out)
        )


def check_finite(function: str, argument: str, value: Any) -> None:
    """Raise ArgumentError if a floating tensor holds NaN or infinity (only where `values_are_checked`)."""
    if not value.is_floating_point() or not values_are_checked(value):
        return
    # One pass, no temporary: a sum is finite unless an element is not (or the sum itself overflows: then look closely).
    if not math.isfinite(float(value.detach().sum())) and not bool(value.isfinite().all()):
        bad = int((~value.isfinite()).sum())
        raise ArgumentError(
            message(function, f"{argument} holds {bad} NaN or infinite values", "finite values", tuple(value.shape))
        )


def check_events(function: str, value: Any, argument: str = "spikes") -> None:
    """Check an event tensor (N, C, ..., T): a real, finite tensor of at least three dimensions and one step."""
    check_tensor(function, argument, value, min_ndim=3, layout="(N, C, ..., T)")
    check_signal(function, value, argument)


def check_signal(function: str, value: Any, argument: str = "x") -> None:
    """Check a tensor (..., T) of any dimensions: real, finite, of at least one step."""
    check_tensor(function, argument, value, min_ndim=1, layout="(..., T)")
    if value.shape[-1] == 0:
        raise ShapeError(message(function, f"{argument} has no time steps", "T of at least 1", tuple(value.shape)))
    check_finite(function, argument, value)


def check_lengths(function: str, lengths: Any, num_samples: int, num_steps: int) -> None:
    """Check `lengths`: integers of shape (N,), each in [1, T]."""
    check_tensor(function, "lengths", lengths)
    if lengths.is_floating_point() or str(lengths.dtype) == "torch.bool":
        raise DtypeError(message(function, "lengths is not of an integer type", "an integer tensor", lengths.dtype))
    check_shape(function, "lengths", lengths, (num_samples,))
    if values_are_checked(lengths) and lengths.numel():
        low, high = int(lengths.min()), int(lengths.max())
        if low < 1 or high > num_steps:
            raise ArgumentError(
                message(function, "lengths is out of range", f"values in [1, {num_steps}]", f"{low} to {high}")
            )


def check_labels(function: str, labels: Any, spikes: Any, *, windowed: bool) -> None:
    """Check class labels for `spikes` (N, C, ..., T): integers of shape (N,), with a window also (N, T)."""
    check_tensor(function, "labels", labels)
    if labels.is_floating_point() or str(labels.dtype) == "torch.bool":
        raise DtypeError(
            message(function, "labels is not of an integer type", "int64 or int32", labels.dtype, "Use labels.long()")
        )
    per_sample, per_step = (spikes.shape[0],), (spikes.shape[0], spikes.shape[-1])
    if tuple(labels.shape) != per_sample and not (windowed and tuple(labels.shape) == per_step):
        expected = f"{per_sample} or {per_step}" if windowed else str(per_sample)
        way_out = "Labels for every step need a moving_window" if not windowed and labels.ndim == 2 else ""
        raise ShapeError(message(function, "labels has the wrong shape", expected, tuple(labels.shape), way_out))
    check_same_device(function, "labels", labels, "spikes", spikes)


def check_same_device(function: str, name_a: str, a: Any, name_b: str, b: Any) -> None:
    """Raise ArgumentError unless both tensors lie on the same device."""
    if a.device != b.device:
        problem, way_out = f"{name_a} is not where {name_b} is", f"Use {name_a}.to({str(b.device)!r})"
        raise ArgumentError(message(function, problem, str(b.device), str(a.device), way_out))


def check_values(function: str, argument: str, value: Any, low: float, high: float, way_out: str = "") -> None:
    """Raise ArgumentError unless every value lies in [low, high] (only where `values_are_checked`)."""
    if not value.numel() or not values_are_checked(value):
        return
    smallest, largest = (bound.item() for bound in value.detach().aminmax())
    if not (low <= smallest and largest <= high):
        rule = f"values of at least {low:g}" if high == math.inf else f"values in [{low:g}, {high:g}]"
        got = f"{smallest:g} to {largest:g}"
        raise ArgumentError(message(function, f"{argument} is out of range", rule, got, way_out))
