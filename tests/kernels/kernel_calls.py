"""Records what kernels are called with and what they write.

A recorded call holds the memory of its tensors before and after, so that the kernels of another compiler, of another
instruction set or of another processor can be compared bit by bit.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slayerloss.kernels.cpu import library

NAME_BYTES = 64
INTEGER, REAL, ADDRESS = 0, 1, 2
DTYPES = {torch.float32: "float", torch.float64: "double"}


@dataclass
class Argument:
    """An integer, a float, or an address: `value` is then the number of a buffer, and `offset` counts its bytes."""

    kind: int
    value: int | float
    offset: int = 0


@dataclass
class Call:
    """A call of `name`, such as "integrate_float", without its counter."""

    name: str
    types: str
    arguments: list[Argument]
    dtypes: list[torch.dtype]
    before: list[Tensor]
    after: list[Tensor]
    status: int


def _bytes_of(storage: Any) -> Tensor:
    return torch.empty(0, dtype=torch.uint8).set_(storage)


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """All calls of kernels inside."""
    calls: list[Call] = []
    original = library.Kernel.__call__

    def spy(self: Any, dtype: torch.dtype, *arguments: Any, blocks: int, elements: int) -> int:
        storages: dict[int, Any] = {}
        dtypes, written = [], []
        for letter, value in zip(self.types, arguments, strict=True):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                if storage.data_ptr() not in storages:
                    storages[storage.data_ptr()] = storage
                    dtypes.append(value.dtype)
                buffer = list(storages).index(storage.data_ptr())
                written.append(Argument(ADDRESS, buffer, value.storage_offset() * value.element_size()))
            elif value is None:
                written.append(Argument(INTEGER, 0))
            else:
                assert letter != "p", f"{self.name} is given an address without its tensor"
                written.append(Argument(REAL if letter == "d" else INTEGER, value))
        before = [_bytes_of(storage).clone() for storage in storages.values()]
        status = original(self, dtype, *arguments, blocks=blocks, elements=elements)
        after = [_bytes_of(storage).clone() for storage in storages.values()]
        name = f"{self.name}_{DTYPES[dtype]}"
        calls.append(Call(name, self.types, written, dtypes, before, after, status))
        return status

    library.Kernel.__call__ = spy
    try:
        yield calls
    finally:
        library.Kernel.__call__ = original


@contextmanager
def installed(path: Path, isa: str) -> Iterator[None]:
    """The kernels of another library, of one instruction set, and memory that begins with NaN instead of anything."""
    kernels = ctypes.CDLL(str(path))
    before = library._library, library.isa, torch.are_deterministic_algorithms_enabled()
    library._library, library.isa = lambda: kernels, lambda: isa
    library.Kernel._function.cache_clear()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        library._library, library.isa = before[:2]
        library.Kernel._function.cache_clear()
        torch.use_deterministic_algorithms(before[2])


def best_isa(path: Path) -> str:
    """The instruction set that a library chooses on this processor."""
    best = ctypes.CDLL(str(path)).slayerloss_isa
    best.restype = ctypes.c_char_p
    return best().decode()


def assert_same(call: Call, status: int, buffers: Sequence[Tensor], where: str) -> None:
    """Same status, same bits of all floats. Integers are inputs, or what a kernel keeps in an order of its own."""
    assert status == call.status, f"{call.name}, {where}: status {status}, was {call.status}"
    for number, (got, expected, dtype) in enumerate(zip(buffers, call.after, call.dtypes, strict=True)):
        if not dtype.is_floating_point or torch.equal(got, expected):
            continue
        worst = (got.view(dtype).double() - expected.view(dtype).double()).abs().nan_to_num(0.0).max()
        raise AssertionError(f"{call.name}, {where}: buffer {number} of {dtype} differs by up to {float(worst):.3g}")


def kernels_in(path: Path) -> set[str]:
    """The kernels that a library of any platform exports, by their names for the baseline."""
    return {name.decode() for name in re.findall(rb"(?<=\0)(\w+)_baseline(?=\0)", path.read_bytes())}


def packed(calls: Sequence[Call]) -> bytes:
    """What `replay.cpp` reads."""
    parts = [struct.pack("<q", len(calls))]
    for call in calls:
        parts.append(struct.pack(f"<{NAME_BYTES}sq", call.name.encode(), len(call.arguments)))
        for argument in call.arguments:
            layout = "<qdq" if argument.kind == REAL else "<qqq"
            parts.append(struct.pack(layout, argument.kind, argument.value, argument.offset))
        parts.append(struct.pack("<q", len(call.before)))
        for buffer in call.before:
            parts += [struct.pack("<q", buffer.numel()), buffer.numpy().tobytes()]
    return b"".join(parts)


def unpacked(results: bytes, calls: Sequence[Call]) -> Iterator[tuple[Call, int, list[Tensor]]]:
    """What `replay.cpp` writes: each call, its status there, and its memory."""
    position = 0
    for call in calls:
        (status,) = struct.unpack_from("<q", results, position)
        position += 8
        buffers = []
        for before in call.before:
            raw = bytearray(results[position : position + before.numel()])
            buffers.append(torch.frombuffer(raw, dtype=torch.uint8) if raw else before.clone())
            position += before.numel()
        yield call, status, buffers
    assert position == len(results)
