"""Network files on real Lava, on the integer runtime, and where they come from blocks, on torch: one and the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netx_layers import NEURON, conv, dense, entrance, flatten, weights
from torch.nn import Module, Sequential
from trained_blocks import trained

from slayerloss import netx
from slayerloss.block import cuba
from slayerloss.neuron.norm import MeanOnlyBatchNorm

pytestmark = pytest.mark.lava

Layers = list[dict[str, Any]]
Case = tuple[Layers, np.ndarray, dict[str, Any]]


def assert_same_as_lava(lava: list[dict[str, np.ndarray]], recording: netx.Recording) -> None:
    assert len(lava) == len(recording.spikes)
    for i, layer in enumerate(lava):
        np.testing.assert_array_equal(layer["spikes"], recording.spikes[i], err_msg=f"spikes of layer {i}")
        for name in layer.keys() - {"spikes"}:
            np.testing.assert_array_equal(layer[name], recording.states[i][name], err_msg=f"{name} of layer {i}")


def delays_bias_and_recurrence() -> Case:
    rng = np.random.default_rng(0)
    first = dense(weights(rng, 12, 20), delay=rng.integers(0, 63, 12), bias=weights(rng, 12, low=-4, high=8))
    second = {**dense(weights(rng, 9, 12), bias=np.float32(3)), "type": "dense_rec", "weight_rec": weights(rng, 9, 9)}
    second |= {name: second[name].reshape(-1) for name in ("weight", "weight_rec")}
    third = dense(weights(rng, 7, 9), delay=rng.integers(0, 5, (7, 9)))
    decays = {"iDecay": np.array([0, 4096, 1, 700, 5]), "vDecay": np.array([4096, 0, 60, 1, 7])}
    fourth = dense(weights(rng, 5, 7), decays, delay=np.float32(2))
    return [first, second, third, fourth], rng.random((20, 100)) < 0.3, {}


def convolutions_of_any_geometry() -> Case:
    rng = np.random.default_rng(1)
    first = conv(weights(rng, 6, 2, 3, 2), (9, 11), (2, 1), (1, 2), (1, 2), bias=weights(rng, 6, low=-6, high=6))
    second = conv(weights(rng, 8, 3, 3, 3), tuple(first["shape"][1:]), (1, 3), (0, 1), (2, 1), groups=2)
    third = conv(weights(rng, 8, 1, 1, 1), tuple(second["shape"][1:]), groups=8, neuron={"iDecay": np.arange(8) * 500})
    last = dense(weights(rng, 4, int(np.prod(third["shape"]))))
    layers = [entrance(2, 9, 11), first, second, third, flatten(third), last]
    return layers, rng.random((2, 9, 11, 40)) < 0.3, {}


def input_layer_with_resets() -> Case:
    rng = np.random.default_rng(2)
    first = {"type": "input", "shape": [2, 5, 6], "weight": 32.0, "bias": 4.0, "neuron": NEURON}
    second = conv(weights(rng, 3, 2, 3, 3), (5, 6))
    layers = [first, second, flatten(second), dense(weights(rng, 4, 36), bias=np.full(4, 9.0))]
    return layers, rng.integers(-20, 60, (2, 5, 6, 40)), {"reset_interval": 7, "reset_offset": 2}


def extreme_weights() -> Case:
    """Every matrix that Lava's synapse changes: no positive weight, too large ones, a lowest weight of -2^k."""
    always = {"vThMant": 0, "vDecay": 4096, "iDecay": 4096}
    matrices: list[Any] = [
        [[300, 10], [20, 600]],
        [[-256, -2], [-4, -6]],
        [[-256, -3], [0, -1]],
        [[-128, -3], [-1, -7]],
        [[-2, -2], [-2, -1]],
        [[-128, 0], [0, -64]],
        [[400, -2], [-600, 3]],
        [[255, 0], [7, 1]],
        [[-1, 0], [0, -1]],
    ]
    layers = [dense(matrix, always, bias=np.full(2, 2000.0)) for matrix in matrices]
    together = dense([[-255, 3], [5, 2]], always, bias=np.full(2, 2000.0))
    layers.append({**together, "type": "dense_rec", "weight_rec": [[1, 2], [3, 4]]})
    together = dense([[254, 3], [5, 2]], always, bias=np.full(2, 2000.0))
    layers.append({**together, "type": "dense_rec", "weight_rec": [[-256, -2], [-3, -4]]})
    x = np.array([[1, 0, 1, 1, 0, 1, 1, 1], [0, 1, 1, 0, 0, 1, 0, 1]])
    return layers, np.tile(x, 3), {}


