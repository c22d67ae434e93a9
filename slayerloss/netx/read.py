"""Read a network file into a Description, trusting nothing in it."""

from __future__ import annotations

import math
import os
from types import NoneType
from typing import Any, BinaryIO

import h5py
import numpy as np

from slayerloss._check import FormatError, message
from slayerloss._path import check_file_to_read, check_path
from slayerloss.netx.container import MAX_ATTRIBUTE, MAX_DEPTH, MAX_TEXTS, check_value, fail, printable
from slayerloss.netx.description import Description, Layer, Tree
from slayerloss.netx.heap import Heap
from slayerloss.netx.schema import FORMAT_VERSION
from slayerloss.netx.validate import validate

_MAX_ITEMS = 5_000  # which take about a second
_SMALL = 1 << 20  # up to here a dataset may claim more bytes than the file stores of it
_MAX_BYTES = 1 << 31  # of all datasets together
_UNSTORED = 1 << 28  # all datasets together may claim so many more than stored
_UNEXPLAINED = 1 << 24  # and so many that no compression makes of what is stored
_BEST_COMPRESSION = 1100  # deflate packs a run of zeros 1032 to 1


def read(path: str | os.PathLike[str]) -> Description:
    """Read a network file.

    Args:
        path: an HDF5 network file (`.net`) of lava-dl or of this library.

    Returns:
        Its layers with every field as the file has it; what the schema does not know is kept.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: the file is not HDF5, is damaged or of a newer format, or a field is missing or of a type or shape
            that does not fit. The message names the file and the HDF5 path.

    Example:
        >>> read("missing.net")
        Traceback (most recent call last):
        ...
        slayerloss._check.MissingFileError: netx: there is no file 'missing.net'; expected a file, got no such file.

    Note:
        A wrong checksum is no reason to refuse here: `check` reports it, and `Network` refuses the file. Attributes are
        kept on the root alone; the format has none elsewhere. No link is followed, nor a second name of an object. All
        is looked at before it is read, and still a damaged file may crash the HDF5 library itself. That ends the
        process, and nothing here can catch it.
    """
    source = check_path("netx", "path", path)
    check_file_to_read("netx", source)
    try:
        with open(source, "rb") as raw, h5py.File(source, "r") as file:
            return _Reader(source, file, raw).description()
    except FormatError:
        raise
    except Exception as error:  # whatever h5py raises on a damaged file: it has no class of its own for that
        problem = f"'{source}' is not HDF5, or is damaged"
        got = f"{os.path.getsize(source):,} bytes that the HDF5 library cannot read"
        raise FormatError(message("netx", problem, "an HDF5 network file", got)) from error


def read_intact(path: str | os.PathLike[str]) -> Description:
    """`read` a file that is to run: FormatError where it does not match the checksum that it carries."""
    description = read(path)
    stored, checksum = description.checksum_stored, description.checksum()
    if stored not in (None, checksum):
        problem = "does not match: the file was changed after it was written"
        way_out = "If that was meant, pass netx.read(file)"
        raise fail(description.source, "/ checksum", problem, f"{stored}, which it carries", checksum, way_out)
    return description


