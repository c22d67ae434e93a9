"""The mechanism of the schema: what can be said about one field of a layer or neuron."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

Shape = tuple[str | int, ...]
"""C, H and W are the layer's own shape, "out" is their product; another name is fixed by the first field with it.

Two patterns are special: ("ndim",) is a list of one to three sizes, ("out*in",) a matrix (out, in) in one row.
"""


@dataclass(frozen=True)
class Kind:
    """A type of values: what is written, which kinds of numpy types are read as well, and words for a message."""

    dtype: str
    accepted: str
    words: str


KINDS = MappingProxyType(
    {
        "integer": Kind("int64", "iu", "integers"),
        "number": Kind("float32", "iuf", "numbers"),  # an integer, which the format keeps as float32
        "real": Kind("float64", "iuf", "numbers"),
        "turn": Kind("float64", "iuf", "numbers"),  # an integer, which lava-dl writes as int64, or one and a half
        "flag": Kind("bool", "biu", "a truth value"),
        "text": Kind("UTF-8 text", "USO", "text"),  # of variable length
        "group": Kind("group", "", "a group"),
    }
)
"""Name of a kind of field -> Kind."""


@dataclass(frozen=True)
class Bound:
    """The last value that is right, what happens beyond it, and how bad that is for whom; see `check.Finding`."""

    value: int
    effect: str
    severity: str = "error"
    fatal: bool = False
    scope: str = "lava"


@dataclass(frozen=True)
class Field:
    """One dataset of a layer or neuron group, or one group in it.

    Attributes:
        kind: a name in KINDS.
        shapes: the shapes that it may have.
        meaning: what it says, with its unit, and who reads it if not everyone.
        required: a file without it is refused.
        low, high: the range of its values.
        parts: names of datasets; where the neurons have complex states, the field is a group of these, each as the
            field itself would be.
        not_in_lava: further shapes, which files have and Lava cannot load.
    """

    kind: str
    shapes: tuple[Shape, ...]
    meaning: str
    required: bool = False
    low: Bound | None = None
    high: Bound | None = None
    parts: tuple[str, ...] = ()
    not_in_lava: tuple[Shape, ...] = ()
