"""A network file in memory: plain dataclasses that hold numpy arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slayerloss.netx.container import printable

Tree = dict[str, Any]
"""Field name -> numpy array, str, or another Tree, as the datasets and groups of the file."""


_MOST_LAYERS = 12  # in one line


@dataclass(eq=False, repr=False)
class Layer:
    """One layer: its type, and its other datasets and groups under their names in the file.

    `fields["neuron"]` is the neuron's Tree; it is missing where the layer has no neuron.

    Example:
        >>> Layer("conv", {"shape": np.array([8, 32, 32]), "neuron": {"type": "CUBA"}})
        Layer(conv (8, 32, 32) CUBA)
    """

    type: str
    fields: Tree

    @property
    def shape(self) -> tuple[int, ...]:
        """The output shape as the file has it, in slayer's order: (C, H, W), (N,) or (N, 1, 1)."""
        return tuple(int(size) for size in self.fields["shape"])

    @property
    def neuron(self) -> Tree | None:
        """The neuron's fields."""
        return self.fields.get("neuron")

    def __repr__(self) -> str:
        return f"Layer({self.summary()})"

    def summary(self) -> str:
        """The type, the shape and the neuron's type, as far as the layer has them."""
        words = [self.type]
        with suppress(KeyError, TypeError, ValueError):  # layers of an unknown type have any fields
            words.append(_sizes(self.shape))
        if isinstance(self.neuron, Mapping) and "type" in self.neuron:
            words.append(str(self.neuron["type"]))
        return " ".join(printable(str(word)) for word in words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layer) and self.type == other.type and trees_equal(self.fields, other.fields)


@dataclass(eq=False, repr=False)
class Description:
    """What a network file says: layers in their order, groups beside them, and the root's attributes.

    `checksum_stored` is the checksum that the file carries, or None; `checksum()` computes it anew. `source` is the
    file's name, for messages.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80}
        >>> layers = [{"type": "dense", "shape": [1], "weight": [[4, 8]], "neuron": neuron}]
        >>> describe(layers, "network.net")
        Description('network.net': dense (1) CUBA)
    """

    layers: list[Layer]
    extra: Tree = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    checksum_stored: str | None = None
    source: str = "network"

    def __repr__(self) -> str:
        shown = [layer.summary() for layer in self.layers[:_MOST_LAYERS]]
        if len(self.layers) > _MOST_LAYERS:
            shown.append(f"{len(self.layers) - _MOST_LAYERS} more")
        return f"Description({self.source!r}: {', '.join(shown) or 'no layers'})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Description)
            and self.layers == other.layers
            and trees_equal(self.extra, other.extra)
            and trees_equal(self.attributes, other.attributes)
        )

    def tree(self) -> Tree:
        """The whole file as one Tree: {"layer": {"0": {"type": ..., ...}, ...}, ...}."""
        layers = {str(i): {"type": layer.type, **layer.fields} for i, layer in enumerate(self.layers)}
        return {"layer": layers, **self.extra}

    def checksum(self) -> str:
        """SHA-256 over the path, type, shape and bytes of every dataset, in the order of the paths."""
        digest = hashlib.sha256()
        for path, value in sorted(leaves(self.tree())):
            array = np.asarray(value)
            if array.dtype.kind in "OU":  # text: the bytes must not depend on how numpy holds it
                array = np.char.encode(array.astype(str), "utf-8")
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            kind = "S" if array.dtype.kind == "S" else little.dtype.str
            digest.update(f"{path}|{kind}|{array.shape}|".encode())
            digest.update(b"\0".join(array.reshape(-1).tolist()) if kind == "S" else little.tobytes())
        return f"sha256:{digest.hexdigest()}"


def _sizes(shape: tuple[int, ...]) -> str:
    more = ", ..." if len(shape) > 3 else ""
    return f"({', '.join(str(size) for size in shape[:3])}{more})"


def leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every dataset of a Tree with its path.

    Example:
        >>> list(leaves({"layer": {"0": {"type": "flatten"}}}))
        [('layer/0/type', 'flatten')]
    """
    for name, value in tree.items():
        here = f"{path}/{name}" if path else name
        if isinstance(value, Mapping):
            yield from leaves(value, here)
        else:
            yield here, value


def trees_equal(a: Any, b: Any) -> bool:
    """Whether two Trees hold the same names, types, shapes and values (NaN equals NaN)."""
    if isinstance(a, Mapping) or isinstance(b, Mapping):
        if not (isinstance(a, Mapping) and isinstance(b, Mapping)):
            return False
        return a.keys() == b.keys() and all(trees_equal(a[name], b[name]) for name in a)
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