class _Reader:
    def __init__(self, source: str, file: h5py.File, raw: BinaryIO) -> None:
        self.source = source
        self.file = file
        self.heap = Heap(raw, file.userblock_size, file.id.get_create_plist().get_sizes()[0])
        self.items = 0
        self.bytes = self.unstored = self.unexplained = 0
        self.names: dict[int, str] = {}  # where each object of the file was seen

    def description(self) -> Description:
        version = self._attribute("format_version") if "format_version" in self.file.attrs else FORMAT_VERSION
        if not isinstance(version, (int, np.integer)) or not 1 <= version <= FORMAT_VERSION:
            raise fail(
                self.source, "/ format_version", "is unknown", f"at most {FORMAT_VERSION}", version, "Update slayerloss"
            )
        tree = self._group(self.file, "", 0)
        groups = tree.pop("layer", None)
        if not isinstance(groups, dict) or not groups:
            raise fail(self.source, "/layer", "is missing or empty", "a group with the layers 0, 1, 2, ...", "none")
        layers = [self._layer(groups, str(i)) for i in range(len(groups))]
        attributes = {name: self._attribute(name) for name in self.file.attrs if name != "format_version"}
        checksum = attributes.pop("checksum", None)
        if not isinstance(checksum, (str, NoneType)):
            raise fail(self.source, "/ checksum", "is not a text", "one text", checksum)
        return Description(layers, tree, attributes, checksum, self.source)

    def _layer(self, groups: Tree, name: str) -> Layer:
        place = f"layer/{name}"
        fields = groups.get(name)
        if not isinstance(fields, dict):
            problem = "is missing" if fields is None else "is not a group"
            raise fail(self.source, place, problem, f"the layers 0 to {len(groups) - 1}", sorted(groups)[:8])
        layer = Layer(self._text(fields.pop("type", None), f"{place}/type"), fields)
        neuron = fields.get("neuron")
        if isinstance(neuron, dict):
            neuron["type"] = self._text(neuron.get("type"), f"{place}/neuron/type")
        validate(layer, self.source, place)
        return layer

    def _text(self, value: Any, place: str) -> str:
        """Text of either kind: a variable-length string, or bytes, alone or as the one element of an array."""
        array = np.asarray(value)
        if value is None or array.size != 1 or array.dtype.kind not in "SUO":
            raise fail(self.source, place, "is not a text", "one text", "none" if value is None else array.dtype)
        item = array.reshape(-1)[0]
        try:
            text = item.decode("utf-8") if isinstance(item, bytes) else str(item)
        except UnicodeDecodeError as error:
            raise fail(self.source, place, "is not a text", "UTF-8", item) from error
        check_value(text, self.source, place)
        return text

    def _group(self, group: h5py.Group, place: str, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise fail(self.source, place, "is nested too deep", f"{MAX_DEPTH} groups at most", "more")
        self._first_name(group, place or "the root")
        tree: Tree = {}
        for name in group:
            here = f"{place}/{name}" if place else name
            self.items += 1
            if self.items > _MAX_ITEMS:
                raise fail(self.source, here, "is one item too many", f"at most {_MAX_ITEMS} items", "more")
            try:
                tree[name] = self._item(group, name, here, depth)
            except FormatError:
                raise
            except Exception as error:  # of whatever class: h5py has no own one for what is damaged
                raise fail(
                    self.source, here, "cannot be read", "a sound dataset or group", _first_line(error)
                ) from error
        return tree

    def _item(self, group: h5py.Group, name: str, place: str, depth: int) -> Any:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise fail(self.source, place, "is a link", "a dataset or group in this file", "a soft or external link")
        item = group[name]
        if isinstance(item, h5py.Group):
            return self._group(item, place, depth + 1)
        if isinstance(item, h5py.Dataset):
            self._first_name(item, place)
            return self._dataset(item, place)
        raise fail(self.source, place, "is neither dataset nor group", "one of them", type(item).__name__)

    def _first_name(self, item: h5py.Group | h5py.Dataset, place: str) -> None:
        """Refuse a second name of an object: it may be a cycle, and makes much of a small file."""
        address = h5py.h5o.get_info(item.id).addr
        if address in self.names:
            got = f"a second name of {printable(self.names[address])}"
            raise fail(self.source, place, "is a link", "a dataset or group of its own", got)
        self.names[address] = place

    def _dataset(self, dataset: h5py.Dataset, place: str) -> Any:
        if dataset.shape is None:
            raise fail(self.source, place, "is empty", "a dataset with a value", "a null dataspace")
        if dataset.external or dataset.is_virtual:
            raise fail(self.source, place, "is a link", "values in this file", "values in another file")
        dtype = dataset.dtype
        texts = h5py.check_string_dtype(dtype) is not None
        if dtype.kind not in "biufcS" and not texts:
            raise fail(self.source, place, "has a type that the format does not use", "numbers or text", dtype)
        self._check_size(dataset, place, texts and dtype.kind == "O")
        if dtype.kind == "O":
            offset = dataset.id.get_offset()
            if offset is not None:  # not in chunks, which nobody writes
                self.heap.check(offset, dataset.size)
            value = dataset.asstr("utf-8")[()]
            return str(value) if dataset.shape == () else value
        return np.asarray(dataset[()], dtype)  # a scalar comes in the processor's byte order

    def _check_size(self, dataset: h5py.Dataset, place: str, variable_length: bool) -> None:
        """Refuse what claims to be far larger than its bytes in the file, before any memory is taken for it."""
        size = math.prod(dataset.shape)
        claimed = size * dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        self.bytes += claimed
        unexplained = claimed > _BEST_COMPRESSION * stored
        self.unstored += max(claimed - stored, 0)
        self.unexplained += claimed if unexplained else 0
        if (
            (variable_length and size > MAX_TEXTS)
            or (unexplained and claimed > _SMALL)
            or self.bytes > _MAX_BYTES
            or self.unstored > _UNSTORED
            or self.unexplained > _UNEXPLAINED
        ):
            got = f"shape {dataset.shape}, {claimed} bytes of which {stored} are stored"
            raise fail(self.source, place, "has an absurd size", "no more than the file stores", got)

    def _attribute(self, name: str) -> Any:
        """An attribute as text, number or array; its type is looked at first, as to read some kills the process."""
        attribute = self.file.attrs.get_id(name)
        kind = attribute.get_type().get_class()
        if kind not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, h5py.h5t.STRING):
            raise fail(
                self.source, f"/ {name}", "has a type that the format does not use", "a number or text", f"class {kind}"
            )
        if attribute.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            raise fail(self.source, f"/ {name}", "is empty", "an attribute with a value", "a null dataspace")
        if attribute.get_storage_size() > MAX_ATTRIBUTE:
            got = f"{attribute.get_storage_size():,}"
            raise fail(self.source, f"/ {name}", "is too large", f"at most {MAX_ATTRIBUTE:,} bytes", got)
        value = self.file.attrs[name]
        return self._text(value, f"/ {name}") if isinstance(value, (bytes, str)) else value


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
