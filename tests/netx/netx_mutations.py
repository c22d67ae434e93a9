"""Network files of every kind, and ways to break them: by byte, and through HDF5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from netx_layers import NEURON, conv, dense, entrance, flatten, weights

from slayerloss import netx

Random = np.random.Generator
TEXT = h5py.string_dtype("utf-8")
REAL = ("syn_dense_delay", "syn_dense_rec", "syn_rf", "syn_sdnn", "tests_tiny", "oxford")


def write_seeds(folder: Path, shared: Path | None) -> list[Path]:
    """Whole files of every layer and neuron type: made here, and lava-dl's own where `shared` has them."""
    rng = np.random.default_rng(0)
    first = conv(weights(rng, 3, 2, 3, 3), (6, 7), bias=weights(rng, 3))
    second = dense(weights(rng, 4, 60), {"iDecay": np.array([1, 2, 3, 4])}, delay=np.array([0, 1, 2, 62]))
    third = {**dense(weights(rng, 2, 4)), "type": "dense_rec", "weight_rec": weights(rng, 2, 2)}
    delta = {"type": "SDNN", "vThMant": 4, "activation": "relu"}
    turn = {"type": "RF_PHASE", "sinDecay": 500, "cosDecay": 4000, "vThMant": 60, "gradedSpike": False}
    adaptive = {"thDecay": 100, "refDecay": 200, "vThStep": 8}
    pair = {"real": weights(rng, 3, 5), "imag": weights(rng, 3, 5)}
    square = {name: part[:, :3] for name, part in pair.items()}
    sliding = {"kernelSize": [2, 2], "stride": [2, 2], "padding": [0, 0], "dilation": [1, 1], "neuron": NEURON}
    networks = {
        "cuba": [entrance(2, 6, 7), first, flatten(first), second, third],
        "delta": [
            {"type": "input", "shape": [5], "weight": [64.0], "bias": [0.0], "neuron": delta},
            {**dense(weights(rng, 3, 5), bias=weights(rng, 3)), "neuron": delta},
            {**dense(weights(rng, 2, 3)), "neuron": {**delta, "sigma_output": True}},
        ],
        "complex": [
            {"type": "dense", "shape": [3], "weight": pair, "neuron": turn},
            {"type": "dense", "shape": [3], "weight": square, "neuron": turn | adaptive},
        ],
        "images": [
            {"type": "input", "shape": [2, 8, 8], "neuron": {**NEURON, "type": "LOIHI", "theta": 2560, "wgtExp": 0}},
            {"type": "pool", "shape": [2, 4, 4], "weight": np.full((1, 1, 2, 2), 64.0, np.float32), **sliding},
            {"type": "unpool", "shape": [2, 8, 8], "weight": np.full((1, 1, 2, 2), 64.0, np.float32), **sliding},
            {"type": "convT", "shape": [1, 16, 16], "weight": weights(rng, 2, 1, 2, 2), "groups": 1, **sliding},
            {"type": "flatten", "shape": [256, 1, 1]},
            {"type": "dense", "shape": [4, 1, 1], "weight": weights(rng, 4 * 256)},
            {"type": "average", "shape": [2, 1, 1]},
        ],
        "adaptive": [{**dense(weights(rng, 3, 2)), "neuron": {**NEURON, **adaptive, "type": "ALIF"}}],
    }
    seeds = [folder / f"{name}.net" for name in networks]
    for path, layers in zip(seeds, networks.values(), strict=True):
        netx.write(path, netx.describe(layers))
    with h5py.File(seeds[0], "a") as file:  # what lava-dl writes beside the layers, and what others might
        file["simulation/Ts"] = 1
        file["layer/3/author"] = "A. Person"
        file["layer/3/names"] = np.array(["a", "bé"], dtype=TEXT)
        packed = file["layer/3/weight"][()]
        del file["layer/3/weight"]
        file.create_dataset("layer/3/weight", data=packed, chunks=(2, 20), compression="gzip", shuffle=True)
    if shared is not None:
        seeds += [shared / "golden" / "netx" / f"{name}.net" for name in REAL]
    return seeds


