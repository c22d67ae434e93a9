"""Look at the store of the texts before the HDF5 library does.

Texts of variable length are in collections, the "global heap" of HDF5: a dataset holds a length, the address of a
collection and a number in it. Sizes in a collection that a damaged file makes too large send the library into an
endless loop, or make it take gigabytes. So they are followed here first; the layout is that of the HDF5 file format,
section III.E.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_HEADER = 16  # of a collection, and of each object in it


class Heap:
    """The collections of a file.

    Args:
        file: the file, open for reading.
        base: where addresses count from.
        length_of_address: in bytes.
    """

    def __init__(self, file: BinaryIO, base: int, length_of_address: int) -> None:
        self._file = file
        self._base = base
        self._length = length_of_address
        self._sizes: dict[int, dict[int, int]] = {}  # address -> number -> size

    def check(self, offset: int, count: int) -> None:
        """Raise ValueError unless the texts of a dataset are all there.

        Args:
            offset: where the dataset's values begin, in the file.
            count: how many they are.
        """
        width = 8 + self._length
        for value in _pieces(self._bytes(offset, count * width), width):
            length, address = int.from_bytes(value[:4], "little"), int.from_bytes(value[4:-4], "little")
            if length == 0:
                continue
            if address not in self._sizes:
                self._sizes[address] = self._collection(self._base + address)
            size = self._sizes[address].get(int.from_bytes(value[-4:], "little"), 0)
            if length > size:
                raise ValueError(f"a text claims {length} bytes of {size}")

    def _collection(self, start: int) -> dict[int, int]:
        signature, version, end = struct.unpack("<4sB3xQ", self._bytes(start, _HEADER))
        if (signature, version) != (b"GCOL", 1):
            raise ValueError("a text is where no texts are")
        data = self._bytes(start, end)
        sizes, place = {}, _HEADER
        while place + _HEADER <= end:
            number, size = struct.unpack_from("<H6xQ", data, place)
            step = _HEADER + (size + 7) // 8 * 8 if number else size  # number 0 is what is free, its header included
            if step < _HEADER or place + step > end:
                raise ValueError(f"text {number} claims {size} bytes of {end - place}")
            sizes[number] = size
            place += step
        return sizes

    def _bytes(self, offset: int, count: int) -> bytes:
        """So many bytes from the file."""
        whole = self._file.seek(0, 2)
        if not 0 <= offset <= offset + count <= whole:
            raise ValueError(f"texts are at byte {offset + count} of {whole}")
        self._file.seek(offset)
        return self._file.read(count)


def _pieces(data: bytes, width: int) -> list[bytes]:
    return [data[start : start + width] for start in range(0, len(data), width)]
