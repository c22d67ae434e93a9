"""What the container holds: names, types and depth that are written, and read again, without loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slayerloss._check import FormatError, message

MAX_DEPTH = 6
"""Groups inside each other, the root not counted."""

MAX_TEXTS = 4096
"""Texts in one dataset; each may claim any length."""

MAX_ATTRIBUTE = 60_000
"""Bytes of an attribute of the root; HDF5's limit is a little higher."""

_NUMBERS_AND_BYTES = "biufcS"


def fail(source: str, place: str, problem: str, expected: str, got: object, way_out: str = "") -> FormatError:
    """A FormatError that names the file and the HDF5 path."""
    return FormatError(message("netx", f"{source}: {printable(place)} {problem}", expected, got, way_out))


def printable(text: str) -> str:
    """The text with what no terminal shows, or no file takes, written as an escape.

    Example:
        >>> printable("layer/\\x00")
        'layer/\\\\x00'
    """
    return text if text.isprintable() else text.encode("unicode_escape", "backslashreplace").decode("ascii")


def check_tree(tree: Mapping[Any, Any], source: str, place: str = "", depth: int = 0) -> None:
    """Raise FormatError for what an HDF5 file could not give back as it is.

    Args:
        tree: names -> arrays, texts, or further trees.
        source: the file's name, for the message.
        place: the tree's HDF5 path, for the message.
        depth: of the tree in the file.
    """
    if depth > MAX_DEPTH:
        raise fail(source, place, "is nested too deep", f"{MAX_DEPTH} groups at most", "more")
    for name, value in tree.items():
        here = f"{place}/{name}" if place else str(name)
        if not isinstance(name, str) or name in ("", ".") or set(name) & {"/", "\0"} or not _encodes(name):
            raise fail(source, here, "is no name", "a text without '/'", repr(name))
        if isinstance(value, Mapping):
            check_tree(value, source, here, depth + 1)
        else:
            check_value(value, source, here)


def check_attributes(attributes: Mapping[str, Any], source: str) -> None:
    """Raise FormatError for attributes of the root that an HDF5 file could not give back as they are."""
    for name, value in attributes.items():
        place = f"/ {name}"
        check_value(value, source, place)
        size = len(value.encode()) if isinstance(value, str) else np.asarray(value).nbytes
        if size > MAX_ATTRIBUTE:
            raise fail(source, place, "is too large", f"at most {MAX_ATTRIBUTE:,} bytes", f"{size:,}")


def check_value(value: Any, source: str, place: str) -> None:
    """Raise FormatError unless a value is a text, a number or an array of them that a file gives back as it is."""
    array = np.asarray(value)
    if array.dtype.kind in "OU":
        texts = [value] if isinstance(value, str) else array.reshape(-1).tolist()  # numpy drops a NUL at the end
        if not all(isinstance(text, str) for text in texts):
            raise fail(source, place, "has a type that the format does not use", "numbers or text", array.dtype)
        if not all(_encodes(text) and "\0" not in text for text in texts):
            raise fail(source, place, "is not a text", "characters without NUL that UTF-8 has", "others")
        if len(texts) > MAX_TEXTS:
            raise fail(source, place, "has too many texts", f"at most {MAX_TEXTS}", len(texts))
    elif array.dtype.kind not in _NUMBERS_AND_BYTES or array.dtype.itemsize == 0:
        raise fail(source, place, "has a type that the format does not use", "numbers or text", array.dtype)


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