def mutate(seed: Path, path: Path, number: int) -> str:
    """Write a broken copy of `seed` to `path`, the same for the same number; return what was done."""
    rng = np.random.default_rng((7, number))
    data = bytearray(seed.read_bytes())
    if number % 2:
        byte_change = _BYTES[int(rng.integers(len(_BYTES)))]
        path.write_bytes(byte_change(data, rng))
        return byte_change.__name__
    path.write_bytes(data)
    done = []
    for _ in range(1 + int(rng.integers(2))):
        change = _STRUCTURE[int(rng.integers(len(_STRUCTURE)))]
        with h5py.File(path, "a", libver=("latest" if number % 4 else "earliest", "latest")) as file:
            try:
                done.append(f"{change.__name__} {change(file, rng)}")
            except (OSError, ValueError, KeyError, RuntimeError) as error:  # what HDF5 does not let one write
                done.append(f"{change.__name__} failed: {error}")
    return ", ".join(done)


# By byte. Most bytes of a file are weights, whose change is no damage; so most changes go where the structure is.


def _place(data: bytearray, rng: Random, size: int = 1) -> int:
    """Somewhere, mostly where HDF5 keeps its structure: near one of its signatures, or at the beginning."""
    where = int(rng.integers(4))
    if where == 0:
        return int(rng.integers(max(len(data) - size, 1)))
    if where == 1:
        return int(rng.integers(min(len(data), 2048) - size))
    headers = (b"\x10\0\x10\0", b"\x03\0\x18\0", b"\x08\0\x18\0")  # messages of an object, which have no signature
    marks = (b"TREE", b"SNOD", b"HEAP", b"GCOL", b"FRHP", b"OHDR", b"BTHD", *headers)
    mark = marks[int(rng.integers(len(marks)))]
    found = [i for i in range(0, len(data), 8) if data[i : i + len(mark)] == mark] or [0]
    return min(found[int(rng.integers(len(found)))] + int(rng.integers(64)), len(data) - size)


def bits_flipped(data: bytearray, rng: Random) -> bytearray:
    for _ in range(1 << int(rng.integers(5))):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def bytes_set(data: bytearray, rng: Random) -> bytearray:
    for _ in range(1 << int(rng.integers(3))):
        data[_place(data, rng)] = int(rng.choice([0, 1, 2, 127, 128, 254, 255, rng.integers(256)]))
    return data


def block_overwritten(data: bytearray, rng: Random) -> bytearray:
    size = 1 << int(rng.integers(1, 7))
    start = _place(data, rng, size)
    filled = {0: bytes(size), 1: b"\xff" * size, 2: rng.bytes(size)}[int(rng.integers(3))]
    data[start : start + size] = filled
    return data


def number_overwritten(data: bytearray, rng: Random) -> bytearray:
    start = _place(data, rng, 8) // 8 * 8
    value = int(rng.choice([0, 1, 8, 96, len(data), len(data) - 8, 10**9, 1 << 31, 1 << 40, (1 << 63) - 1]))
    data[start : start + 8] = value.to_bytes(8, "little")
    return data


def block_copied(data: bytearray, rng: Random) -> bytearray:
    size = 1 << int(rng.integers(3, 10))
    source, start = _place(data, rng, size), _place(data, rng, size)
    data[start : start + size] = data[source : source + size]
    return data


def truncated(data: bytearray, rng: Random) -> bytearray:
    return data[: int(rng.integers(len(data)))]


def bytes_lost(data: bytearray, rng: Random) -> bytearray:
    start = _place(data, rng)
    del data[start : start + int(rng.integers(1, 64))]
    return data


_BYTES: list[Callable[[bytearray, Random], bytearray]] = [
    bits_flipped,
    bits_flipped,
    bytes_set,
    block_overwritten,
    number_overwritten,
    block_copied,
    truncated,
    bytes_lost,
]


