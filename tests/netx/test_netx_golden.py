"""The integer runtime against recordings of Lava itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slayerloss import io, netx

RECORDINGS = [
    "mnist",
    "oxford",
    "pilotnet_lif",
    "pilotnet_sdnn",
    "syn_dense_delay",
    "syn_dense_rec",
    "syn_rf",
    "syn_sdnn",
    "tiny",
    "tiny_reset",
]


def test_all_recordings_of_lava_are_here(shared: Path) -> None:
    assert sorted(file.stem for file in (shared / "golden" / "netx").glob("*.npz")) == RECORDINGS


@pytest.mark.parametrize("name", RECORDINGS)
def test_spikes_states_and_checksums_are_lavas(shared: Path, name: str) -> None:
    folder = shared / "golden" / "netx"
    with np.load(folder / f"{name}.npz") as golden:
        meta = json.loads(str(golden["meta"]))
        network = netx.Network(folder / meta["net"], **meta["kw"])
        recording = network.run(golden["input"].T, states=True)  # (T, W, H, C) -> (C, H, W, T)
        assert len(network) == len(meta["layers"])
        for i, (spikes, states) in enumerate(zip(recording.spikes, recording.states, strict=True)):
            np.testing.assert_array_equal(spikes.T, golden[f"L{i}_spk"])
            for name_of_state, values in states.items():
                lava_order = values.T
                flat = lava_order.reshape(len(lava_order), -1)
                some = flat[:, golden[f"L{i}_idx"]] if f"L{i}_idx" in golden.files else lava_order
                np.testing.assert_array_equal(some, golden[f"L{i}_{name_of_state}"])
                np.testing.assert_array_equal(flat.sum(1, dtype=np.int64), golden[f"L{i}_{name_of_state}_sum"])


def test_every_file_survives_read_and_write(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "golden" / "netx").glob("*.net"))
    assert files
    for file in files:
        description = netx.read(file)
        netx.write(tmp_path / file.name, description)
        again = netx.read(tmp_path / file.name)
        assert again == description, file.name
        assert again.checksum_stored == description.checksum(), file.name


def test_nothing_is_wrong_with_lavas_own_files(shared: Path) -> None:
    for file in sorted((shared / "golden" / "netx").glob("*.net")):
        assert [str(f) for f in netx.check(file) if f.severity != "note"] == [], file.name


def test_inspect_names_what_a_reader_looks_for(shared: Path) -> None:
    table = netx.inspect(shared / "golden" / "netx" / "pilotnet_lif.net")
    lines = table.splitlines()
    assert len(lines) == 13
    assert "conv 3x3 s2,1 p1,0  64x4x22" in table
    assert "-20 .. 18" in table
    assert "14,550,054" in lines[-1]


def test_nmnist_counts_are_lava_dls(shared: Path) -> None:
    """A trained network on 100 recordings: lava-dl's blocks and the integers of the file count the same spikes."""
    golden = np.load(shared / "golden" / "slayer" / "nmnist_full.npz")
    neuron = {"type": "CUBA", **{name: int(golden[name]) for name in ("iDecay", "vDecay", "vThMant")}}
    layers = [{"type": "dense", "shape": [len(w)], "weight": w} for w in (golden["weight_0"], golden["weight_1"])]
    network = netx.Network(netx.describe([{**layer, "neuron": neuron} for layer in layers]))
    folder = shared / "data" / "NMNIST" / "Test"
    files = {int(file.stem): file for file in folder.glob("*/*.bin")}
    rows = [i for i, number in enumerate(golden["ids"]) if number in files]
    assert len(rows) == 100
    x = np.zeros((len(rows), 2, 34, 34, 300), np.int8)
    for sample, row in zip(x, rows, strict=True):
        events = io.read(files[golden["ids"][row]])
        steps = np.round(events.t).astype(int)
        seen = steps < 300
        sample[events.c[seen], events.y[seen], events.x[seen], steps[seen]] = 1
    recording = network.run(x)
    np.testing.assert_array_equal(recording.output.sum(-1), golden["counts"][rows])
    np.testing.assert_array_equal(recording.spikes[0].sum((1, 2)), golden["hidden_total"][rows])
