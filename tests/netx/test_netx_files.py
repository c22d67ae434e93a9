"""Reading and writing network files, sound and broken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from netx_layers import conv, dense, entrance, flatten, weights

from slayerloss import netx
from slayerloss._check import FileError, FormatError, MissingFileError


def example() -> netx.Description:
    rng = np.random.default_rng(0)
    first = conv(weights(rng, 3, 2, 3, 3), (6, 7), bias=weights(rng, 3))
    per_channel = {"iDecay": np.array([1, 2, 3, 4]), "vDecay": np.array([4096, 0, 5, 6])}
    second = dense(weights(rng, 4, 60), per_channel, delay=np.array([0, 1, 2, 62]))
    third = {**dense(weights(rng, 2, 4)), "type": "dense_rec", "weight_rec": weights(rng, 2, 2)}
    return netx.describe([entrance(2, 6, 7), first, flatten(first), second, third])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "network.net"
    netx.write(path, example())
    return path


def test_write_then_read_is_identity(file: Path) -> None:
    description = netx.read(file)
    assert description == example()
    assert description.checksum_stored == description.checksum() == example().checksum()
    changed = netx.read(file)
    changed.layers[1].fields["weight"][0, 0, 0, 0] += 1
    assert changed != description
    assert changed.checksum() != description.checksum()


def test_datasets_are_stored_as_lava_dl_stores_them(file: Path) -> None:
    with h5py.File(file) as handle:
        layer = handle["layer/3"]
        assert layer["type"].dtype == "S10"
        assert layer["type"][()].tolist() == [b"dense"]
        assert h5py.check_string_dtype(layer["neuron/type"].dtype).length is None
        assert (layer["shape"].dtype, layer["shape"].shape) == (np.int64, (1,))
        assert (layer["weight"].dtype, layer["delay"].dtype) == (np.float32, np.float32)
        assert (layer["inFeatures"].dtype, layer["inFeatures"].shape) == (np.int64, ())
        assert (layer["neuron/vThMant"].dtype, layer["neuron/vThMant"].shape) == (np.int64, ())
        assert layer["neuron/gradedSpike"].dtype == bool
        assert handle["layer/1/groups"].shape == ()  # an array would crash netx
        assert set(handle.attrs) == {"format_version", "checksum"}
        assert not list(handle["layer/3"].attrs)


def test_unknown_fields_groups_and_attributes_are_kept(file: Path, tmp_path: Path) -> None:
    with h5py.File(file, "a") as handle:
        handle["simulation/Ts"] = 1
        handle["layer/3/author"] = "A. Person"
        handle["layer/3/names"] = np.array(["a", "bé"], dtype=h5py.string_dtype())
        handle["layer/3/neuron/future"] = np.arange(3, dtype=np.uint8)
        handle["layer/3/deep/er"] = 1.5
        handle["layer/5/type"] = np.array([b"mystery"], "S10")
        handle["layer/5/shape"] = [4]
        handle.attrs["note"] = "kept"
    description = netx.read(file)
    assert description.layers[3].fields["author"] == "A. Person"
    assert description.layers[3].fields["deep"]["er"] == 1.5
    assert description.layers[5].type == "mystery"
    assert (description.extra["simulation"]["Ts"], description.attributes["note"]) == (1, "kept")
    netx.write(tmp_path / "again.net", description)
    assert netx.read(tmp_path / "again.net") == description


def test_a_failed_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def fail(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(sys.modules[netx.write.__module__], "_write_tree", fail)
    with pytest.raises(RuntimeError, match="disk is full"):
        netx.write(file, example())
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]
    monkeypatch.undo()
    broken = example()
    del broken.layers[3].fields["weight"]
    with pytest.raises(FormatError, match="layer/3/weight is missing"):
        netx.write(file, broken)
    assert file.read_bytes() == before
    with pytest.raises(OSError, match=r"nowhere.network\.net"):
        netx.write(file.parent / "nowhere" / "network.net", example())


def remove(path: str) -> Callable[[h5py.File], None]:
    return lambda handle: handle.__delitem__(path)


def replace(path: str, value: Any, **options: Any) -> Callable[[h5py.File], None]:
    def change(handle: h5py.File) -> None:
        if path in handle:
            del handle[path]
        handle.create_dataset(path, data=value, **options)

    return change


def claim(path: str, shape: tuple[int, ...], **options: Any) -> Callable[[h5py.File], None]:
    """A dataset that claims a shape and stores nothing of it."""

    def change(handle: h5py.File) -> None:
        if path in handle:
            del handle[path]
        handle.create_dataset(path, shape, "f4", **options)

    return change


def cycle(handle: h5py.File) -> None:
    handle["layer/3/again"] = handle["layer"]


def soft_link(handle: h5py.File) -> None:
    handle["layer/3/link"] = h5py.SoftLink("/layer/3/weight")


def external_link(handle: h5py.File) -> None:
    handle["layer/3/link"] = h5py.ExternalLink("other.h5", "/x")


def newer(handle: h5py.File) -> None:
    handle.attrs["format_version"] = 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (remove("layer"), "/layer is missing or empty"),
        (remove("layer/2"), "layer/2 is missing"),
        (remove("layer/3/type"), "layer/3/type is not a text"),
        (remove("layer/3/shape"), "layer/3/shape is missing"),
        (remove("layer/3/weight"), "layer/3/weight is missing"),
        (remove("layer/4/weight_rec"), "layer/4/weight_rec is missing"),
        (remove("layer/1/stride"), "layer/1/stride is missing"),
        (remove("layer/3/neuron/iDecay"), "layer/3/neuron/iDecay is missing"),
        (remove("layer/3/neuron/type"), "layer/3/neuron/type is not a text"),
        (replace("layer/2", 1), "layer/2 is not a group"),
        (replace("layer/3/neuron", 1), "layer/3/neuron is not a group"),
        (replace("layer/3/type", 5), "layer/3/type is not a text"),
        (replace("layer/3/weight", "heavy"), "layer/3/weight has the wrong type; expected numbers"),
        (replace("layer/3/shape", [4.5]), "layer/3/shape has the wrong type; expected integers"),
        (replace("layer/3/neuron/vThMant", "high"), "layer/3/neuron/vThMant has the wrong type"),
        (replace("layer/3/neuron/iDecay", 0.25), "layer/3/neuron/iDecay has the wrong type; expected integers"),
        (replace("layer/3/weight", np.ones((4, 5, 6))), r"layer/3/weight has the wrong shape.*got \(4, 5, 6\)"),
        (replace("layer/3/weight", np.ones((5, 60))), r"expected \(out=4, in\)"),
        (replace("layer/3/weight", np.ones((4, 0))), "layer/3/weight has the wrong shape"),
        (replace("layer/3/delay", np.ones(3)), "layer/3/delay has the wrong shape"),
        (replace("layer/3/delay", np.ones(1)), "layer/3/delay has the wrong shape"),
        (replace("layer/3/neuron/vThMant", [1, 2]), "layer/3/neuron/vThMant has the wrong shape"),
        (replace("layer/3/neuron/vDecay", [1, 2]), r"expected \(\) or \(1,\) or \(C=4,\), got \(2,\)"),
        (
            replace("layer/1/bias", np.ones(2)),
            r"layer/1/bias has the wrong shape; expected \(C=3,\) or \(W=5, H=4, C=3\)",
        ),
        (replace("layer/1/groups", [1]), "layer/1/groups has the wrong shape"),
        (replace("layer/1/shape", [3, 4]), "layer/1/shape has the wrong shape"),
        (replace("layer/3/shape", [10**9]), "layer/3/shape is absurd"),
        (replace("layer/1/shape", [3, 10**6, 10**6]), "layer/1/shape is absurd"),
        (replace("layer/0/shape", [2, 0, 7]), "layer/0/shape is absurd"),
        (replace("layer/0/shape", [2, -6, 7]), "layer/0/shape is absurd"),
        (claim("layer/3/weight", (4, 10**9)), "layer/3/weight has an absurd size"),
        (claim("layer/3/other", (10**6, 10**6), chunks=(1000, 1000)), "layer/3/other has an absurd size"),
        (claim("layer/3/other", (10**8,), chunks=(10**6,), compression="gzip"), "layer/3/other has an absurd size"),
        (replace("layer/3/other", h5py.Empty("f4")), "layer/3/other is empty"),
        (replace("layer/3/other", np.zeros(2, [("a", "i4")])), "layer/3/other has a type that the format does not use"),
        (cycle, "layer/3/again is a link; expected a dataset or group of its own, got a second name of layer"),
        (soft_link, "layer/3/link is a link"),
        (external_link, "layer/3/link is a link"),
        (newer, "format_version is unknown; expected at most 1, got 2"),
    ],
)
def test_malformed_files_are_refused_by_place(file: Path, change: Callable[[h5py.File], None], text: str) -> None:
    with h5py.File(file, "a") as handle:
        change(handle)
    with pytest.raises(FormatError, match=text) as caught:
        netx.read(file)
    assert str(caught.value).startswith(f"netx: {file}: ")


def test_an_attribute_of_a_foreign_type_is_refused_unread(file: Path) -> None:
    """One byte makes the checksum, a text, a sequence without an element type; to read that kills the process."""
    whole = file.read_bytes()
    kind = whole.index(b"checksum") + 17  # behind the padded name and the type's version and class
    assert whole[kind - 1 : kind + 1] == b"\x19\x01"
    file.write_bytes(whole[:kind] + b"\xe8" + whole[kind + 1 :])
    script = f"from slayerloss import netx; netx.read({str(file)!r})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "FormatError: netx: " in run.stderr
    assert "/ checksum has a type that the format does not use" in run.stderr


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"type": None}, "layer/0/type is not a text; expected one text"),
        ({"weight": [[2, 4], [2]]}, "layer/0/weight is ragged"),
        ({"weight": [[2, 1e300]]}, "layer/0/weight does not fit into float32; expected numbers, got 1e\\+300"),
        ({"weight": "heavy"}, "layer/0/weight has the wrong type"),
        ({"weight": [["a", None]]}, "layer/0/weight has the wrong type"),
        ({"shape": [1.5]}, "layer/0/shape does not fit into int64; expected integers, got 1.5"),
        ({"neuron": 5}, "layer/0/neuron is not a group"),
        ({"neuron": {"type": "CUBA", "iDecay": 1e30}}, "layer/0/neuron/iDecay does not fit into int64"),
        ({"other": [[1], [1, 2]]}, "layer/0/other is ragged"),
    ],
)
def test_what_the_format_cannot_hold_is_not_described(change: dict[str, Any], text: str) -> None:
    with pytest.raises(FormatError, match=f"netx: network: {text}"):
        netx.describe([{**dense([[2, 4]]), **change}])
    with pytest.raises(FormatError, match="layer/0/type is not a text"):
        netx.describe([{"shape": [1]}])


def test_what_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.net"
    for content in (b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"text\.net' is not HDF5, or is damaged"):
            netx.read(path)
    with pytest.raises(MissingFileError, match=r"^netx: there is no file '.*nothing\.net'; .*no such file"):
        netx.read(tmp_path / "nothing.net")
    with pytest.raises(FileError, match="is a folder"):
        netx.read(tmp_path)


def test_a_network_of_no_layers_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="layer is empty; expected one layer or more"):
        netx.write(tmp_path / "network.net", netx.describe([]))
    assert not any(tmp_path.iterdir())


def test_truncated_files_are_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 60).astype(int):
        file.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"network\.net"):
            netx.read(file)


def test_a_file_without_attributes_and_with_a_scalar_type_is_read(file: Path) -> None:
    with h5py.File(file, "a") as handle:
        handle.attrs.clear()
        replace("layer/3/type", b"dense")(handle)
        replace("layer/3/neuron/type", np.bytes_(b"CUBA"))(handle)
    description = netx.read(file)
    assert description == example()
    assert description.checksum_stored is None


def test_many_small_claims_are_refused_together(tmp_path: Path) -> None:
    """Chunks that were never written take no place in the file, and a megabyte each in memory."""
    path = tmp_path / "claims.net"
    netx.write(path, netx.describe([dense([[2, 4]])]))
    with h5py.File(path, "r+") as handle:
        for i in range(250):
            handle.create_dataset(f"layer/0/claim{i}", (1 << 18,), "f4", chunks=(1 << 12,))
    with pytest.raises(FormatError, match="has an absurd size; expected no more than the file stores"):
        netx.read(path)


def test_a_flood_of_items_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.net"
    netx.write(path, netx.describe([dense([[2, 4]])]))
    with h5py.File(path, "r+") as handle:
        for i in range(6000):
            handle.create_group(f"layer/0/group{i}")
    with pytest.raises(FormatError, match="is one item too many; expected at most 5000 items"):
        netx.read(path)


def test_compressed_weights_are_read(tmp_path: Path) -> None:
    path = tmp_path / "compressed.net"
    weight = np.zeros((2000, 3000), np.float32)
    weight[::50, ::50] = 2
    netx.write(path, netx.describe([{**dense([[2]]), "shape": [2000], "weight": weight}]))
    with h5py.File(path, "r+") as handle:
        del handle["layer/0/weight"]
        handle.create_dataset("layer/0/weight", data=weight, compression="gzip")
    assert path.stat().st_size > weight.nbytes  # HDF5 does not give the place back
    np.testing.assert_array_equal(netx.read(path).layers[0].fields["weight"], weight)
