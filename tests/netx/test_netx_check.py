"""The traps of the format: each is found, with its severity and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from netx_layers import conv, dense, entrance, flatten

from slayerloss import FormatError, netx
from slayerloss.netx.packing import lossless, pack


def one(layer: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer]


IMAGE = conv(np.full((2, 1, 2, 2), 6), (3, 3))
TRAPS = [
    ("G1", one(dense([[0, 0]])), "error", "weight", "all weights are zero", True),
    ("G2", one(dense([[300, 10], [20, 600]])), "error", "weight", "4 of 4 weights (10 to 600) change", False),
    ("G3", one(dense([[-128, -3]])), "error", "weight", "1 of 2 weights (-128 to -3) change", False),
    ("mixed", one(dense([[256, -2]])), "error", "weight", "1 of 2 weights (-2 to 256) change", False),
    ("G4 NaN", one(dense([[np.nan, 2]])), "error", "weight", "NaN or infinity", True),
    ("G4 fraction", one(dense([[2.5, -2]])), "error", "weight", "there are fractions", False),
    (
        "G5",
        one(conv(np.ones((128, 1, 1, 1)), (1, 1), groups=128)),
        "error",
        "groups",
        "128 is above 127; Lava keeps it in 8 bits",
        True,
    ),
    ("G7", one({"type": "input", "shape": [1], "bias": 4}), "note", "", "does not apply", False),
    ("G10 type", one({"type": "lstm", "shape": [1]}), "error", "type", "drops the layer", True),
    ("G10 refDelay", one(dense([[2, -2]], {"refDelay": 3})), "warning", "neuron/refDelay", "ignores it", False),
    ("G10 graded", one(dense([[2, -2]], {"gradedSpike": True})), "error", "neuron/gradedSpike", "sends 1", False),
    ("G10 weight_exp", one(dense([[2, -2]], {"weight_exp": [1.0]})), "error", "neuron/weight_exp", "ignores", False),
    ("G10 delay", [entrance(1, 3, 3), {**IMAGE, "delay": [1, 2]}], "error", "delay", "of a conv layer", False),
    ("G11", one(dense([[2, -2]], {"messageBits": 8})), "error", "neuron/messageBits", "hangs", True),
    ("G12", one(dense([[2, -2]], bias=[40000.0])), "error", "bias", "40000 is above 32767; it wraps around", False),
    ("G12 fraction", one(dense([[2, -2]], bias=[0.5])), "error", "bias", "there are fractions", False),
    ("G13", [{k: v for k, v in IMAGE.items() if k != "neuron"}], "error", "", "without a neuron", True),
    ("G14 long", one(dense([[2, -2]], delay=[63])), "error", "delay", "63 is above 62; it becomes 62", False),
    ("G14 negative", one(dense([[2, -2]], delay=[-1])), "error", "delay", "-1 is below 0; Lava cannot load it", True),
    (
        "rec delay",
        [{**dense([[2]], delay=[1]), "type": "dense_rec", "weight_rec": [[2]]}],
        "error",
        "",
        "recurrent layer with delays",
        True,
    ),
    ("decay", one(dense([[2, -2]], {"iDecay": 5000})), "error", "neuron/iDecay", "5000 is above 4096", False),
    ("threshold", [dense([[2, 2]], {"vThMant": 1 << 17}), dense([[2]])], "warning", "neuron/vThMant", "never", False),
    ("pool", one({"type": "average", "shape": [1, 2, 2]}), "error", "type", "cannot load it", True),
    ("input inside", [dense([[2]]), entrance(1)], "error", "", "inside the network", True),
    ("no flatten", [IMAGE, dense(np.full((1, 8), 2))], "error", "", "Put a flatten layer before it", True),
    ("flatten, conv", [entrance(1, 3, 3), flatten(entrance(1, 3, 3)), IMAGE], "error", "", "before a conv", True),
    ("flatten twice", [dense([[2]]), flatten(dense([[2]]))], "error", "", "cannot flatten", True),
    ("channels", [entrance(3, 3, 3), IMAGE], "error", "", "images of 1 channels", True),
    ("size", [dense([[2]]), dense([[2, 2]])], "error", "", "2 inputs", True),
]


@pytest.mark.parametrize(
    ("layers", "severity", "place", "text", "fatal"), [t[1:] for t in TRAPS], ids=[t[0] for t in TRAPS]
)
def test_trap_is_found(layers: list[dict[str, Any]], severity: str, place: str, text: str, fatal: bool) -> None:
    findings = netx.check(netx.describe(layers))
    found = [f for f in findings if text in str(f)]
    assert found, findings
    assert (found[0].severity, found[0].fatal) == (severity, fatal)
    assert found[0].place.split("/", 2)[2:] == ([place] if place else [])
    # Lava's own arithmetic runs what is not fatal
    if not any(f.fatal for f in findings) and layers[0]["type"] != "input":
        assert netx.Network(netx.describe(layers)).run(np.ones((len(layers[0]["weight"][0]), 4))).output.shape[-1] == 4


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
    assert (finding.severity, finding.place) == ("warning", "/")
    assert "checksum does not match" in finding.problem
    with pytest.raises(FormatError, match=r"network\.net: / checksum does not match.*pass netx\.read\(file\)"):
        netx.Network(path)
    changed = netx.Network(netx.read(path)).run([[1], [0]], states=True)
    with h5py.File(path, "a") as handle:
        del handle.attrs["checksum"]
    np.testing.assert_array_equal(netx.Network(path).run([[1], [0]], states=True).output, changed.output)


@settings(deadline=None)
@given(
    arrays(
        np.int64, array_shapes(min_dims=2, max_dims=2, max_side=4), elements=st.integers(-127, 127).map(lambda w: 2 * w)
    )
)
def test_trained_weights_lose_nothing(matrix: np.ndarray) -> None:
    if matrix.max() > 0:  # without a positive weight, -2^k as the lowest one is clipped
        assert lossless(*pack(matrix), matrix)


@pytest.mark.parametrize(
    ("matrix", "spikes", "expected"),
    [
        ([[300, 10], [20, 600]], [1, 1], [0, 0]),  # a shift by -1 makes zero
        ([[-256, -2]], [1, 0], [-254]),
        ([[-2]], [1], [0]),
        ([[-256, -2, 0]], [1, 0, 0], [-255]),
        ([[-256, -3, 0]], [1, 0, 0], [0]),  # clearing -1 bits makes zero
        ([[-128, -3]], [1, 0], [-127]),
        ([[-128, -2]], [1, 0], [-126]),
        ([[400, -2]], [1, 1], [252]),
        ([[-300, 254]], [1, 1], [-2]),
    ],
)
def test_extreme_weights_change_as_in_lava(matrix: Any, spikes: Any, expected: Any) -> None:
    (packed,) = pack(np.array(matrix))
    np.testing.assert_array_equal((packed.weight @ spikes) >> packed.shift, expected)
