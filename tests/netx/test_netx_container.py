"""What a file may hold: links, stores of texts and claims that a reader must not follow, and what is not written."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from netx_layers import dense

from slayerloss import netx
from slayerloss._check import FormatError
from slayerloss.netx.heap import Heap


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "network.net"
    netx.write(path, netx.describe([dense([[2, 4]])]))
    return path


def linked(name: str, target: str) -> Callable[[h5py.File], None]:
    return lambda handle: handle.__setitem__(f"layer/0/{name}", handle[target])


def many_cycles(handle: h5py.File) -> None:
    for i in range(300):
        handle[f"layer/0/cycle{i}"] = handle["layer"]


def outside(handle: h5py.File) -> None:
    handle.create_dataset("layer/0/outside", (10,), "u1", external=[("/etc/hostname", 0, 10)])


def virtual(handle: h5py.File) -> None:
    layout = h5py.VirtualLayout((10,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (10,))
    handle.create_virtual_dataset("layer/0/virtual", layout)


def claims(handle: h5py.File) -> None:
    """Each claims less than a megabyte of which nothing is stored; all together are 1 GB."""
    for i in range(1000):
        handle.create_dataset(f"layer/0/claim{i}", (250_000,), "f4")


def bomb(handle: h5py.File) -> None:
    chunk = zlib.compress(bytes(4 * 1000 * 10_000))
    options = {"chunks": (1000, 10_000), "compression": "gzip"}
    dataset = handle.create_dataset("layer/0/bomb", (8000, 10_000), "f4", **options)
    for row in range(0, 8000, 1000):
        dataset.id.write_direct_chunk((row, 0), chunk)


def nul_in_type(handle: h5py.File) -> None:
    handle["layer/0/type"][...] = b"de\0nse"


def not_utf8(handle: h5py.File) -> None:
    handle.create_dataset("layer/0/text", data=b"\xff", dtype=h5py.string_dtype())


def type_not_utf8(handle: h5py.File) -> None:
    handle["layer/0/type"][...] = b"\xff"


def name_not_utf8(handle: h5py.File) -> None:
    h5py.h5g.create(handle["layer/0"].id, b"\xff")


def attribute(value: Any, name: str = "note") -> Callable[[h5py.File], None]:
    return lambda handle: handle.attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (linked("again", "layer"), "layer/0/again is a link; .*got a second name of layer"),
        (linked("again", "/"), "layer/0/again is a link; .*got a second name of the root"),
        (linked("again", "layer/0/weight"), "layer/0/weight is a link; .*got a second name of layer/0/again"),
        (many_cycles, "is a link; .*got a second name of layer"),
        (outside, "layer/0/outside is a link; expected values in this file"),
        (virtual, "layer/0/virtual is a link; expected values in this file"),
        (claims, "layer/0/claim.* has an absurd size"),
        (bomb, "layer/0/bomb has an absurd size"),
        (not_utf8, "layer/0/text cannot be read"),
        (nul_in_type, "layer/0/type is not a text; expected characters without NUL"),
        (type_not_utf8, "layer/0/type is not a text; expected UTF-8"),
        (name_not_utf8, "cannot be read"),
        (lambda handle: handle.create_group("layer/0/a/b/c/d/e/f"), "layer/0/a/b/c/d/e is nested too deep"),
        (lambda handle: handle.create_dataset("named", data=h5py.Empty("f4")), "named is empty"),
        (lambda handle: handle.__setitem__("named", np.dtype("f4")), "named is neither dataset nor group"),
        (attribute(h5py.Empty("f4")), "/ note is empty"),
        (attribute(np.bytes_(b"\xff")), "/ note is not a text"),
        (attribute(np.zeros(8000)), "/ note is too large; expected at most 60,000 bytes, got 64,000"),
        (attribute(5, "checksum"), "/ checksum is not a text"),
        (attribute("1", "format_version"), "format_version is unknown"),
        (attribute([1, 1], "format_version"), "format_version is unknown"),
    ],
)
def test_what_leads_out_of_the_file_or_round_in_it_is_refused_at_once(
    file: Path, change: Callable[[h5py.File], Any], text: str
) -> None:
    with h5py.File(file, "a") as handle:
        change(handle)
    began = time.process_time()
    with pytest.raises(FormatError, match=text):
        netx.read(file)
    assert time.process_time() - began < 1


def collection(objects: list[tuple[int, int, bytes]]) -> bytes:
    """A global heap collection of (number, size, content); what is free in it has the number 0."""
    body = b"".join(struct.pack("<HHIQ", number, 1, 0, size) + content for number, size, content in objects)
    return struct.pack("<4sBxxxQ", b"GCOL", 1, 16 + len(body)) + body


FREE = (0, 32, bytes(16))


@pytest.mark.parametrize(
    ("length", "number", "objects", "problem"),
    [
        (4, 1, [(1, 4, b"CUBA\0\0\0\0"), FREE], None),
        (0, 7, [FREE], None),
        (5, 1, [(1, 4, b"CUBA\0\0\0\0"), FREE], "a text claims 5 bytes of 4"),
        (4, 2, [(1, 4, b"CUBA\0\0\0\0"), FREE], "a text claims 4 bytes of 0"),
        (4, 1, [(1, 2**64 - 16, b"CUBA\0\0\0\0"), FREE], "text 1 claims"),
        (4, 1, [(1, 4, b"CUBA\0\0\0\0"), (0, 0, bytes(16))], "text 0 claims 0 bytes"),
    ],
)
def test_a_store_of_texts_is_followed_before_it_is_read(
    tmp_path: Path, length: int, number: int, objects: list[tuple[int, int, bytes]], problem: str | None
) -> None:
    path = tmp_path / "file"
    path.write_bytes(struct.pack("<IQI", length, 16, number) + collection(objects))
    with path.open("rb") as handle:
        if problem is None:
            Heap(handle, 0, 8).check(0, 1)
            return
        with pytest.raises(ValueError, match=problem):
            Heap(handle, 0, 8).check(0, 1)


@pytest.mark.parametrize("size", [0, 1 << 62])
def test_a_damaged_store_of_texts_does_not_hang_the_reader(file: Path, size: int) -> None:
    whole = bytearray(file.read_bytes())
    start = whole.index(b"GCOL") + 16
    assert whole[start] == 1  # the first text
    (length,) = struct.unpack_from("<Q", whole, start + 8)
    free = start + 16 + (length + 7) // 8 * 8
    struct.pack_into("<HHIQ", whole, free, 0, 0, 0, size)
    file.write_bytes(whole)
    with pytest.raises(FormatError, match="layer/0/neuron/type cannot be read"):
        netx.read(file)


def deep(levels: int) -> Any:
    return 1 if levels == 0 else {"group": deep(levels - 1)}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"other": None}, "layer/0/other has a type that the format does not use"),
        ({"other": [1, "a"][:1] + [{}]}, "layer/0/other has a type"),
        ({"other": np.array(["2026-01-01"], "datetime64[D]")}, "layer/0/other has a type"),
        ({"other": np.zeros(2, [("a", "i4")])}, "layer/0/other has a type"),
        ({"other": "a\0b"}, "layer/0/other is not a text"),
        ({"other": "\ud800"}, "layer/0/other is not a text"),
        ({"other": ["a"] * 5000}, "layer/0/other has too many texts"),
        ({"a/b": 1}, "layer/0/a/b is no name"),
        ({".": 1}, r"layer/0/\. is no name"),
        ({"": 1}, "layer/0/ is no name"),
        ({"\ud800": 1}, r"layer/0/\\ud800 is no name"),
        ({3: 1}, "layer/0/3 is no name"),
        ({"other": deep(5)}, "is nested too deep"),
        ({"type": "dense\0"}, "layer/0/type is not a text"),
    ],
)
def test_what_a_file_would_not_give_back_is_not_described_nor_written(
    tmp_path: Path, field: dict[Any, Any], text: str
) -> None:
    layer = dense([[2, 4]])
    with pytest.raises(FormatError, match=text):
        netx.describe([{**layer, **field}])
    description = netx.describe([layer])
    description.layers[0].type = field.pop("type", "dense")
    description.layers[0].fields.update(field)
    with pytest.raises(FormatError, match=text):
        netx.write(tmp_path / "network.net", description)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("value", [None, "a\0b", "x" * 60_001, np.zeros(8000)])
def test_attributes_that_a_file_would_not_give_back_are_not_written(tmp_path: Path, value: Any) -> None:
    description = netx.describe([dense([[2, 4]])])
    description.attributes["note"] = value
    with pytest.raises(FormatError, match="/ note"):
        netx.write(tmp_path / "network.net", description)
    assert not any(tmp_path.iterdir())


def test_types_of_attributes_and_fields_come_back(tmp_path: Path) -> None:
    values = {"half": np.float16(0.5), "bytes": np.array([b"a", b""]), "big": np.array([1, 2], ">i4"), "flag": True}
    fields = {**values, "complex": 1 + 2j, "texts": ["a", "bé"], "empty": np.zeros((0, 3)), "text": ""}
    description = netx.describe([{**dense([[2, 4]]), **fields, "deep": deep(3)}])
    description.attributes.update(half=np.float16(0.5), text="é", numbers=np.array([1, 2], ">i4"))
    netx.write(tmp_path / "network.net", description)
    again = netx.read(tmp_path / "network.net")
    assert again == description
    assert again.layers[0].fields["big"].dtype == ">i4"
    assert again.attributes["half"].dtype == np.float16
