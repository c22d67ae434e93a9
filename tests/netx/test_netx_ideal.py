"""What the file says, without Lava's quirks, and the report of where the two differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from netx_layers import NEURON, conv, dense, entrance, flatten, weights
from random_networks import random_network

from slayerloss import netx
from slayerloss._check import FormatError, ShapeError
from slayerloss.block import cuba
from slayerloss.netx.export import describe_model

ALWAYS = {"iDecay": 4096, "vDecay": 4096, "vThMant": 0}  # a spike wherever more than nothing arrives
ALIF = dict.fromkeys(("iDecay", "vDecay", "thDecay", "refDecay", "vThMant", "vThStep"), 1) | {"type": "ALIF"}


def ideal(*layers: dict[str, Any], **options: Any) -> netx.Network:
    return netx.Network(netx.describe(list(layers)), arithmetic="ideal", **options)


def received(network: netx.Network, x: Any, layer: int = -1) -> np.ndarray:
    """What arrives at neurons without decays and bias: u / 64."""
    return network.run(np.asarray(x), states=True).states[layer]["u"] // 64


def silent(weight: Any, **fields: Any) -> dict[str, Any]:
    return dense(weight, {"iDecay": 4096, "vDecay": 4096, "vThMant": (1 << 17) - 1}, **fields)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_plain_networks_run_the_same_both_ways(seed: int) -> None:
    """Even weights of both signs, small biases, short delays, spikes: nothing for Lava to change."""
    rng = np.random.default_rng(seed)
    bias = rng.integers(-9, 9, 5).astype(np.float32)
    first = conv(weights(rng, 4, 2, 3, 2), (6, 5), padding=(1, 0), bias=bias[:4])
    second = dense(weights(rng, 5, int(np.prod(first["shape"]))), delay=rng.integers(0, 9, 5), bias=bias)
    layers = netx.describe([entrance(2, 6, 5), first, flatten(first), second])
    x = rng.random((3, 2, 6, 5, 25)) < 0.3
    report = netx.quirks(layers, x)
    assert report.identical
    assert report.findings == []
    assert sum(layer.lava for layer in report.layers) > 0


@pytest.mark.parametrize(
    ("layer", "lava", "said"),
    [
        (silent([[300, 10], [20, 600]]), [0, 0], [310, 620]),
        (silent([[-256, -2], [-4, -6]]), [-256, -10], [-258, -10]),
        (silent([[-128, -3], [-1, -7]]), [-130, -8], [-131, -8]),
        (silent([[400, -2], [-600, 3]]), [252, -253], [398, -597]),
    ],
)
def test_weights_are_what_the_file_says(layer: dict[str, Any], lava: list[int], said: list[int]) -> None:
    x = [[1, 0], [1, 0]]
    assert received(netx.Network(netx.describe([layer])), x)[:, 1].tolist() == lava
    assert received(ideal(layer), x)[:, 1].tolist() == said


def test_all_zero_weights_run() -> None:
    layer = dense([[0, 0]], bias=np.float32(50))
    with pytest.raises(FormatError, match="all weights are zero"):
        netx.Network(netx.describe([layer]))
    assert ideal(layer).run(np.ones((2, 6))).output.any()


def test_a_bias_does_not_wrap_in_16_bits() -> None:
    layer = dense([[2]], {"iDecay": 4096, "vDecay": 4096, "vThMant": 30_000}, bias=np.array([40_000.0]))
    x = np.zeros((1, 3), int)
    assert netx.Network(netx.describe([layer])).run(x).output.tolist() == [[0, 0, 0]]
    assert ideal(layer).run(x).output.tolist() == [[1, 1, 1]]


def test_delays_are_not_cut_off_at_62() -> None:
    layer = silent([[2]], delay=np.array([70]))
    x = np.eye(1, 80, dtype=int)
    assert np.flatnonzero(received(netx.Network(netx.describe([layer])), x)).tolist() == [63]
    assert np.flatnonzero(received(ideal(layer), x)).tolist() == [71]


def test_a_convolution_has_its_delays() -> None:
    neuron = {"iDecay": 4096, "vDecay": 4096, "vThMant": (1 << 17) - 1}
    layer = conv(np.full((3, 1, 1, 1), 2), (1, 1), neuron=neuron, delay=np.array([0, 2, 5]))
    x = np.eye(1, 9, dtype=int).reshape(1, 1, 1, 9)
    network = ideal(entrance(1, 1, 1), layer)
    assert [np.flatnonzero(channel).tolist() for channel in received(network, x)] == [[1], [3], [6]]


def test_128_groups_do_not_vanish() -> None:
    layers = [entrance(128, 1, 1), conv(np.full((128, 1, 1, 1), 6), (1, 1), groups=128, neuron=ALWAYS)]
    x = np.ones((128, 1, 1, 4), int)
    report = netx.quirks(netx.describe(layers), x)
    (layer,) = report.layers
    assert (layer.lava, layer.ideal, layer.differ, layer.first_step) == (0, 128 * 3, 128 * 3, 2)
    assert not report.identical
    assert str(report).splitlines() == [
        "error: layer/1/groups: 128 is above 127; Lava counts them in 8 bits, finds none, and computes zeros.",
        "layer/1: 0 messages on Lava, 384 by the file; 384 differ, from step 2 on",
    ]


def test_graded_neurons_send_v_and_the_next_layer_multiplies() -> None:
    """v is in 1/4096, and the weights in 1/64: 1.5 times -2.5 is -3.75."""
    first = dense([[96]], {**ALWAYS, "gradedSpike": True})
    second = silent([[-160]])
    x = np.array([[1, 0, 0, 0]])
    recording = ideal(first, second).run(x, states=True)
    assert recording.spikes[0].tolist() == [[0, 1.5 * 4096, 0, 0]]
    assert recording.states[1]["u"].tolist() == [[0, 0, -3.75 * 4096, 0]]
    assert "Lava sends 1" in str(netx.quirks(netx.describe([first, second]), x))


def test_graded_neurons_are_what_the_blocks_are() -> None:
    neuron = {"threshold": 1.0, "current_decay": 0.3, "voltage_decay": 0.1, "graded_spike": True}
    torch.manual_seed(3)
    model = torch.nn.Sequential(cuba.Dense(neuron, 12, 9), cuba.Dense(neuron, 9, 5)).eval()
    x = (torch.rand(3, 12, 40) < 0.4).float()
    description, _ = describe_model(model, (12,))
    recording = netx.Network(description, arithmetic="ideal").run(x.numpy())
    np.testing.assert_array_equal(recording.output, (model(x) * 4096).detach().numpy())
    assert recording.output.max() > 4096


def test_graded_convolutions_do_not_wrap_in_24_bits() -> None:
    first = conv([[[[200]]]], (1, 1), neuron={**ALWAYS, "gradedSpike": True})
    second = conv([[[[254]]]], (1, 1), neuron={"iDecay": 4096, "vDecay": 4096, "vThMant": (1 << 17) - 1})
    x = 3 * np.eye(1, 4, dtype=int).reshape(1, 1, 1, 4)
    recording = ideal(entrance(1, 1, 1), first, second).run(x, states=True)
    assert recording.spikes[0].ravel().tolist() == [0, 38_400, 0, 0]
    assert recording.states[1]["u"].ravel().tolist() == [0, 0, 152_400, 0]


def test_graded_convolutions_are_what_the_blocks_are() -> None:
    neuron = {"threshold": 1.0, "current_decay": 0.3, "voltage_decay": 0.1, "graded_spike": True}
    torch.manual_seed(5)
    blocks = [cuba.Conv(neuron, 2, 6, 3, weight_scale=12), cuba.Conv(neuron, 6, 4, 2, weight_scale=12)]
    model = torch.nn.Sequential(*blocks).eval()
    x = (torch.rand(2, 2, 7, 6, 30) < 0.4).float()
    description, _ = describe_model(model, (2, 7, 6))
    recording = netx.Network(description, arithmetic="ideal").run(x.numpy())
    np.testing.assert_array_equal(recording.output, (model(x) * 4096).detach().numpy())
    assert recording.output.max() > 40_960


def test_a_recurrent_layer_of_spikes_and_voltages_is_refused() -> None:
    graded = {**NEURON, "gradedSpike": True}
    layer = {**dense([[2]]), "type": "dense_rec", "weight_rec": [[2]]}
    with pytest.raises(FormatError, match=r"layer/0/neuron/gradedSpike: .* a part is spikes and a part voltages"):
        ideal({**layer, "neuron": graded})
    with pytest.raises(FormatError, match="layer/1/neuron/gradedSpike"):
        ideal({**dense([[2]]), "neuron": graded}, layer)


def test_a_report_looks_at_the_layers_that_run() -> None:
    layers = [dense([[90]], ALWAYS), {"type": "average", "shape": [1]}]
    report = netx.quirks(netx.describe(layers), np.ones((1, 5), int), num_layers=1)
    assert report.identical
    assert str(netx.quirks(netx.describe(layers), np.ones((1, 5), int))).endswith("Lava cannot load the file")


def test_a_report_of_silence_says_so() -> None:
    report = netx.quirks(netx.describe([dense([[90]])]), np.zeros((1, 5), int))
    assert not report.identical
    assert str(report).splitlines()[-1] == "nothing is shown: no layer sent anything"


def test_values_are_not_cut_to_spikes() -> None:
    assert received(ideal(silent([[2]])), [[5, 0]]).tolist() == [[0, 10]]
    assert received(netx.Network(netx.describe([silent([[2]])])), [[5, 0]]).tolist() == [[0, 2]]


def test_sigma_output_must_be_true() -> None:
    neuron = {"type": "SDNN", "activation": "relu", "vThMant": 0, "sigma_output": False}
    layer = {**dense([[2]]), "neuron": neuron}
    assert "residue" in ideal(layer).run(np.ones((1, 2)), states=True).states[0]
    assert list(netx.Network(netx.describe([layer])).run(np.ones((1, 2)), states=True).states[0]) == ["sigma"]


def test_a_pool_sums_its_window() -> None:
    rng = np.random.default_rng(2)
    neuron = {**NEURON, "iDecay": 4096, "vDecay": 4096, "vThMant": (1 << 17) - 1}
    pool = {
        "type": "pool",
        "shape": [3, 3, 2],
        "kernelSize": [2, 3],
        "stride": [2, 3],
        "padding": [1, 0],
        "dilation": [1, 1],
        "weight": np.full((1, 1, 2, 3), 70.0),
        "neuron": neuron,
    }
    x = (rng.random((4, 3, 4, 6, 7)) < 0.5).astype(np.int32)
    images = torch.from_numpy(x).movedim(-1, 1).reshape(-1, 3, 4, 6).float()
    kernel = torch.full((3, 1, 2, 3), 70.0)
    expected = torch.nn.functional.conv2d(images, kernel, stride=(2, 3), padding=(1, 0), groups=3)
    expected = expected.reshape(4, 7, 3, 3, 2).movedim(1, -1).int().numpy()
    found = received(ideal(entrance(3, 4, 6), pool), x)
    np.testing.assert_array_equal(found[..., 1:], expected[..., :-1])
    assert not found[..., 0].any()
    with pytest.raises(FormatError, match=r"layer/1/type.*'pool'; Lava cannot load it"):
        netx.Network(netx.describe([entrance(3, 4, 6), pool]))


def test_an_average_counts_its_groups_without_a_delay() -> None:
    rng = np.random.default_rng(4)
    first = conv(weights(rng, 4, 2, 2, 2), (4, 3), neuron=ALWAYS)
    network = ideal(entrance(2, 4, 3), first, flatten(first), {"type": "average", "shape": [3, 1, 1]})
    recording = network.run((rng.random((5, 2, 4, 3, 9)) < 0.4).astype(int))
    before = recording.spikes[0].reshape(5, 3, 8, 9)
    np.testing.assert_array_equal(recording.output, before.sum(2))
    assert recording.output.dtype == np.int32
    assert recording.output.any()


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        ({"type": "mystery", "shape": [1]}, "layer/1/type: this layer type does not run"),
        ({**dense([[2]]), "neuron": ALIF}, "layer/1/neuron/type"),
        (dense([[2]], {"weight_exp": np.array([2.0])}), "layer/1/neuron/weight_exp"),
        (dense([[2]], {"refDelay": 5}), "layer/1/neuron/refDelay"),
        ({**dense([[2]]), "type": "dense_rec", "weight_rec": [[2]], "delay": [1]}, "layer/1/delay"),
    ],
)
def test_what_has_no_meaning_here_is_refused(layer: dict[str, Any], problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        ideal(dense([[2]]), layer)


def test_an_average_of_nothing_is_refused() -> None:
    with pytest.raises(FormatError, match="layer/1/type: an average has no neurons before it"):
        ideal(entrance(4), {"type": "average", "shape": [2, 1, 1]})


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100_000))
def test_a_report_counts_what_differs(seed: int) -> None:
    case = random_network(seed)
    description = netx.describe(case.layers)
    try:
        report = netx.quirks(description, case.x, **case.options)
    except FormatError:  # which `ideal` gives for what only Lava runs
        return
    lava = netx.Network(description, **case.options).run(case.x)
    assert [layer.lava for layer in report.layers] == [np.count_nonzero(spikes) for spikes in lava.spikes]
    sent = any(layer.lava for layer in report.layers)
    assert report.identical == (sent and not any(layer.differ for layer in report.layers))
    for layer in report.layers:
        assert (layer.first_step is None) == (layer.differ == 0)


def test_a_file_that_lava_cannot_load_is_reported() -> None:
    report = netx.quirks(netx.describe([dense([[0, 0]])]), np.ones((2, 3), int))
    assert not report.identical
    assert str(report).splitlines()[-1] == "Lava cannot load the file"


def test_an_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="does not fit the network"):
        netx.quirks(netx.describe([dense([[2, 4]])]), np.ones((3, 3), int))
