"""What check says of Lava is so: real Lava refuses what it calls fatal, and runs the rest as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netx_layers import NEURON, conv, dense, entrance, flatten

from slayerloss import netx

pytestmark = pytest.mark.lava

W = [[20, -6], [4, 30]]
DELTA = {"type": "SDNN", "activation": "relu", "vThMant": 0}
TURN = {"type": "RF_PHASE", "sinDecay": 500, "cosDecay": 4000, "vThMant": 60}
ADAPTIVE = {"thDecay": 100, "refDecay": 200, "vThStep": 8}
PAIR = {"real": [[90, -60], [40, 80]], "imag": [[-70, 40], [60, 80]]}
IMAGE = conv(np.full((2, 1, 2, 2), 60), (3, 3))
KERNEL = {"kernelSize": [2, 2], "stride": [2, 2], "padding": [0, 0], "dilation": [1, 1], "neuron": NEURON}
POOL = {"type": "pool", "shape": [1, 1, 1], "weight": np.full((1, 1, 2, 2), 64), **KERNEL}
COMPLEX = {"type": "dense", "shape": [2], "weight": PAIR, "neuron": TURN}
SENDER = {"type": "input", "shape": [2], "neuron": DELTA}


def changed(layer: dict[str, Any], fields: dict[str, Any] | None = None, **neuron: Any) -> dict[str, Any]:
    return {**layer, "neuron": {**layer["neuron"], **neuron}, **(fields or {})}


def recurrent(weight: Any, own: Any, **fields: Any) -> dict[str, Any]:
    return {**dense(weight, **fields), "type": "dense_rec", "weight_rec": own}


FATAL = {
    "type": [{"type": "lstm", "shape": [2]}, dense(W)],
    "zeros": [dense([[0, 0], [0, 0]])],
    "imaginary zeros": [{**COMPLEX, "weight": {**PAIR, "imag": np.zeros((2, 2))}}],
    "recurrent delay": [recurrent([[2, 4]], [[2]], delay=[1])],
    "recurrent in a row": [recurrent(W, np.ravel(W))],
    "sums and bias": [dense(W, DELTA | {"sigma_output": True}, bias=[1, 1])],
    "one bias": [entrance(1, 3, 3), {**IMAGE, "bias": [4]}],
    "scalar bias": [entrance(1, 3, 3), {**IMAGE, "bias": 4}],
    "conv without neurons": [entrance(1, 3, 3), {k: v for k, v in IMAGE.items() if k != "neuron"}],
    "complex conv": [
        entrance(1, 3, 3),
        {**IMAGE, "weight": {"real": IMAGE["weight"], "imag": IMAGE["weight"]}, "neuron": TURN},
    ],
    "complex input": [{"type": "input", "shape": [2], "neuron": TURN}, COMPLEX],
    "ALIF": [dense(W, {"type": "ALIF", **ADAPTIVE})],
    "neurons": [dense(W, {"type": "FOO"})],
    "pool": [entrance(1, 3, 3), POOL],
    "no flatten": [{"type": "input", "shape": [1, 1, 2], "neuron": NEURON}, dense(W)],
    "flatten a row": [dense(W), flatten(dense(W)), dense(W)],
    "flatten two axes": [{"type": "input", "shape": [1, 2], "neuron": NEURON}, flatten(dense(W)), dense(W)],
    "negative delay": [dense(W, delay=[-1, 0])],
    "stride 0": [entrance(1, 3, 3), {**IMAGE, "stride": [0, 1]}],
    "channels": [entrance(3, 3, 3), IMAGE],
    "sizes": [dense(W), dense([[2, 4, 6]])],
}
RUNS = {
    "G2": [dense([[300, 10], [20, 600]])],
    "G3": [dense([[-128, -3], [-3, -1]], bias=[60, 60])],
    "too wide": [dense([[400, -2], [-300, 254]])],
    "bias": [dense(W, bias=[40000, 3])],
    "fractions": [dense([[20.9, -6.9], [4, 30]], bias=[2.7, -2.7], delay=[1.9, 0])],
    "long delay": [dense(W, delay=[63, 70])],
    "decay": [dense(W, {"iDecay": 5000, "vDecay": 4500})],
    "threshold below 0": [dense(W, {"vThMant": -1})],
    "ignored": [dense(W, {"refDelay": 3, "gradedSpike": True, "weight_exp": [2.0]})],
    "flatten before conv": [entrance(1, 3, 3), {"type": "flatten", "shape": [9, 1, 1]}, IMAGE],
    "a type that Lava drops": [dense(W), {"type": "lstm", "shape": [2]}, dense(W)],
    "flatten at the end": [dense(W), flatten(dense(W))],
    "conv of zeros": [entrance(1, 3, 3), changed(IMAGE, {"weight": np.zeros((2, 1, 2, 2)), "bias": [20, 30]})],
    "delay of conv": [entrance(1, 3, 3), {**IMAGE, "delay": [1, 70]}],
    "conv above 255": [entrance(1, 3, 3), {**IMAGE, "weight": np.full((2, 1, 2, 2), 300)}],
    "delay and bias of complex": [changed(COMPLEX, {"delay": [1, 70], "bias": [1, 40000]})],
    "recurrent complex": [{**COMPLEX, "type": "dense_rec", "weight_rec": PAIR}],
    "ADRF": [changed(COMPLEX, type="ADRF_IZHIKEVICH", **ADAPTIVE)],
    "growth": [changed(COMPLEX, sinDecay=4000)],
    "complex at rest": [changed(COMPLEX, type="RF_IZHIKEVICH", vThMant=0)],
    "complex threshold": [changed(COMPLEX, vThMant=1 << 25)],
    "threshold of SDNN": [SENDER, dense(W, {**DELTA, "vThMant": 1 << 19})],
    "bias of SDNN": [SENDER, dense(W, DELTA, bias=[40000, 1 << 19])],
    "activation": [SENDER, dense([[-20, -6], [4, -30]], {**DELTA, "activation": "tanh"})],
    "sums, False": [SENDER, dense(W, {**DELTA, "sigma_output": False})],
    "numbers become ones": [dense(W, DELTA, bias=[5, 3])],
    "own numbers become ones": [dense(W, {"vThMant": 1}), {**recurrent(W, W), "neuron": DELTA}],
}


def prepare(layers: list[dict[str, Any]], folder: Path) -> tuple[Path, np.ndarray]:
    path = folder / "network.net"
    netx.write(path, netx.describe(layers))
    shape = layers[0]["shape"] if layers[0]["type"] == "input" else [2]
    return path, np.random.default_rng(0).integers(0, 4, (*shape, 20))


@pytest.mark.parametrize("name", FATAL)
def test_lava_refuses_what_is_fatal(name: str, run_on_lava: Any, tmp_path: Path) -> None:
    path, x = prepare(FATAL[name], tmp_path)
    assert any(finding.fatal for finding in netx.check(path))
    with pytest.raises(Exception, match=r"(Error|Exception|answer)"):
        run_on_lava(path, x)


@pytest.mark.parametrize("name", RUNS)
def test_lava_runs_the_rest_as_the_runtime_does(
    name: str, run_on_lava: Any, lavas_arctan2: None, tmp_path: Path
) -> None:
    path, x = prepare(RUNS[name], tmp_path)
    findings = netx.check(path)
    assert not any(finding.fatal for finding in findings)
    assert findings or name == "flatten at the end"
    lava = run_on_lava(path, x)
    ours = netx.Network(path).run(x, states=True)
    assert len(lava) == len(ours.spikes)
    for i, layer in enumerate(lava):
        np.testing.assert_array_equal(layer["spikes"], ours.spikes[i])
        for state in layer.keys() - {"spikes"}:
            np.testing.assert_array_equal(layer[state], ours.states[i][state])


def test_lava_computes_nothing_with_128_groups(run_on_lava: Any, tmp_path: Path) -> None:
    for groups, silent in ((127, False), (128, True)):
        layers = [entrance(groups, 1, 1), conv(np.full((groups, 1, 1, 1), 60), (1, 1), groups=groups)]
        path, x = prepare(layers, tmp_path)
        (layer,) = run_on_lava(path, x)
        assert bool(layer["spikes"].any()) is not silent
        assert any(finding.place == "layer/1/groups" for finding in netx.check(path)) is silent
