"""Synaptic operations against a model that goes through every spike and every synapse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from netx_layers import NEURON, conv, dense, entrance, flatten, weights

from slayerloss import netx
from slayerloss._check import ArgumentError, DtypeError, ShapeError
from slayerloss.netx.description import Layer
from slayerloss.netx.operations import fan_out, joined
from slayerloss.netx.runtime.synapse import pair


def synapses(layer: dict[str, Any], shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], int]]:
    """(source, target) of every synapse, by loops over the outputs as a convolution is defined."""
    weight, found = layer["weight"], []
    if layer["type"].startswith("dense"):
        places = list(np.ndindex(*shape))
        for target, source in itertools.product(range(len(weight)), range(len(places))):
            if int(weight[target, source]) != 0:
                found.append((places[source], target))
        return found
    (sh, sw), (ph, pw), (dh, dw) = (pair(layer[name]) for name in ("stride", "padding", "dilation"))
    pool = layer["type"] == "pool"
    rows, columns = shape[1:]
    in_group = 1 if pool else weight.shape[1]
    out_of_group = 1 if pool else len(weight) // layer["groups"]
    for target in np.ndindex(*layer["shape"]):
        c, i, j = target
        kernel = weight[0] if pool else weight[c]
        for k, h, w in np.ndindex(*kernel.shape[:3]):
            source = (c // out_of_group * in_group + k, i * sh - ph + h * dh, j * sw - pw + w * dw)
            inside = 0 <= source[1] < rows and 0 <= source[2] < columns
            if inside and int(np.reshape(kernel[k, h, w], ())) != 0:
                found.append((source, target))
    return found


def counted(layer: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, int)
    for source, _ in synapses(layer, shape):
        out[source] += 1
    return out


def as_layer(fields: dict[str, Any]) -> Layer:
    return Layer(fields["type"], {name: value for name, value in fields.items() if name != "type"})


side = st.tuples(
    st.integers(1, 7), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3)
)  # size, kernel, stride, padding, dilation


@settings(max_examples=80, deadline=None)
@given(side, side, st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.booleans(), st.integers(0, 99))
def test_the_fan_out_of_a_convolution_is_that_of_its_synapses(
    height: Any, width: Any, groups: int, into: int, out: int, five: bool, seed: int
) -> None:
    size, kernel, stride, padding, dilation = zip(height, width, strict=True)
    if any(n + 2 * p - d * (k - 1) < 1 for n, k, _, p, d in (height, width)):
        return  # no output
    rng = np.random.default_rng(seed)
    weight = rng.choice([-2.0, 0.0, 0.5, 2.0], (groups * out, into, *kernel))  # Lava cuts 0.5 to 0
    if five:
        weight = weight[..., None]  # as old files have it
    layer = conv(weight, size, stride, padding, dilation, groups)
    shape = (groups * into, *size)
    forward, back = fan_out(as_layer(layer), shape)
    assert back is None
    np.testing.assert_array_equal(forward, counted(layer, shape).reshape(-1))


@settings(max_examples=30, deadline=None)
@given(side, side, st.integers(1, 3))
def test_a_pool_layer_has_a_synapse_for_each_place_of_its_window(height: Any, width: Any, channels: int) -> None:
    size, kernel, stride, padding, dilation = zip(height, width, strict=True)
    if any(n + 2 * p - d * (k - 1) < 1 for n, k, _, p, d in (height, width)):
        return  # no output
    layer = conv(np.full((1, 1, *kernel), 64.0), size, stride, padding, dilation)
    layer |= {"type": "pool", "shape": [channels, *layer["shape"][1:]]}
    shape = (channels, *size)
    np.testing.assert_array_equal(fan_out(as_layer(layer), shape)[0], counted(layer, shape).reshape(-1))


def network_of_all() -> netx.Network:
    """Two convolutions, flatten, dense with delays, dense_rec; zeros among the weights."""
    rng = np.random.default_rng(3)

    def sparse(*shape: int) -> np.ndarray:
        return weights(rng, *shape, low=-10, high=60) * (rng.random(shape) < 0.6)

    first = conv(sparse(4, 1, 3, 3), (7, 6), (2, 1), (1, 0), groups=2)
    second = conv(sparse(3, 4, 2, 2), tuple(first["shape"][1:]), (1, 2), (1, 1), (2, 1))
    third = dense(sparse(5, int(np.prod(second["shape"]))), delay=np.array([0, 3, 1, 0, 5], np.float32))
    last = {**dense(sparse(6, 5)), "type": "dense_rec", "weight_rec": sparse(6, 6)}
    return netx.Network(netx.describe([entrance(2, 7, 6), first, second, flatten(second), third, last]))


def every_spike(network: netx.Network, x: np.ndarray, recording: netx.Recording) -> list[list[int]]:
    """Synaptic operations of every sample and layer: for every spike, the synapses with its neuron as source."""
    sent = [x, *recording.spikes]
    totals = []
    for sample in range(len(x)):
        row = []
        for i, index in enumerate(network.layer_indices):
            layer = network.description.layers[index]
            reached = counted({"type": layer.type, **layer.fields}, sent[i].shape[1:-1])
            total = sum(int(reached[tuple(place[:-1])]) for place in np.argwhere(sent[i][sample] != 0))
            if "weight_rec" in layer.fields:
                own = np.count_nonzero(layer.fields["weight_rec"], axis=0)
                total += sum(int(own[neuron]) for neuron, _ in np.argwhere(sent[i + 1][sample] != 0))
            row.append(total)
        totals.append(row)
    return totals


def test_operations_are_those_of_every_spike() -> None:
    network = network_of_all()
    x = (np.random.default_rng(0).random((3, 2, 7, 6, 25)) < 0.4).astype(np.int8)
    recording = network.run(x)
    assert all(spikes.any() for spikes in recording.spikes)
    counts = netx.operations(network, x, recording)
    assert np.stack([layer.synaptic for layer in counts.layers], 1).tolist() == every_spike(network, x, recording)
    assert counts.events.tolist() == np.count_nonzero(x, axis=(1, 2, 3, 4)).tolist()
    assert counts.inputs == 84
    assert counts.steps.tolist() == [25, 25, 25]
    for layer, spikes in zip(counts.layers, recording.spikes, strict=True):
        own = np.count_nonzero(spikes, axis=tuple(range(1, spikes.ndim)))
        assert layer.spikes.tolist() == own.tolist()
        assert layer.neurons == spikes[0, ..., 0].size
        assert layer.updates.tolist() == [25 * layer.neurons] * 3
    arrivals = [counts.events, *(layer.spikes for layer in counts.layers)]
    assert [layer.arrivals.tolist() for layer in counts.layers[:-1]] == [each.tolist() for each in arrivals[:3]]
    assert counts.layers[-1].arrivals.tolist() == (arrivals[3] + arrivals[4]).tolist()


def test_runs_the_network_itself_and_takes_one_recording() -> None:
    network = network_of_all()
    x = (np.random.default_rng(1).random((2, 7, 6, 20)) < 0.5).astype(np.float32)
    alone, batch = (
        netx.operations(network, torch.from_numpy(x)),
        netx.operations(network, x[None], network.run(x[None])),
    )
    assert str(alone) == str(batch)
    assert [layer.synaptic.shape for layer in alone.layers] == [(1,)] * 4


def test_lengths_leave_the_padding_out() -> None:
    network = network_of_all()
    x = (np.random.default_rng(2).random((2, 2, 7, 6, 30)) < 0.5).astype(np.int8)
    counts = netx.operations(network, x, lengths=[30, 12])
    short = netx.operations(network, x[1, ..., :12])
    for whole, part in zip(counts.layers, short.layers, strict=True):
        for name in ("arrivals", "synaptic", "updates", "spikes"):
            assert getattr(whole, name)[1] == getattr(part, name)[0], name
    assert counts.events[1] == short.events[0]
    assert counts.steps.tolist() == [30, 12]


def test_batches_join_to_the_whole() -> None:
    network = network_of_all()
    x = (np.random.default_rng(4).random((5, 2, 7, 6, 20)) < 0.4).astype(np.int8)
    whole = netx.operations(network, x)
    parts = joined([netx.operations(network, x[:2]), netx.operations(network, x[2:])])
    assert str(parts) == str(whole)
    assert [layer.synaptic.tolist() for layer in parts.layers] == [layer.synaptic.tolist() for layer in whole.layers]


def test_images_for_a_first_dense_layer_count_flattened() -> None:
    weight = np.zeros((2, 8), np.float32)
    weight[:, 3], weight[0, 5] = 2, 4
    network = netx.Network(netx.describe([dense(weight)]))
    x = np.zeros((1, 2, 2, 2, 4), np.int8)
    x[0, 0, 1, 1, 0] = x[0, 1, 0, 1, 2] = x[0, 0, 0, 0, 1] = 1  # inputs 3, 5, 0
    assert netx.operations(network, x).layers[0].synaptic.tolist() == [3]


def test_an_input_layer_has_no_synapses() -> None:
    neuron = {**NEURON, "iDecay": 4096, "vDecay": 0}
    layers = [{"type": "input", "shape": [3], "neuron": neuron}, dense(np.full((2, 3), 8), neuron)]
    counts = netx.operations(netx.Network(netx.describe(layers)), np.full((3, 10), 30))
    assert counts.layers[0].synaptic.tolist() == [0]
    assert counts.layers[1].synaptic[0] == 2 * counts.layers[0].spikes[0] > 0
    assert [line.split()[-2] for line in str(counts).splitlines()[1:3]] == ["-", "-"]


def test_both_matrices_of_a_complex_layer_count() -> None:
    parts = {"real": np.array([[1.0, 0.0], [2.0, 2.0]]), "imag": np.array([[0.0, 0.0], [0.5, 4.0]])}
    forward, _ = fan_out(Layer("dense", {"shape": np.array([2]), "weight": parts}), (2,))
    assert forward.tolist() == [2, 2]  # 0.5 is cut to zero


def test_what_does_not_fit_is_refused() -> None:
    network = network_of_all()
    x = np.zeros((2, 2, 7, 6, 5), np.int8)
    recording = network.run(x)
    for wrong in (x[:1], x[..., :4], x[:, :1], np.zeros((2, 84)), 3):
        with pytest.raises(ShapeError, match="x and recording do not fit the network"):
            netx.operations(network, wrong, recording)
    with pytest.raises(ShapeError, match=r"lengths has the wrong shape; expected \(2,\)"):
        netx.operations(network, x, lengths=[5])
    for lengths in ([0, 5], [1, 6], [1.5, 2.0]):
        with pytest.raises(ArgumentError, match=r"lengths is out of range; expected whole numbers in \[1, 5\]"):
            netx.operations(network, x, lengths=lengths)
    with pytest.raises(DtypeError, match="network"):
        netx.operations("network.net", x)
    wrong = r"x is no array; expected an array of numbers, got Recording. It comes after x: operations\(network, x, rec"
    with pytest.raises(DtypeError, match=wrong):
        netx.operations(network, recording)
    with pytest.raises(DtypeError, match=r"x is no array; expected an array of numbers, got dict"):
        netx.operations(network, {})
    for value in (np.nan, np.inf):
        with pytest.raises(ArgumentError, match="x holds NaN or infinity; expected finite values"):
            netx.operations(network, np.full(x.shape, value))
    with pytest.raises(DtypeError, match="recording"):
        netx.operations(network, x, [x])
    with pytest.raises(ArgumentError, match=r"nothing is known of a layer's synapses; expected input.*got convT"):
        fan_out(Layer("convT", {"shape": np.array([1, 2, 2])}), (1, 2, 2))


def test_the_table_gives_means() -> None:
    network = netx.Network(netx.describe([dense(np.array([[90.0, 2.0]]))]))
    x = np.zeros((2, 2, 10), np.int8)
    x[0, :, :5] = 1
    lines = str(netx.operations(network, x)).splitlines()
    assert lines[0].split("  ")[0] == "per recording"
    assert lines[1].split() == ["input", "2", "5", "0.2500", "-", "-"]
    assert lines[2].split()[:3] == ["layer/0", "dense", "1"]
    assert lines[2].split()[-3:] == ["5", "100", "%"]
    assert lines[3].split()[-1] == "5"
