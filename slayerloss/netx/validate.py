"""Hold a layer's fields against the schema: is everything there, of the right type and of a shape that fits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss.netx.container import fail
from slayerloss.netx.description import Layer, Tree
from slayerloss.netx.field import KINDS, Field, Shape
from slayerloss.netx.schema import COMPLEX, LAYERS, MAX_NEURONS, NEURONS


def validate(layer: Layer, source: str, place: str) -> None:
    """Raise FormatError unless the fields of `layer` have the types and shapes of the schema.

    Args:
        layer: a layer; if its type, or its neuron's, has no row in the schema, it passes as it is.
        source: the file's name, for the message.
        place: the layer's HDF5 path, for the message.

    Raises:
        FormatError: a required field is missing, or a field has a type or shape that does not fit.
    """
    neuron = layer.neuron
    if neuron is not None:
        if not isinstance(neuron, Mapping):
            raise fail(source, f"{place}/neuron", "is not a group", "a group with the neuron's fields", "a dataset")
        if not isinstance(neuron.get("type"), str):
            raise fail(source, f"{place}/neuron/type", "is not there or not text", "the neuron's type", "none")
    kind = None if neuron is None else neuron["type"]
    sizes: dict[str, int] = {}
    if layer.type in LAYERS:
        fields = LAYERS[layer.type]
        _validate_field(fields["shape"], layer.fields.get("shape"), sizes, source, f"{place}/shape")
        sizes = _own_sizes(layer, source, place)
        for name, rule in fields.items():
            _validate_field(rule, layer.fields.get(name), sizes, source, f"{place}/{name}")
            if rule.parts and (kind is None or kind in NEURONS):
                _validate_group(kind in COMPLEX, layer.fields.get(name), rule, source, f"{place}/{name}")
    if neuron is not None:
        for name, rule in NEURONS.get(neuron["type"], {}).items():
            _validate_field(rule, neuron.get(name), sizes, source, f"{place}/neuron/{name}")


def _own_sizes(layer: Layer, source: str, place: str) -> dict[str, int]:
    shape = layer.shape
    neurons = math.prod(shape)
    if min(shape) < 1 or neurons > MAX_NEURONS:
        raise fail(source, f"{place}/shape", "is absurd", f"sizes from 1 on, at most {MAX_NEURONS} neurons", shape)
    if layer.type.startswith("dense"):
        return {"out": neurons, "C": neurons}
    return {"out": neurons, **dict(zip("CHW", shape, strict=False))}


def _validate_field(rule: Field, value: Any, sizes: dict[str, int], source: str, place: str) -> None:
    if value is None:
        if rule.required:
            raise fail(source, place, "is missing", rule.meaning, "none")
        return
    if isinstance(value, Mapping):
        if rule.kind == "group":
            return
        if not rule.parts:
            raise fail(source, place, "is a group", f"a dataset of {KINDS[rule.kind].words}", "a group")
        for name in rule.parts:
            _validate_field(replace(rule, parts=()), value.get(name), sizes, source, f"{place}/{name}")
        return
    array = np.asarray(value)
    kind = KINDS[rule.kind]
    wrong = array.dtype.kind == "O" and not all(isinstance(item, str) for item in array.flat)
    if wrong or array.dtype.kind not in kind.accepted:
        raise fail(source, place, "has the wrong type", kind.words, array.dtype)
    for pattern in (*rule.shapes, *rule.not_in_lava):
        fitted = _fit(pattern, array.shape, sizes)
        if fitted is not None:
            sizes.update(fitted)
            return
    expected = " or ".join(_words(pattern, sizes) for pattern in rule.shapes)
    raise fail(source, place, "has the wrong shape", expected, array.shape)


def _validate_group(is_complex: bool, value: Any, rule: Field, source: str, place: str) -> None:
    """Raise FormatError for a field in two parts of neurons with one state, or the other way round."""
    if isinstance(value, Mapping) and not is_complex:
        raise fail(source, place, "is a group", f"a dataset of {KINDS[rule.kind].words}", "a group")
    if value is not None and not isinstance(value, Mapping) and is_complex:
        expected = f"a group with {' and '.join(rule.parts)}, for neurons with a complex state"
        raise fail(source, place, "is not a group", expected, "a dataset")


def _fit(pattern: Shape, shape: tuple[int, ...], sizes: Mapping[str, int]) -> dict[str, int] | None:
    """The sizes that a shape fixes, or None where it does not fit the pattern."""
    if pattern == ("ndim",):
        return {} if len(shape) == 1 and 1 <= shape[0] <= 3 else None
    if _in_one_row(pattern):
        rows, columns = str(pattern[0]).split("*")
        if len(shape) != 1 or shape[0] % sizes[rows]:
            return None
        return _fit((rows, columns), (sizes[rows], shape[0] // sizes[rows]), sizes)
    if len(pattern) != len(shape) or 0 in shape:
        return None
    fixed: dict[str, int] = {}
    for letter, size in zip(pattern, shape, strict=True):
        known = letter if isinstance(letter, int) else fixed.get(letter, sizes.get(letter, size))
        if known != size:
            return None
        if isinstance(letter, str):
            fixed[letter] = size
    return fixed


def _in_one_row(pattern: Shape) -> bool:
    return len(pattern) == 1 and "*" in str(pattern[0])


def _words(pattern: Shape, sizes: Mapping[str, int]) -> str:
    if pattern == ("ndim",):
        return "1 to 3 sizes"
    names = ", ".join(f"{letter}={sizes[str(letter)]}" if letter in sizes else str(letter) for letter in pattern)
    return f"({names}{',' if len(pattern) == 1 else ''})"


def normalize(fields: Mapping[str, Any], rules: Mapping[str, Field], source: str, place: str) -> Tree:
    """The same fields in the types that the format keeps them in; fields without a rule become plain arrays.

    Raises:
        FormatError: a field is ragged, of the wrong type, or beyond what its type in the file holds.
    """
    return {name: _normalized(value, rules.get(name), source, f"{place}/{name}") for name, value in fields.items()}


def _normalized(value: Any, rule: Field | None, source: str, place: str) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        parts = {} if rule is None else dict.fromkeys(rule.parts, rule)
        return normalize(value, parts, source, place)
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise fail(source, place, "is ragged", "rows of one length", type(value).__name__) from error
    if rule is None or rule.kind in ("text", "group"):
        return array.astype(object) if array.dtype.kind == "U" else array  # as texts are read
    kind = KINDS[rule.kind]
    if array.dtype.kind not in f"{kind.accepted}bf":
        raise fail(source, place, "has the wrong type", kind.words, array.dtype)
    with np.errstate(all="ignore"):  # what does not fit is refused below
        kept: NDArray[Any] = array.astype(kind.dtype)
        lost = np.isfinite(array) & ~np.isfinite(kept) if rule.kind != "integer" else kept != array
    if np.any(lost):
        raise fail(source, place, f"does not fit into {kept.dtype}", kind.words, array[lost].flat[0])
    return kept