# Through HDF5: each returns the place that it changed.


def _items(file: h5py.File) -> Iterator[str]:
    names: list[str] = []
    file.visit(names.append)
    yield from names


def _dataset(file: h5py.File, rng: Random) -> str:
    """The path of a dataset, or of one that is not there yet."""
    names = [name for name in _items(file) if isinstance(file.get(name), h5py.Dataset)]
    return names[int(rng.integers(len(names)))] if names and rng.integers(8) else "layer/0/other"


def _group(file: h5py.File, rng: Random) -> str:
    names = [name for name in _items(file) if isinstance(file.get(name), h5py.Group)]
    return names[int(rng.integers(len(names)))] if names else "/"


def _replace(file: h5py.File, place: str, *arguments: Any, **options: Any) -> str:
    if place in file:
        del file[place]
    file.create_dataset(place, *arguments, **options)
    return place


def _ragged() -> np.ndarray:
    """Rows of different lengths."""
    rows = np.empty(2, object)
    rows[:] = [np.array([1, 2], np.int32), np.array([3], np.int32)]
    return rows


def without(file: h5py.File, rng: Random) -> str:
    place = _dataset(file, rng) if rng.integers(3) else _group(file, rng)
    if place in file and place != "/":
        del file[place]
    return place


def other_type(file: h5py.File, rng: Random) -> str:
    """The same shape in another type, a foreign one, or with values that belong elsewhere."""
    place = _dataset(file, rng)
    shape = file[place].shape or () if place in file else ()
    pairs = np.dtype([("a", "i4"), ("b", "f8", 2)])
    makers: list[Callable[[], Any]] = [
        lambda: {"data": np.full(shape, "heavy", object), "dtype": TEXT},
        lambda: {"data": np.full(shape, b"heavy", "S10")},
        lambda: {"data": np.full(shape, True)},
        lambda: {"data": np.full(shape, 3, np.float16)},
        lambda: {"data": np.full(shape, 3, np.longdouble)},
        lambda: {"data": np.full(shape, 3 + 1j, np.complex64)},
        lambda: {"data": np.full(shape, 3, ">i2")},
        lambda: {"data": np.full(shape, 2**64 - 1, np.uint64)},
        lambda: {"data": np.full(shape, -(2**63), np.int64)},
        lambda: {"data": np.full(shape, np.nan)},
        lambda: {"data": np.full(shape, 1e300)},
        lambda: {"data": np.full(shape, 1, np.uint8), "dtype": h5py.enum_dtype({"no": 0, "yes": 1}, "u1")},
        lambda: {"data": np.zeros(shape, pairs)},
        lambda: {"data": np.zeros(shape, "V7")},
        lambda: {"shape": shape, "dtype": h5py.vlen_dtype("i4")},
        lambda: {"data": _ragged(), "dtype": h5py.vlen_dtype("i4")},
        lambda: {"shape": shape, "dtype": np.dtype("(3,)i4")},
        lambda: {"shape": shape, "dtype": h5py.ref_dtype},
        lambda: {"shape": shape, "dtype": h5py.regionref_dtype},
        lambda: {"shape": shape, "dtype": "S100000"},
        lambda: {"data": "text" * int(rng.integers(1, 100_000)), "dtype": TEXT},
        lambda: {"data": b"\xff\xfe", "dtype": TEXT},
        lambda: {"data": ["", "relu"], "dtype": TEXT},
    ]
    return _replace(file, place, **makers[int(rng.integers(len(makers)))]())


def references(file: h5py.File, rng: Random) -> str:
    place = _dataset(file, rng)
    target = file.create_dataset("target", data=np.arange(6))
    if rng.integers(2):
        return _replace(file, place, data=target.regionref[2:5], dtype=h5py.regionref_dtype)
    return _replace(file, place, data=target.ref, dtype=h5py.ref_dtype)