def graded_input_to_the_edges() -> Case:
    rng = np.random.default_rng(3)
    x = rng.integers(-(1 << 17), 1 << 17, (3, 30))
    x[:, :5] = [[1 << 17], [-(1 << 17)], [1 << 16]]
    far = {"vThMant": (1 << 17) - 1, "iDecay": 3, "vDecay": 5}
    layers = [dense([[100, -90, 254], [-256, 2, 60], [2, 0, 0]], far, bias=[32767.0, -32768.0, 40000.0])]
    return layers, x, {"input_message_bits": 24}


def graded_convolution_to_the_edges() -> Case:
    rng = np.random.default_rng(4)
    x = rng.integers(-(1 << 16), 1 << 16, (2, 3, 4, 20))
    layer = conv(weights(rng, 2, 2, 2, 2, low=-250, high=250), (3, 4), neuron={"iDecay": 3, "vThMant": (1 << 17) - 1})
    return [entrance(2, 3, 4), layer], x, {"input_message_bits": 24}


def dense_without_neuron_at_the_end() -> Case:
    rng = np.random.default_rng(5)
    readout = dense(weights(rng, 3, 6))
    del readout["neuron"]
    return [dense(weights(rng, 6, 8)), readout], rng.random((8, 40)) < 0.3, {}


def some_layers_left_out() -> Case:
    layers, _, _ = delays_bias_and_recurrence()
    return layers, np.random.default_rng(6).random((12, 40)) < 0.3, {"num_layers": 3, "skip_layers": 1}


def resonators_at_their_threshold() -> Case:
    """Neurons that keep nothing, so that a sum of weights is the state: at the threshold they spike, below not."""

    def layer(kind: str, threshold: int, real: Any, imag: Any) -> dict[str, Any]:
        neuron = {"type": kind, "sinDecay": 0, "cosDecay": 0, "vThMant": threshold}
        weight = {"real": np.asarray(real, np.float32), "imag": np.asarray(imag, np.float32)}
        return {"type": "dense", "shape": [len(real)], "weight": weight, "neuron": neuron}

    first = layer("RF_PHASE", 10, [[10, 10], [9, 9], [11, 11]], [[-5, 5], [-5, 5], [-5, 0]])
    second = layer("RF_IZHIKEVICH", 7, [[1, 1, 1], [1, 1, 1]], [[7, 0, 0], [6, 0, 0]])
    return [first, second], np.tile([[1, 0, 0], [0, 1, 0]], 8), {}


def sparse_matrices() -> Case:
    """Two arguments that change nothing where neurons are CUBA."""
    layers, x, _ = delays_bias_and_recurrence()
    return (
        [layers[0], layers[1], dense(weights(np.random.default_rng(8), 7, 9))],
        x,
        {
            "sparse_fc_layer": True,
            "spike_exp": 4,
        },
    )


CASES = [
    sparse_matrices,
    resonators_at_their_threshold,
    delays_bias_and_recurrence,
    convolutions_of_any_geometry,
    input_layer_with_resets,
    extreme_weights,
    graded_input_to_the_edges,
    graded_convolution_to_the_edges,
    dense_without_neuron_at_the_end,
    some_layers_left_out,
]


@pytest.mark.parametrize("case", CASES)
def test_hand_made_networks_run_as_on_lava(case: Callable[[], Case], run_on_lava: Any, tmp_path: Path) -> None:
    layers, x, options = case()
    file = tmp_path / "network.net"
    netx.write(file, netx.describe(layers))
    network = netx.Network(file, **options)
    recording = network.run(x, states=True)
    assert_same_as_lava(run_on_lava(file, x, **options), recording)
    for index, spikes in zip(network.layer_indices, recording.spikes, strict=True):
        assert spikes.any() == ("neuron" in layers[index]), f"layer {index}"  # without a neuron, it never spikes


