"""Write a Description as a network file that lava-dl's netx loads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from slayerloss._check import check_sequence, check_type
from slayerloss._path import check_file_to_write, check_path
from slayerloss.io.atomic import replacing
from slayerloss.netx.container import check_attributes, check_tree, fail
from slayerloss.netx.description import Description, Layer, Tree
from slayerloss.netx.schema import FORMAT_VERSION, LAYERS, NEURONS
from slayerloss.netx.validate import normalize, validate


def describe(layers: Sequence[Mapping[str, Any]], source: str = "network") -> Description:
    """Make a Description from one dict a layer, with the field names of the file.

    Args:
        layers: for instance [{"type": "dense", "shape": [2], "weight": [[2, -4]], "neuron": {"type": "CUBA", ...}}].
        source: a name for messages.

    Returns:
        The layers, their fields in the types that the format keeps them in.

    Raises:
        DtypeError: the layers are no sequence of dictionaries.
        FormatError: a field is missing or ragged, or does not fit, also in its value: 1e300 has no place in float32.

    Example:
        >>> describe([{"type": "flatten", "shape": [8]}]).layers[0].shape
        (8,)
    """
    described = []
    for i, fields in enumerate(check_sequence("describe", "layers", layers, rule="a sequence of dictionaries")):
        place = f"layer/{i}"
        check_type("describe", place, fields, Mapping, "a dictionary of the layer's fields")
        if not isinstance(fields.get("type"), str):
            raise fail(source, f"{place}/type", "is not a text", "one text", fields.get("type", "none"))
        kind = fields["type"]
        rest = {name: value for name, value in fields.items() if name not in ("type", "neuron")}
        tree = normalize(rest, LAYERS.get(kind, {}), source, place)
        neuron = fields.get("neuron")
        if isinstance(neuron, Mapping):
            rules = NEURONS.get(str(neuron.get("type")), {})
            tree["neuron"] = normalize(neuron, rules, source, f"{place}/neuron")
        elif neuron is not None:
            tree["neuron"] = neuron  # refused by `validate`
        layer = Layer(kind, tree)
        check_tree({"type": kind, **tree}, source, place, 2)
        validate(layer, source, place)
        described.append(layer)
    return Description(described, source=source)


def write(path: str | os.PathLike[str], description: Description) -> None:
    """Write a network file, complete or not at all.

    Args:
        path: the file to make or replace; it is written beside it under a temporary name, and renamed.
        description: what to write, from `read` or `describe`.

    Raises:
        FormatError: there are no layers, or a field is missing or does not fit.
        FileError: the folder is missing, or cannot be written to.

    Note:
        Layer types are stored as `S10`, other texts as variable-length UTF-8, as lava-dl's netx expects them. The root
        carries the attributes `format_version` and `checksum`, which it ignores.
    """
    source = check_path("write", "path", path)
    check_type("write", "description", description, Description, "a Description, from read or describe")
    check_file_to_write("write", source)
    if not description.layers:
        raise fail(source, "layer", "is empty", "one layer or more", "none")
    tree = description.tree()
    check_tree(tree, source)
    check_attributes(description.attributes, source)
    for i, layer in enumerate(description.layers):
        validate(layer, source, f"layer/{i}")
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        _write_tree(file, tree)
        for name, value in description.attributes.items():
            file.attrs[name] = value
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["checksum"] = description.checksum()


def _write_tree(group: h5py.Group, tree: Tree) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _write_tree(group.create_group(name), dict(value))
        elif name == "type" and group.parent.name == "/layer":
            encoded = value.encode("utf-8")
            group.create_dataset(name, data=np.array([encoded], dtype=f"S{max(10, len(encoded))}"))
        else:
            array = np.asarray(value)
            text = array.dtype.kind in "OU"
            group.create_dataset(name, data=value, dtype=h5py.string_dtype("utf-8") if text else array.dtype)
