"""What is wrong with a network file as a whole, and with its values: each is found, with its severity and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from netx_layers import NEURON, conv, dense, entrance, flatten

from slayerloss import FormatError, netx

IMAGE = conv(np.full((2, 1, 2, 2), 6), (3, 3))
SLIDING = {"kernelSize": [2, 2], "stride": [2, 2], "padding": [0, 0], "dilation": [1, 1], "neuron": NEURON}
KERNEL = {**SLIDING, "weight": np.full((1, 1, 2, 2), 64)}
POOL = {"type": "pool", "shape": [2, 2, 2], **KERNEL}
UNPOOL = {"type": "unpool", "shape": [2, 4, 4], **KERNEL}
CONV_T = {"type": "convT", "shape": [3, 4, 4], **SLIDING, "groups": 1, "weight": np.full((2, 3, 2, 2), 8)}
LARGE = {**IMAGE, "weight": np.full((2, 1, 2, 2), 300)}
ROW = {"type": "flatten", "shape": [9, 1, 1]}
TRAPS = [
    ("G4 NaN", [dense([[np.nan, 2]])], "0/weight", "error", "NaN or infinity", "file", True),
    ("NaN bias", [dense([[2, -2]], bias=[np.inf])], "0/bias", "error", "NaN or infinity", "file", True),
    (
        "G4 fraction",
        [dense([[2.5, -2]])],
        "0/weight",
        "error",
        "fractions; Lava cuts them off",
        "lava",
        False,
    ),
    ("fraction of a bias", [dense([[2, -2]], bias=[0.5])], "0/bias", "error", "there are fractions", "lava", False),
    ("fraction of a delay", [dense([[2, -2]], delay=[1.5])], "0/delay", "error", "there are fractions", "lava", False),
    ("G12", [dense([[2, -2]], bias=[40000.0])], "0/bias", "error", "above 32767; it wraps around in 16", "lava", False),
    ("G14 long", [dense([[2, -2]], delay=[63])], "0/delay", "error", "63 is above 62; it becomes 62", "lava", False),
    (
        "G14 negative",
        [dense([[2, -2]], delay=[-1])],
        "0/delay",
        "error",
        "-1 is below 0; Lava cannot",
        "file",
        True,
    ),
    ("decay", [dense([[2, -2]], {"iDecay": 5000})], "0/neuron/iDecay", "error", "5000 is above 4096", "lava", False),
    ("growth", [dense([[2, -2]], {"vDecay": -3})], "0/neuron/vDecay", "error", "would be a growth", "file", True),
    ("flips", [dense([[2, -2]], {"iDecay": 9000})], "0/neuron/iDecay", "error", "would grow", "file", True),
    ("rest", [dense([[2]], {"vThMant": -1})], "0/neuron/vThMant", "warning", "neurons at rest spike", "lava", False),
    (
        "room",
        [entrance(1, 3, 3), {**IMAGE, "weight": IMAGE["weight"] * 50}],
        "1/weight",
        "warning",
        "no room",
        "lava",
        False,
    ),
    ("type", [dense([[2]]), {"type": "lstm", "shape": [1]}], "1/type", "error", "drops the layer", "lava", False),
    ("pool", [entrance(2, 4, 4), POOL], "1/type", "error", "'pool'; Lava cannot load it. Use a Conv", "lava", True),
    (
        "average",
        [dense([[2]]), {"type": "average", "shape": [1]}],
        "1/type",
        "error",
        "cannot load it.",
        "lava",
        True,
    ),
    ("convT", [entrance(2, 2, 2), CONV_T], "1/type", "error", "Lava cannot load it", "lava", True),
    ("unpool", [entrance(2, 2, 2), UNPOOL], "1/type", "error", "Lava cannot load it", "lava", True),
    ("input inside", [dense([[2]]), entrance(1)], "1", "error", "inside the network", "file", True),
    ("no flatten", [entrance(1, 3, 3), IMAGE, dense(np.full((1, 8), 2))], "2", "error", "Put a flatten", "lava", True),
    ("flatten, conv", [entrance(1, 3, 3), ROW, IMAGE], "2", "warning", "Lava ignores a flatten layer", "lava", False),
    (
        "flatten twice",
        [dense([[2]]), flatten(dense([[2]])), dense([[2]])],
        "2",
        "error",
        "cannot flatten",
        "lava",
        True,
    ),
    ("channels", [entrance(3, 3, 3), IMAGE], "1", "error", "images of 1 channels, not (3, 3, 3)", "file", True),
    ("size", [dense([[2]]), dense([[2, 2]])], "1", "error", "has 2 inputs, and 1 come from", "file", True),
    ("image size", [entrance(1, 3, 4), IMAGE], "1", "error", "the input makes (2, 2, 3)", "file", True),
    (
        "groups",
        [{**conv(np.ones((3, 1, 1, 1)), (1, 1)), "groups": 2}],
        "0",
        "error",
        "do not divide into 2",
        "file",
        True,
    ),
    ("pool size", [entrance(2, 5, 6), POOL], "1", "error", "the input makes (2, 2, 3)", "file", True),
    ("pool channels", [entrance(3, 4, 4), POOL], "1", "error", "images of 2 channels", "file", True),
    ("unpool size", [entrance(2, 3, 2), UNPOOL], "1", "error", "the input makes (2, 6, 4)", "file", True),
    ("convT size", [entrance(2, 3, 2), CONV_T], "1", "error", "the input makes (3, 6, 4)", "file", True),
    (
        "average size",
        [dense([[2]] * 3), {"type": "average", "shape": [2]}],
        "1",
        "error",
        "3 neurons do not",
        "file",
        True,
    ),
    ("stride", [{**IMAGE, "stride": [0, 1]}], "0/stride", "error", "0 is below 1; it has no meaning", "file", True),
    ("no shape", [IMAGE], "0", "note", "does not say the shape of its input. Pass input_shape", "lava", False),
]


@pytest.mark.parametrize(
    ("layers", "place", "severity", "text", "scope", "fatal"), [t[1:] for t in TRAPS], ids=[t[0] for t in TRAPS]
)
def test_trap_is_found(
    layers: list[dict[str, Any]], place: str, severity: str, text: str, scope: str, fatal: bool
) -> None:
    findings = netx.check(netx.describe(layers))
    found = [f for f in findings if text in str(f) and f.place == f"layer/{place}"]
    assert found, findings
    assert [(f.severity, f.scope, f.fatal) for f in found] == [(severity, scope, fatal)]


def test_all_that_is_wrong_is_found_at_once() -> None:
    layers = [
        {"type": "lstm", "shape": [3]},
        dense([[np.nan, 2]]),
        dense([[0]], {"refDelay": 2}),
        {"type": "pool", "shape": [1, 2, 2], **KERNEL},
        dense([[2, -4]]),
    ]
    places = [f.place for f in netx.check(netx.describe(layers)) if f.severity == "error"]
    assert places == [
        "layer/0/type",
        "layer/1/weight",
        "layer/2/weight",
        "layer/3/type",
        "layer/3",
        "layer/4",
        "layer/4",
    ]


def test_shapes_are_followed_through_what_lava_cannot_load() -> None:
    layers = [
        entrance(2, 8, 8),
        {**POOL, "shape": [2, 4, 4]},
        {**UNPOOL, "shape": [2, 8, 8]},
        {**POOL, "shape": [2, 4, 4]},
        {**CONV_T, "shape": [3, 8, 8]},
        {**POOL, "shape": [3, 4, 4]},
        flatten({"shape": [3, 4, 4]}),
        dense(np.full((8, 48), 2)),
        {"type": "average", "shape": [4, 1, 1]},
        dense(np.full((1, 4), 2)),
    ]
    assert {f.scope for f in netx.check(netx.describe(layers)) if f.fatal} == {"lava"}
    layers[-1] = dense(np.full((1, 5), 2))
    (finding,) = [f for f in netx.check(netx.describe(layers)) if f.scope == "file"]
    assert (finding.place, finding.problem) == ("layer/9", "the layer has 5 inputs, and 4 come from the layer before")


def test_a_field_that_the_format_does_not_have_is_noted() -> None:
    findings = netx.check(netx.describe([dense([[2, -4]], {"vThMnt": 4}, biass=[3])]))
    assert [(f.severity, f.place) for f in findings] == [("note", "layer/0/biass"), ("note", "layer/0/neuron/vThMnt")]


def test_a_sound_network_has_no_findings() -> None:
    layers = [
        entrance(1, 3, 3),
        IMAGE,
        flatten(IMAGE),
        dense(np.full((4, 8), 2), delay=[0, 62, 3, 4], bias=np.arange(4)),
    ]
    assert netx.check(netx.describe(layers)) == []


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "network.net"
    netx.write(path, netx.describe([dense([[2, -4]])]))
    assert netx.check(path) == []
    with h5py.File(path, "a") as handle:
        handle["layer/0/weight"][0, 0] = 3
    (finding,) = netx.check(path)
    assert (finding.severity, finding.place, finding.scope, finding.fatal) == ("error", "/", "file", False)
    assert "checksum does not match" in finding.problem
    assert netx.check(netx.read(path)) == []  # a Description may be edited on purpose
    with pytest.raises(FormatError, match=r"network\.net: / checksum does not match.*pass netx\.read\(file\)"):
        netx.Network(path)
    changed = netx.Network(netx.read(path)).run([[1], [0]], states=True)
    with h5py.File(path, "a") as handle:
        del handle.attrs["checksum"]
    np.testing.assert_array_equal(netx.Network(path).run([[1], [0]], states=True).output, changed.output)


def test_a_file_that_lava_dl_wrote_has_notes_of_its_training(tmp_path: Path) -> None:
    """slayerloss trains as Lava runs, so that its own files have none."""
    late = dense([[2, -4], [6, -8]], {"vThMant": 5000}, bias=[2, 4], delay=[1, 2])
    layers = [{"type": "input", "shape": [2], "neuron": NEURON}, late, {**late, "delay": np.zeros(2)}]
    path = tmp_path / "network.net"
    netx.write(path, netx.describe(layers))
    assert netx.check(path) == []
    with h5py.File(path, "a") as handle:
        handle.attrs.clear()
    assert netx.check(netx.read(path)) == []
    findings = netx.check(path)
    assert all(f.severity == "note" and f.problem.startswith("if lava-dl trained it: ") for f in findings)
    told = {f.place: str(f) for f in findings}
    assert "the output comes a step earlier" in told["layer/0"]
    assert "the bias of each layer (1, 2) began to act" in told["layer/1/bias"]
    assert "but not the bias" in told["layer/1/delay"]
    assert "where v equals a threshold this large" in told["layer/2/neuron/vThMant"]
    assert len(told) == len(findings) == 6


def test_lava_dl_s_own_files_have_no_errors(shared: Path) -> None:
    files = sorted((shared / "golden" / "netx").glob("*.net"))
    assert len(files) > 5
    for file in files:
        assert {f.severity for f in netx.check(file)} <= {"note"}, file