NEURON_PARAMS = {"threshold": 0.6, "current_decay": 0.25, "voltage_decay": 0.03}
NORM = {**NEURON_PARAMS, "norm": MeanOnlyBatchNorm}


def every_layer() -> tuple[Module, torch.Tensor]:
    """conv, flatten, delay, recurrence and bias in one network."""
    blocks = [
        cuba.Conv(NORM, 2, 6, 3, stride=2, padding=1, weight_scale=2),
        cuba.Conv({**NORM, "shared_param": False}, 6, 6, 3, groups=2, weight_scale=2),
        cuba.Flatten(),
        cuba.Dense(NORM, 6 * 4 * 3, 16, weight_norm=True, delay=True),
        cuba.Recurrent(NEURON_PARAMS, 16, 14),
        cuba.Recurrent({**NORM, "shared_param": False}, 14, 12, weight_norm=True),
        cuba.Dense(NEURON_PARAMS, 12, 5, delay=True),
    ]
    return Sequential(*blocks), (torch.rand(2, 2, 11, 9, 50) < 0.3).float()


def input_block() -> tuple[Module, torch.Tensor]:
    first = cuba.Input(NEURON_PARAMS, weight=0.75, bias=0.1)
    blocks = [first, cuba.Conv(NEURON_PARAMS, 2, 4, 3), cuba.Flatten(), cuba.Dense(NEURON_PARAMS, 4 * 4 * 5, 6)]
    return Sequential(*blocks), (torch.rand(2, 2, 6, 7, 40) < 0.3).float()


def dense_layers_on_images() -> tuple[Module, torch.Tensor]:
    blocks = [cuba.Flatten(), cuba.Dense(NEURON_PARAMS, 84, 20, delay=True), cuba.Dense(NORM, 20, 6)]
    return Sequential(*blocks), (torch.rand(2, 2, 6, 7, 40) < 0.3).float()


def counts_into_a_convolution() -> tuple[Module, torch.Tensor]:
    blocks = [cuba.Conv(NEURON_PARAMS, 2, 4, 3), cuba.Flatten(), cuba.Dense(NEURON_PARAMS, 4 * 4 * 5, 6)]
    return Sequential(*blocks), torch.randint(0, 6, (2, 2, 6, 7, 40)) * (torch.rand(2, 2, 6, 7, 40) < 0.3).float()


def counts_into_a_dense_layer() -> tuple[Module, torch.Tensor]:
    return cuba.Dense(NEURON_PARAMS, 20, 6, delay=True), torch.randint(0, 6, (2, 20, 40)).float()


def readout_of_voltages() -> tuple[Module, torch.Tensor]:
    hidden = cuba.Dense(NORM, 20, 12, weight_scale=2, delay=True)
    return Sequential(hidden, cuba.Affine(NORM, 12, 4, delay=True, delay_shift=True)), torch.ones(2, 20, 40)


def winners() -> tuple[Module, torch.Tensor]:
    """lava-dl does not export such a block; it is a recurrent layer."""
    hidden = cuba.Dense(NEURON_PARAMS, 20, 12, weight_scale=2)
    return Sequential(hidden, cuba.KWTA(NEURON_PARAMS, 12, 8, 2, weight_scale=4)), torch.ones(2, 20, 40)


MODELS = [every_layer, input_block, dense_layers_on_images, counts_into_a_convolution, counts_into_a_dense_layer]
MODELS += [readout_of_voltages, winners]


@pytest.mark.parametrize("make", MODELS)
def test_blocks_runtime_and_lava_agree(
    make: Callable[[], tuple[Module, torch.Tensor]], run_on_lava: Any, tmp_path: Path
) -> None:
    model, x = trained(make)
    file = tmp_path / "network.net"
    netx.export(model, file, input_shape=x.shape[1:-1])

    comparison = netx.compare(model, file, x)
    assert comparison.identical, str(comparison)
    assert not comparison.silent, str(comparison)

    options = {"input_message_bits": comparison.input_message_bits}
    network = netx.Network(file, **options)
    sample = network.encode(x[0])
    lava_input = sample if len(network.input_shape) == 3 else sample.reshape(-1, x.shape[-1])
    assert_same_as_lava(run_on_lava(file, lava_input, **options), network.run(sample, states=True))
