"""Exceptions and argument checks: the only place that words an error.

Every message reads `function: argument is wrong how; expected <rule>, got <value>. <a way out>.` The module imports
neither torch nor numpy: it looks at `.shape`, `.dtype` and `.ndim`, so that it serves `io` and `netx` as well.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

LOWEST_INTEGER, HIGHEST_INTEGER = -(2**63), 2**63 - 1
"""What torch and numpy can hold."""


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


class FileError(ArgumentError, OSError):
    """A path that cannot be read or written."""


class MissingFileError(FileError, FileNotFoundError):
    """A file or folder that is not there."""


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
    return f"{text} {way_out}{'' if way_out.endswith(('.', '?')) else '.'}" if way_out else text


@contextmanager
def errors_of(what: str) -> Iterator[None]:
    """Begin each error of slayerloss that is raised inside with what it is about, such as "penalty 'size'"."""
    try:
        yield
    except SlayerError as error:
        raise type(error)(f"{what}, {error}") from error


_debug = False
_values = True


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


@contextmanager
def values_unchecked() -> Iterator[None]:
    """Look into no tensor: a NaN goes through a function into its result, instead of an error."""
    global _values
    before, _values = _values, False
    try:
        yield
    finally:
        _values = before


def values_are_checked(tensor: Any) -> bool:
    """Whether looking into `tensor` is allowed now: it lies on the CPU or `debug_checks` is on, and nothing compiles.

    Under torch.func (vmap, grad) a tensor may stand for many and has no value to look at.
    """
    import torch

    if not _values or torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    return bool(_debug or tensor.device.type == "cpu")


def check_installed(function: str, package: str, extra: str) -> None:
    """Raise MissingPackageError unless `package`, which the extra `extra` brings, can be imported."""
    if importlib.util.find_spec(package) is None:
        expected, way_out = f"{package} to be installed", f'pip install "slayerloss[{extra}]"'
        raise MissingPackageError(message(function, f"{package} is missing", expected, "no such package", way_out))


def check_choice(function: str, argument: str, value: object, choices: Collection[str]) -> None:
    """Raise ArgumentError unless `value` is one of the texts `choices`, naming the nearest one."""
    if isinstance(value, str) and value in choices:
        return
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(value).lower(), by_lower, n=1, cutoff=0.5)
    expected = "one of " + ", ".join(repr(choice) for choice in choices)
    way_out = f"Did you mean {by_lower[near[0]]!r}?" if near else ""
    raise ArgumentError(message(function, f"{argument} is unknown", expected, repr(value), way_out))


def check_range(
    function: str,
    argument: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    infinite: bool = False,
    way_out: str = "",
) -> float:
    """Return the number `value`, finite unless `infinite`, in [low, high], or in (low, high] with `low_open`.

    Raises DtypeError if it is no number, ArgumentError if it is another one.
    """
    if not _is_number(value):
        raise DtypeError(message(function, f"{argument} is not a number", "a number", type(value).__name__, way_out))
    value = value.detach() if hasattr(value, "detach") else value  # a learnable one
    too_long = isinstance(value, int) and not LOWEST_INTEGER <= value <= HIGHEST_INTEGER  # torch could not hold it
    number = (math.inf if value > 0 else -math.inf) if too_long else float(value)
    inside = (low < number if low_open else low <= number) and number <= high
    if inside and (infinite or math.isfinite(number)):
        return number
    if low == -math.inf and high == math.inf:
        rule = "a finite number"
    elif high == math.inf:
        rule = f"a number {'above' if low_open else 'of at least'} {low:g}"
    elif low == -math.inf:
        rule = f"a number of at most {high:g}"
    else:
        rule = f"a number in {'(' if low_open else '['}{low:g}, {high:g}]"
    raise ArgumentError(message(function, f"{argument} is out of range", rule, value, way_out))


def _is_number(value: Any) -> bool:
    """Whether `value` is one real number: of Python, of numpy, or a tensor that holds one."""
    if isinstance(value, (int, float)):
        return not isinstance(value, bool)
    if isinstance(value, type) or not hasattr(value, "__float__") or getattr(value, "ndim", 0) > 0:
        return False
    if getattr(value, "is_meta", False):  # it holds none
        return False
    dtype = str(getattr(value, "dtype", "float"))
    return "int" in dtype or "float" in dtype


def check_integer(
    function: str, argument: str, value: Any, low: int = LOWEST_INTEGER, high: int = HIGHEST_INTEGER
) -> int:
    """Return `value` as int; raise DtypeError unless it is an integer, ArgumentError unless low <= value <= high."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not _is_number(value):
        raise DtypeError(message(function, f"{argument} is not an integer", "an integer", _short(value)))
    try:
        number = value if isinstance(value, int) else int(value.__index__())
    except TypeError:  # of numpy or torch, with a fraction
        raise DtypeError(message(function, f"{argument} is not an integer", "an integer", _short(value))) from None
    if not low <= number <= high:
        bounds = [f"at least {low}"] * (low > LOWEST_INTEGER) + [f"at most {high}"] * (high < HIGHEST_INTEGER)
        rule = "an integer of " + (" and ".join(bounds) or "64 bits")
        raise ArgumentError(message(function, f"{argument} is out of range", rule, number))
    return number


