"""Random networks, on Lava itself and on the integer runtime: every spike and every state is the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from lava_process import LavaProcess
from random_networks import Case, random_network

from slayerloss import netx

USUAL, ALL = 20, 300
LAST_STATE = (1 << 23) - 1
LEAST = 3  # networks that have a feature
FEATURES = """
CUBA, LOIHI, SDNN, RF_PHASE, RF_IZHIKEVICH, sigma_output,
input LIF, input Delta, input without neuron, no input layer, input weight and bias,
dense, dense without neuron, dense_rec, dense_rec SDNN, complex dense, conv, conv SDNN, flatten,
delay scalar, delay per neuron, delay per input, delay matrix, delay over 62, delay of graded spikes,
stride, padding, dilation, groups, groups 127, groups 128, layer of an unknown type,
ignored fields, adaptive resonator, old shape,
weights in 5-D, weights in one row,
weights positive, weights fractions, weights of both signs beyond 8 bits, weights over 255 without negative ones,
weights below -256 without positive ones, weights negative powers of two, weights none positive,
bias scalar, bias 1, bias 3, bias beyond 16 bits, bias with fractions, delay with fractions,
threshold of SDNN at the edge, shape of an image of a dense layer, decay per channel, decay over 4096,
resonance per neuron, resonance that does not turn, resonance that forgets, threshold at the edge, states near 24 bits,
large input, input at the ends of 24 bits, numbers as spikes, reset_interval, reset_offset, spike_exp, sparse_fc_layer,
num_layers, skip_layers, input_shape, input_message_bits
"""


def run(case: Case) -> netx.Recording:
    return netx.Network(netx.describe(case.layers), **case.options).run(case.x, states=True)


def test_every_feature_is_generated() -> None:
    counts = Counter(feature for seed in range(ALL) for feature in random_network(seed).features)
    assert sorted(counts) == sorted(FEATURES.replace("\n", " ").strip().split(", "))
    rare = {feature: count for feature, count in counts.items() if count < LEAST}
    assert not rare


def test_the_networks_do_something() -> None:
    """Most layers spike, and states reach the ends of 24 bits: u wraps, v stops there."""
    layers = spiking = wraps = stops = 0
    for seed in range(ALL):
        recording = run(random_network(seed))
        for spikes, states in zip(recording.spikes, recording.states or [], strict=True):
            layers += 1
            spiking += bool(spikes.any())
            if "u" in states:
                steps = np.abs(np.diff(states["u"].astype(np.int64)))
                wraps += bool((steps > LAST_STATE).any())
                stops += bool((np.abs(states["v"]) == LAST_STATE).any())
    assert spiking > 0.6 * layers
    assert wraps > 10
    assert stops > 10


@pytest.mark.lava
@pytest.mark.usefixtures("lavas_arctan2")
@pytest.mark.parametrize(
    "seed", [*range(USUAL), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(USUAL, USUAL + ALL))]
)
def test_a_random_network_runs_as_on_lava(seed: int, lava_process: LavaProcess, tmp_path: Path) -> None:
    case = random_network(seed)
    file = tmp_path / "network.net"
    netx.write(file, netx.describe(case.layers))
    lava = lava_process.run(file, case.x, **case.options)
    recording = netx.Network(file, **case.options).run(case.x, states=True)
    assert recording.states is not None
    assert len(lava) == len(recording.spikes), str(case)
    for i, layer in enumerate(lava):
        ours = {"spikes": recording.spikes[i], **recording.states[i]}
        assert ours.keys() == layer.keys(), str(case)
        for name, values in layer.items():
            np.testing.assert_array_equal(ours[name], values, err_msg=f"{name} of layer {i} of {case}")