def other_shape(file: h5py.File, rng: Random) -> str:
    place = _dataset(file, rng)
    shapes: list[tuple[int, ...]] = [(), (1,), (0,), (2, 0), (1,) * 32, (3, 3, 3, 3, 3), (7,), (1, 1)]
    return _replace(file, place, shapes[int(rng.integers(len(shapes)))], rng.choice(["f4", "i8", "S10"]))


def absurd_claim(file: h5py.File, rng: Random) -> str:
    """A dataset that claims far more than it stores."""
    place = _dataset(file, rng)
    shape = [(10**9,), (10**6, 10**6), (10**5, 10**4), (2**62,), (2**31, 2**31), (40_000_000,)][int(rng.integers(6))]
    options: list[dict[str, Any]] = [
        {"chunks": tuple(min(size, 1000) for size in shape)},
        {"chunks": tuple(min(size, 1000) for size in shape), "compression": "gzip"},
        {"chunks": tuple(min(size, 1000) for size in shape), "maxshape": (None,) * len(shape), "fillvalue": 3},
        {},
    ]
    return _replace(file, place, shape, "f4", **options[int(rng.integers(len(options)))])


def bomb(file: h5py.File, rng: Random) -> str:
    """Zeros that are small only as long as they are packed."""
    return _replace(file, _dataset(file, rng), data=np.zeros(30_000_000, np.int8), chunks=True, compression="gzip")


def absurd_sizes(file: h5py.File, rng: Random) -> str:
    """Neurons that nobody has."""
    place = f"layer/{int(rng.integers(5))}/shape"
    values = [[10**9], [10**9, 1, 1], [2**32, 2**32, 1], [-4], [0], [], [3, 3, 3, 3], [2**63 - 1, 2, 2], [-(2**63)]]
    return _replace(file, place, data=np.array(values[int(rng.integers(len(values)))], np.int64))


def odd_values(file: h5py.File, rng: Random) -> str:
    """A number of the right type and shape that makes no sense."""
    place = _dataset(file, rng)
    if place in file and file[place].dtype.kind in "if" and file[place].size:
        value = int(rng.choice([0, -1, 1, 63, 128, 256, 4097, 40_000, 2**24, 2**31, 2**62, -(2**63)]))
        values = file[place][()]
        with np.errstate(all="ignore"):
            flat = np.atleast_1d(values).astype(values.dtype)
            flat.reshape(-1)[int(rng.integers(flat.size))] = np.array(value).astype(values.dtype)
        file[place][...] = flat.reshape(values.shape)
    return place


def null_dataspace(file: h5py.File, rng: Random) -> str:
    return _replace(file, _dataset(file, rng), data=h5py.Empty(rng.choice(["f4", "i8", "S10"])))


def link(file: h5py.File, rng: Random) -> str:
    place, other = _dataset(file, rng), _group(file, rng)
    links = [
        h5py.SoftLink(f"/{other}"),
        h5py.SoftLink("/nowhere"),
        h5py.SoftLink(f"/{place}"),
        h5py.ExternalLink("other.h5", "/x"),
        h5py.ExternalLink(Path(file.filename).name, f"/{other}"),
    ]
    if place in file:
        del file[place]
    file[place] = links[int(rng.integers(len(links)))]
    return place


def hard_link(file: h5py.File, rng: Random) -> str:
    """A cycle, or the same thing many times over."""
    place, other = _group(file, rng), _group(file, rng)
    for i in range(1 if rng.integers(2) else 300):
        file[f"{place}/again{i}"] = file[other]
    return place


def many_times(file: h5py.File, rng: Random) -> str:
    """One megabyte, hundreds of times: a few kilobytes more in the file."""
    place = _group(file, rng)
    big = _replace(file, f"{place}/big", data=rng.integers(0, 255, 1 << 20, np.uint8))
    for i in range(500):
        file[f"{place}/big{i}"] = file[big]
    return place