def check_flag(function: str, argument: str, value: Any) -> bool:
    """Return `value` as bool; raise DtypeError unless it is True or False, of Python or of numpy, or 1 or 0."""
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise DtypeError(message(function, f"{argument} is neither True nor False", "True or False", _short(value)))


def check_type(function: str, argument: str, value: Any, kind: type | tuple[type, ...], rule: str) -> None:
    """Raise DtypeError unless `value` is an instance of `kind`, which `rule` describes."""
    if not isinstance(value, kind):
        raise DtypeError(message(function, f"{argument} is of the wrong type", rule, _short(value)))


def check_callable(function: str, argument: str, value: Any) -> None:
    """Raise DtypeError unless `value` can be called; a class is taken for an instance that was forgotten."""
    if isinstance(value, type) or not callable(value):
        raise DtypeError(message(function, f"{argument} is no function", "a function or an instance", _short(value)))


def check_sequence(function: str, argument: str, value: Any, length: int | None = None, rule: str = "") -> list[Any]:
    """Return a sequence or an array of one dimension as list; raise DtypeError for anything else, text included.

    ArgumentError if it has another length than `length`; `rule` says what is expected.
    """
    rule = rule or ("a sequence" if length is None else f"{length} of them")
    ordered = isinstance(value, Sequence) or getattr(value, "ndim", 0) == 1
    if isinstance(value, (str, bytes)) or not ordered:
        raise DtypeError(message(function, f"{argument} is no sequence", rule, _short(value)))
    if length is not None and len(value) != length:
        raise ArgumentError(message(function, f"{argument} has the wrong length", rule, _short(value)))
    return list(value)


def _short(value: Any) -> str:
    """What was given, for an error: itself where that is short, else its type."""
    simple = value is None or isinstance(value, (str, int, float, complex, tuple, list, dict, type))
    text = repr(value) if simple else type(value).__name__
    return text if len(text) <= 80 else type(value).__name__


