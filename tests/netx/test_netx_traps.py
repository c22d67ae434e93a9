"""What Lava makes of synapses and neurons: each trap is found, with its severity and place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from netx_layers import NEURON, conv, dense, entrance

from slayerloss import netx

IMAGE = conv(np.full((2, 1, 2, 2), 6), (3, 3))
PIXELS = entrance(1, 3, 3)
DELTA = {"type": "SDNN", "activation": "relu", "vThMant": 4}
SENDER = {"type": "input", "shape": [2], "neuron": DELTA}
TURN = {"type": "RF_PHASE", "sinDecay": 0, "cosDecay": 4000, "vThMant": 60, "gradedSpike": False}
ADAPTIVE = {"thDecay": 100, "refDecay": 200, "vThStep": 8}
PAIR = {"real": [[2, -4], [6, 8]], "imag": [[-2, 4], [6, 8]]}
W = [[2, -4], [6, 8]]


def delta(weight: Any = W, type: str = "dense", fields: dict[str, Any] | None = None, **neuron: Any) -> dict[str, Any]:
    return {**dense(weight), "type": type, "neuron": {**DELTA, **neuron}, **(fields or {})}


def complex_dense(weight: Any = None, fields: dict[str, Any] | None = None, **neuron: Any) -> dict[str, Any]:
    return {"type": "dense", "shape": [2], "weight": weight or PAIR, "neuron": {**TURN, **neuron}, **(fields or {})}


def recurrent(weight: Any, own: Any, **fields: Any) -> dict[str, Any]:
    return {**dense(weight, **fields), "type": "dense_rec", "weight_rec": own}


WEIGHTS = [
    ("G1", dense([[0, 0]]), "weight", "error", "all weights are zero; Lava cannot load that. Train on, or drop", True),
    (
        "G1 imag",
        complex_dense({**PAIR, "imag": np.zeros((2, 2))}),
        "weight/imag",
        "error",
        "all weights are zero",
        True,
    ),
    ("G2", dense([[300, 10], [20, 600]]), "weight", "error", "takes all 4 weights (10 to 600) for zero", False),
    ("G2 rec", recurrent([[300]], [[10]]), "weight_rec", "error", "takes all 1 weights (10 to 10) for zero", False),
    ("G3", dense([[-128, -3]]), "weight", "error", "1 of 2 weights (-128 to -3) change in Lava's synapse", False),
    (
        "G3 real",
        complex_dense({**PAIR, "real": [[-256, -2], [-4, -6]]}),
        "weight/real",
        "error",
        "1 of 4 weights",
        False,
    ),
    ("mixed", dense([[256, -2]]), "weight", "error", "1 of 2 weights (-2 to 256) change", False),
    ("rec delay", recurrent([[2, 4]], [[2]], delay=[1]), "delay", "error", "load a recurrent layer", True),
    ("rec square", recurrent([[2]], [[2]], delay=[1]), "delay", "error", "drops the scale of the weights", True),
    ("rec in a row", recurrent([[2, 4]], [2]), "weight_rec", "error", "load it in one row beside a weight that", True),
    (
        "rec complex",
        {**complex_dense(), "type": "dense_rec", "weight_rec": PAIR},
        "weight_rec",
        "error",
        "drops",
        False,
    ),
    (
        "delay of complex",
        complex_dense(fields={"delay": [1, 70]}),
        "delay",
        "error",
        "the delays of comp",
        False,
    ),
    (
        "bias of complex",
        complex_dense(fields={"bias": [1, 40000]}),
        "bias",
        "error",
        "the bias of compl",
        False,
    ),
    (
        "bias of SDNN",
        delta(fields={"bias": [3, 1 << 19]}),
        "bias",
        "error",
        "beyond 524287; it wraps",
        False,
    ),
    ("sums, bias", delta(sigma_output=True, fields={"bias": [1, 1]}), "bias", "error", "a bias beside sigma_out", True),
]
CONVOLUTIONS = [
    ("delay", {**IMAGE, "delay": [1, 70]}, "delay", "error", "ignores the delays of a conv layer. Take the", False),
    ("zeros", {**IMAGE, "weight": np.zeros((2, 1, 2, 2))}, "weight", "warning", "zero: the input does nothing", False),
    ("scalar bias", {**IMAGE, "bias": 4}, "bias", "error", "cannot load one bias for all channels. Write one", True),
    ("one bias", {**IMAGE, "bias": [4]}, "bias", "error", "Lava cannot load one bias for all channels", True),
    ("G13", {k: v for k, v in IMAGE.items() if k != "neuron"}, "neuron", "error", "conv layers without neurons", True),
    (
        "complex",
        {**IMAGE, "weight": {"real": IMAGE["weight"], "imag": IMAGE["weight"]}, "neuron": TURN},
        "neuron/type",
        "error",
        "cannot load conv layers of RF_PHASE neurons. It loads CUBA, LOIHI, SDNN",
        True,
    ),
]
D8 = "1 of 1 values of sinDecay and 1 of 1 values of cosDecay change by 1"  # one note of both

NEURONS = [
    ("refDelay", dense(W, {"refDelay": 3}), "refDelay", "warning", "Lava ignores it, and does as with 1", False),
    ("wgtExp", dense(W, {"type": "LOIHI", "wgtExp": 2}), "wgtExp", "warning", "and does as with 0", False),
    ("graded", dense(W, {"gradedSpike": True}), "gradedSpike", "error", "sends 1 instead of v. Train with", False),
    ("graded RF", complex_dense(gradedSpike=True), "gradedSpike", "error", "Lava sends 1 instead of v", False),
    (
        "weight_exp",
        dense(W, {"weight_exp": [1.0]}),
        "weight_exp",
        "error",
        "without this scale. Use the mean-only",
        False,
    ),
    ("G11", dense(W, {"messageBits": 8}), "messageBits", "error", "Lava fails or hangs on this field. Delete", True),
    (
        "ALIF",
        dense(W, {"type": "ALIF", **ADAPTIVE}),
        "type",
        "error",
        "load dense layers of ALIF",
        True,
    ),
    (
        "ADRF",
        complex_dense(type="ADRF_PHASE", **ADAPTIVE),
        "type",
        "error",
        "ADRF_PHASE neurons for RF_PHASE",
        False,
    ),
    (
        "ADRF_IZ",
        complex_dense(type="ADRF_IZHIKEVICH", **ADAPTIVE),
        "type",
        "error",
        "takes ADRF_IZHIKEVICH neurons for RF_IZHIKEVICH: the threshold does not adapt",
        False,
    ),
    ("grows", complex_dense(sinDecay=4000), "sinDecay", "warning", "the states would grow in every step", False),
    ("too much", complex_dense(sinDecay=5000), "sinDecay", "error", "5000 is above 4096; it would be a growth", True),
    ("D8", complex_dense(sinDecay=1848, cosDecay=3425), "sinDecay", "note", D8, False),
    ("wraps RF", complex_dense(vThMant=1 << 25), "vThMant", "error", "it wraps around in 32 bits", False),
    ("rest", complex_dense(type="RF_IZHIKEVICH", vThMant=0), "vThMant", "warning", "neurons at rest spike", False),
    ("D7", delta(vThMant=0), "vThMant", "note", "the threshold is 0: every change is sent, however small", False),
    ("wraps SDNN", delta(vThMant=1 << 19), "vThMant", "error", "above 524287; it wraps around in 32 bits", False),
    ("activation", delta(activation="tanh"), "activation", "error", "takes the activation 'tanh' for relu", False),
    ("sums False", delta(sigma_output=False), "sigma_output", "error", "only whether the field is there", False),
]


def check_one(layers: list[dict[str, Any]], place: str, severity: str, text: str, fatal: bool) -> None:
    findings = netx.check(netx.describe(layers))
    found = [f for f in findings if text in str(f) and f.place == f"layer/{len(layers) - 1}/{place}"]
    assert [(f.severity, f.fatal) for f in found] == [(severity, fatal)], findings
    # Lava's own arithmetic runs what is not fatal
    if not any(f.fatal for f in findings):
        network = netx.Network(netx.describe(layers))
        assert network.run(np.ones((*network.input_shape, 4))).output.shape[-1] == 4


@pytest.mark.parametrize(
    ("layer", "place", "severity", "text", "fatal"), [t[1:] for t in WEIGHTS], ids=[t[0] for t in WEIGHTS]
)
def test_trap_of_a_dense_layer(layer: dict[str, Any], place: str, severity: str, text: str, fatal: bool) -> None:
    check_one([layer], place, severity, text, fatal)


@pytest.mark.parametrize(
    ("layer", "place", "severity", "text", "fatal"), [t[1:] for t in CONVOLUTIONS], ids=[t[0] for t in CONVOLUTIONS]
)
def test_trap_of_a_conv_layer(layer: dict[str, Any], place: str, severity: str, text: str, fatal: bool) -> None:
    check_one([PIXELS, layer], place, severity, text, fatal)


@pytest.mark.parametrize(
    ("layer", "place", "severity", "text", "fatal"), [t[1:] for t in NEURONS], ids=[t[0] for t in NEURONS]
)
def test_trap_of_neurons(layer: dict[str, Any], place: str, severity: str, text: str, fatal: bool) -> None:
    check_one([layer], f"neuron/{place}", severity, text, fatal)


def test_127_groups_work_and_128_do_not() -> None:
    def findings(groups: int) -> list[netx.Finding]:
        layers = [entrance(groups, 1, 1), conv(np.full((groups, 1, 1, 1), 6), (1, 1), groups=groups)]
        return netx.check(netx.describe(layers))

    assert findings(127) == []
    (finding,) = findings(128)
    assert (finding.place, finding.scope, finding.fatal) == ("layer/1/groups", "lava", False)
    assert finding.problem == "128 is above 127; Lava counts them in 8 bits, finds none, and computes zeros"


@pytest.mark.parametrize(
    ("kind", "problem", "scope"),
    [
        ("FOO", "the format has no neurons 'FOO'; Lava cannot load them", "file"),
        ("MY_RF", "the format has no neurons 'MY_RF'; Lava takes them for RF_IZHIKEVICH", "file"),
        ("RF_PHASE_2", "the format has no neurons 'RF_PHASE_2'; Lava takes them for RF_PHASE", "file"),
    ],
)
def test_neurons_that_the_format_does_not_have(kind: str, problem: str, scope: str) -> None:
    (finding,) = netx.check(netx.describe([dense(W, {"type": kind})]))
    assert (finding.place, finding.problem, finding.scope, finding.fatal) == (
        "layer/0/neuron/type",
        problem,
        scope,
        True,
    )


def test_an_input_layer_of_complex_neurons() -> None:
    layers = [{"type": "input", "shape": [2], "neuron": TURN}, complex_dense()]
    (finding,) = netx.check(netx.describe(layers))
    assert finding.problem == "Lava cannot load input layers of RF_PHASE neurons"


def test_neurons_that_never_spike_matter_unless_they_are_the_last() -> None:
    silent = dense(W, {"vThMant": 1 << 17})
    assert netx.check(netx.describe([silent])) == []
    (finding,) = netx.check(netx.describe([silent, dense(W)]))
    assert (finding.severity, finding.place) == ("warning", "layer/0/neuron/vThMant")
    assert "the neurons never spike" in finding.problem
    assert netx.check(netx.describe([dense(W, {"vThMant": (1 << 17) - 1}), dense(W)])) == []


def test_numbers_into_a_network_without_an_input_layer_become_ones() -> None:
    (finding,) = netx.check(netx.describe([delta()]))
    assert (finding.severity, finding.place) == ("warning", "layer/0")
    assert "Lava takes every input other than 0 for 1" in finding.problem
    assert "input_message_bits=16" in finding.way_out
    assert netx.check(netx.describe([SENDER, delta()])) == []
    assert netx.check(netx.describe([dense(W), delta()])) == []


def test_recurrent_numbers_become_ones_behind_spikes() -> None:
    own = {"weight_rec": W}
    (finding,) = netx.check(netx.describe([dense(W), delta(type="dense_rec", fields=own)]))
    assert (finding.severity, finding.place) == ("warning", "layer/1")
    assert "what the layer sends to itself for spikes of 1" in finding.problem
    assert netx.check(netx.describe([SENDER, delta(type="dense_rec", fields=own)])) == []


def test_an_input_layer_applies_neither_weight_nor_bias() -> None:
    (finding,) = netx.check(netx.describe([{"type": "input", "shape": [1], "neuron": NEURON, "bias": 4}]))
    assert (finding.severity, finding.place) == ("note", "layer/0")
    assert "does not apply" in finding.problem


def test_sums_are_sent_by_other_layers_than_the_first() -> None:
    layers = [{**SENDER, "neuron": {**DELTA, "sigma_output": True, "activation": "tanh"}}, delta(sigma_output=True)]
    (finding,) = netx.check(netx.describe(layers))
    assert (finding.severity, finding.place) == ("error", "layer/0/neuron/sigma_output")
    assert "Lava ignores it on an input layer" in finding.problem


def test_a_large_bias_of_sigma_delta_neurons_is_none_of_16_bits() -> None:
    assert netx.check(netx.describe([SENDER, delta(fields={"bias": [40000, -(1 << 19) + 1]})])) == []


def test_neurons_of_a_flatten_layer_do_nothing() -> None:
    layers = [entrance(1, 1, 2), {"type": "flatten", "shape": [2, 1, 1], "neuron": NEURON}, dense(W)]
    (finding,) = netx.check(netx.describe(layers))
    assert (finding.severity, finding.place) == ("warning", "layer/1/neuron")
    assert finding.problem == "Lava ignores the neurons of a flatten layer"


def test_a_wrong_name_in_a_group_of_weights_is_noted() -> None:
    (finding,) = netx.check(netx.describe([complex_dense({**PAIR, "reel": [1]})]))
    assert (finding.severity, finding.place) == ("note", "layer/0/weight/reel")


def test_what_never_spikes_is_found_where_spikes_are_wanted() -> None:
    def warnings(*layers: dict[str, Any]) -> list[tuple[str, str]]:
        found = netx.check(netx.describe(list(layers)))
        return [(f.place, f.problem) for f in found if f.severity == "warning" and "never spike" in f.problem]

    readout = {key: value for key, value in dense([[2, -4]]).items() if key != "neuron"}
    behind = dense([[6]])
    assert warnings(readout) == []
    ((place, problem),) = warnings(readout, behind)
    assert (place, problem) == (
        "layer/0",
        "a layer without neurons never spikes; what comes after it gets nothing",
    )
    assert [place for place, _ in warnings(complex_dense(vThMant=1 << 20))] == ["layer/0/neuron/vThMant"]
    assert warnings(dense([[2, -4]], {"vThMant": 1 << 17})) == []
    assert [place for place, _ in warnings(dense([[2, -4]], {"vThMant": 1 << 17}), behind)] == [
        "layer/0/neuron/vThMant"
    ]