def elsewhere(file: h5py.File, rng: Random) -> str:
    """A dataset whose values are in another file, or in another dataset."""
    place = _dataset(file, rng)
    if rng.integers(2):
        return _replace(file, place, (2, 2), "u1", external=[("/etc/hostname", 0, 4)])
    if place in file:
        del file[place]
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("." if rng.integers(2) else "other.h5", "target", (4,))
    file.create_virtual_dataset(place, layout)
    return place


def deep(file: h5py.File, rng: Random) -> str:
    place = _group(file, rng)
    depth = int(rng.choice([3, 8, 300]))
    file[place].create_group("/".join(["g"] * depth))
    return f"{place} {depth}"


def group_for_dataset(file: h5py.File, rng: Random) -> str:
    place = _dataset(file, rng)
    if place in file:
        del file[place]
    file.create_group(place)["x"] = 1
    return place


def dataset_for_group(file: h5py.File, rng: Random) -> str:
    place = _group(file, rng)
    return _replace(file, place, data=1) if place != "/" else place


def named_type(file: h5py.File, rng: Random) -> str:
    place = _dataset(file, rng)
    if place in file:
        del file[place]
    file[place] = np.dtype("f4")
    return place


def odd_name(file: h5py.File, rng: Random) -> str:
    names = ["", "naïve", "a b", "x" * 5000, "-1", "00", "+1", "١", "1.0", "type ", "99999999999999999999"]
    group = _group(file, rng)
    if not rng.integers(len(names)):
        file[group].create_group(b"\xff\xfe")  # no text
        return group
    return _replace(file, f"{group}/{names[int(rng.integers(len(names)))] or '_'}", data=1)


def packed_otherwise(file: h5py.File, rng: Random) -> str:
    """The same values behind a filter."""
    place = _dataset(file, rng)
    if place not in file or not file[place].shape or not file[place].size:
        return place
    values = file[place][()]
    options = [{"compression": "lzf"}, {"fletcher32": True}, {"compression": "gzip", "shuffle": True}]
    if values.dtype.kind in "iu":
        options.append({"scaleoffset": 0})
    return _replace(file, place, data=values, chunks=True, **options[int(rng.integers(len(options)))])


def attribute(file: h5py.File, rng: Random) -> str:
    """Of any type and size, on the root or elsewhere."""
    item = file if rng.integers(3) else file[_group(file, rng)]
    name = str(rng.choice(["format_version", "checksum", "note", "x" * 3000]))
    big = np.zeros(7000 if file.libver[0] == "earliest" else 10**6)  # old files keep attributes in 64 KiB
    values: list[tuple[Any, Any]] = [
        (big, None),
        ("y" * 60_000, None),
        (h5py.Empty("f4"), None),
        (np.zeros(2, [("a", "i4")]), None),
        (file.ref, h5py.ref_dtype),
        (_ragged(), h5py.vlen_dtype("i4")),
        (1.5, None),
        (-1, None),
        (np.uint64(2**64 - 1), None),
        (np.float16(1), None),
        (np.longdouble(1), None),
        (True, None),
        (["a", "b"], None),
        (np.zeros(3, "V5"), None),
        (b"\xff\xfe", None),
        (np.nan, None),
        (np.zeros((0,)), None),
    ]
    value, dtype = values[int(rng.integers(len(values)))]
    item.attrs.create(name, value, dtype=dtype)
    return f"{item.name} {name[:16]}"


_STRUCTURE: list[Callable[[h5py.File, Random], str]] = [
    without,
    other_type,
    other_type,
    other_type,
    references,
    other_shape,
    absurd_claim,
    bomb,
    absurd_sizes,
    odd_values,
    odd_values,
    null_dataspace,
    link,
    hard_link,
    many_times,
    elsewhere,
    deep,
    group_for_dataset,
    dataset_for_group,
    named_type,
    odd_name,
    packed_otherwise,
    attribute,
    attribute,
]