def check_tensor(
    function: str, argument: str, value: Any, *, min_ndim: int = 0, layout: str = "", sparse: bool = False
) -> None:
    """Raise DtypeError unless `value` is a real torch tensor, ShapeError if it has under `min_ndim` dimensions.

    With `sparse`, one of coordinates and values is well, too.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        way_out = "Use torch.as_tensor" if hasattr(value, "__array__") or isinstance(value, (list, tuple)) else ""
        if isinstance(value, tuple) and value and isinstance(value[0], torch.Tensor):
            way_out = "Pass its first part; a block with count_log=True, for one, gives the spikes and their count"
        raise DtypeError(
            message(function, f"{argument} is not a tensor", "a torch.Tensor", type(value).__name__, way_out)
        )
    if value.dtype.is_complex:
        raise DtypeError(message(function, f"{argument} is complex", "a real tensor", value.dtype))
    layouts = ("torch.strided", "torch.sparse_coo") if sparse else ("torch.strided",)
    if value.is_nested or value.is_quantized or str(value.layout) not in layouts:
        way_out = (
            "Use to_padded_tensor()"
            if value.is_nested
            else f"Use {'dequantize' if value.is_quantized else 'to_dense'}()"
        )
        got = "a nested tensor" if value.is_nested else value.dtype if value.is_quantized else value.layout
        raise DtypeError(message(function, f"{argument} is not dense", "a dense tensor", got, way_out))
    if value.dtype.itemsize == 1 and value.dtype not in (torch.bool, torch.uint8, torch.int8):
        rule = "bool, an integer, or a float of at least 16 bits"
        raise DtypeError(message(function, f"{argument} is of a dtype too narrow to compute in", rule, value.dtype))
    if value.ndim < min_ndim:
        raise ShapeError(
            message(
                function,
                f"{argument} has too few dimensions",
                layout or f"at least {min_ndim} dimensions",
                tuple(value.shape),
                f"A single sample needs a batch dimension in front: {argument}[None]"
                if value.ndim == min_ndim - 1
                else "",
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
    try:
        shape = tuple(value.shape)
    except (AttributeError, TypeError):
        got = type(value).__name__
        raise DtypeError(message(function, f"{argument} is not a tensor", str(tuple(expected)), got)) from None
    if shape != tuple(expected):
        raise ShapeError(message(function, f"{argument} has the wrong shape", str(tuple(expected)), shape, way_out))


def check_state(function: str, argument: str, value: Any, expected: Sequence[int], like: Any) -> None:
    """Check one tensor of a state: real, finite, of the shape `expected`, and where `like` is."""
    check_tensor(function, argument, value)
    check_shape(function, argument, value, expected, "Reset the state before another batch")
    check_same_device(function, argument, value, "x", like)
    check_finite(function, argument, value)


def check_finite(function: str, argument: str, value: Any) -> None:
    """Raise ArgumentError if a floating tensor holds NaN or infinity (only where `values_are_checked`)."""
    if not value.is_floating_point() or not values_are_checked(value):
        return
    value = value._values() if str(value.layout) == "torch.sparse_coo" else value
    # One pass, no temporary: a sum is finite unless an element is not (or the sum itself overflows: then look closely).
    if not math.isfinite(float(value.detach().sum())) and not bool(value.isfinite().all()):
        bad = int((~value.isfinite()).sum())
        raise ArgumentError(
            message(function, f"{argument} holds {bad} NaN or infinite values", "finite values", tuple(value.shape))
        )


def check_events(
    function: str, value: Any, argument: str = "spikes", *, sparse: bool = False, values: bool = True
) -> None:
    """Check an event tensor (N, C, ..., T): a real, finite tensor of at least three dimensions and one step.

    `values=False` leaves the values to a kernel that looks at them itself.
    """
    check_tensor(function, argument, value, min_ndim=3, layout="(N, C, ..., T)", sparse=sparse)
    check_signal(function, value, argument, sparse=sparse, values=values)


def check_signal(function: str, value: Any, argument: str = "x", *, sparse: bool = False, values: bool = True) -> None:
    """Check a tensor (..., T) of any dimensions: real, finite, of at least one step; `values` as in `check_events`."""
    check_tensor(function, argument, value, min_ndim=1, layout="(..., T)", sparse=sparse)
    if value.shape[-1] == 0:
        raise ShapeError(message(function, f"{argument} has no time steps", "T of at least 1", tuple(value.shape)))
    if values:
        check_finite(function, argument, value)


def check_lengths(function: str, lengths: Any, like: Any) -> None:
    """Check the `lengths` of `like` (N, ..., T): integers of shape (N,), each in [1, T], on the same device."""
    check_tensor(function, "lengths", lengths)
    if str(lengths.dtype) not in ("torch.int64", "torch.int32", "torch.int16", "torch.int8", "torch.uint8"):
        problem, rule = "lengths is not of an integer type that fits", "a signed integer tensor or uint8"
        raise DtypeError(message(function, problem, rule, lengths.dtype, "Use lengths.long()"))
    check_shape(function, "lengths", lengths, (like.shape[0],))
    check_same_device(function, "lengths", lengths, "the input", like)
    check_values(function, "lengths", lengths, 1, like.shape[-1])


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
    wide = value.detach().double() if str(value.dtype).startswith("torch.uint") else value.detach()  # no aminmax there
    smallest, largest = (bound.item() for bound in wide.aminmax())
    if not (low <= smallest and largest <= high):
        rule = f"values of at least {low:g}" if high == math.inf else f"values in [{low:g}, {high:g}]"
        got = f"{smallest:g} to {largest:g}"
        raise ArgumentError(message(function, f"{argument} is out of range", rule, got, way_out))
