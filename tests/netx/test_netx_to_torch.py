"""From network files back to blocks: they spike as the file does and say the same."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from netx_layers import NEURON, conv, dense, entrance, flatten, weights
from netx_rebuilt import Layers, assert_rebuilt, events

from slayerloss import netx
from slayerloss._check import ArgumentError, FormatError
from slayerloss.block import cuba, rf
from slayerloss.functional import quantize_weight
from slayerloss.netx.differing_fields import differing_fields
from slayerloss.netx.export import checked
from slayerloss.netx.source import keep_whole
from slayerloss.neuron.norm import MeanOnlyBatchNorm

# Files of lava-dl

FILES = {
    "oxford": (300, [cuba.Dense, cuba.Dense]),
    "syn_dense_delay": (60, [cuba.Dense, cuba.Dense]),
    "syn_dense_rec": (60, [cuba.Recurrent, cuba.Dense]),
    "mnist": (48, [cuba.Input, cuba.Dense, cuba.Dense, cuba.Affine]),
    "tiny": (40, [cuba.Input, cuba.Conv, cuba.Conv]),
    "pilotnet_lif": (5, [cuba.Input, *[cuba.Conv] * 5, cuba.Flatten, *[cuba.Dense] * 4]),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_lava_dl_become_blocks(shared: Path, name: str, tmp_path: Path) -> None:
    num_steps, kinds = FILES[name]
    with np.load(shared / "golden" / "netx" / f"{name}.npz") as golden:
        file = netx.read(shared / "golden" / "netx" / json.loads(str(golden["meta"]))["net"])
        x = torch.from_numpy(golden["input"].T[None, ..., :num_steps].astype(np.float32))
    if "weight" in file.layers[0].fields and file.layers[0].type == "input":
        x = x / 64  # the recording has what Lava was fed: weight x + bias
    model, comparison = assert_rebuilt(file, x)
    assert comparison.identical
    assert [type(block) for block in model] == kinds
    path = tmp_path / "again.net"
    netx.export(model, path)
    assert netx.compare(model, path, x).identical
    assert pairwise_differences(file, netx.read(path)) == []
    again = netx.to_torch(path)
    assert_same_parameters(again, model)


def pairwise_differences(one: netx.Description, other: netx.Description) -> list[str]:
    """What differs between two files, in the layers that hold more than a shape."""
    pairs = [[layer for layer in d.layers if layer.fields.keys() != {"shape"}] for d in (one, other)]
    assert [layer.type for layer in pairs[0]] == [layer.type for layer in pairs[1]]
    return [name for a, b in zip(*pairs, strict=True) for name in differing_fields(b, a)]


def assert_same_parameters(one: torch.nn.Module, other: torch.nn.Module) -> None:
    own, its = (list(module.state_dict().values()) for module in (one, other))
    assert len(own) == len(its)
    for a, b in zip(own, its, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_resonators_of_lava_dl_turn_as_lava_lets_them(shared: Path, tmp_path: Path) -> None:
    path = shared / "golden" / "netx" / "syn_rf.net"
    recorded = np.load(path.with_suffix(".npz"))
    x = torch.tensor(recorded["input"]).T[None].float()
    model, comparison = assert_rebuilt(netx.read(path), x)
    model.eval()
    assert [type(block) for block in model] == [rf.Dense, rf.Dense]
    assert comparison.events == [int(recorded[f"L{i}_spk"].sum()) for i in range(2)]
    for i, block in enumerate(model):
        assert np.array_equal(block.chip_states(x)["imag"][0].numpy().T, recorded[f"L{i}_imag"])
        x = block(x)
    netx.export(model, tmp_path / "again.net")
    assert not netx.check(tmp_path / "again.net")
    assert pairwise_differences(netx.read(path), netx.read(tmp_path / "again.net")) == []


@pytest.mark.parametrize("kind", ["RF_PHASE", "RF_IZHIKEVICH"])
@pytest.mark.parametrize("channels", [1, 4])
def test_resonators_are_rebuilt(kind: str, channels: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(channels)
    turn = {"sinDecay": rng.integers(1, 2000, channels) + 0.5, "cosDecay": rng.integers(0, 3500, channels) + 0.5}
    turn = {name: values if channels > 1 else values[0] for name, values in turn.items()}
    weight = {"real": weights(rng, 4, 6, low=-120, high=254), "imag": weights(rng, 4, 6)}
    neuron = {"type": kind, **turn, "vThMant": 20, "gradedSpike": False}
    layers = [{"type": "dense", "shape": [4], "weight": weight, "neuron": neuron}]
    for arithmetic in ("lava", "ideal"):
        model, comparison = assert_rebuilt(layers, events(3, 6, 60), arithmetic)
        assert comparison.events[0] > 20
    assert model[0].neuron.shared_param is (channels == 1)
    assert np.array_equal(model[0].neuron.cx_sin_decay, np.trunc(turn["sinDecay"]))
    path = tmp_path / "network.net"
    netx.export(model, path)
    written = netx.read(path).layers[0].neuron or {}
    assert np.array_equal(written["cosDecay"], turn["cosDecay"])


# Random files


@st.composite
def neurons(draw: st.DrawFn, channels: int) -> dict[str, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    low = draw(st.sampled_from([0, 100, 4096]))
    decays = {name: int(rng.integers(low, 4097)) for name in ("iDecay", "vDecay")}
    if draw(st.booleans()):
        decays[draw(st.sampled_from(["iDecay", "vDecay"]))] = rng.integers(0, 4097, channels)  # type: ignore[assignment]
    kind = draw(st.sampled_from(["CUBA", "LOIHI"]))
    return {"type": kind, "vThMant": draw(st.sampled_from([1, 40, 131071])), **decays}


@st.composite
def networks(draw: st.DrawFn) -> tuple[Layers, torch.Tensor]:
    """Convolutions, perhaps, and dense layers; biases, delays, decays, weights of all kinds; and an input."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    odd = draw(st.booleans())

    def matrix(*shape: int) -> np.ndarray:
        return rng.integers(-150, 151, shape).astype(np.float32) if odd else weights(rng, *shape, low=-120, high=120)

    def extras(channels: int, delays: bool) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if draw(st.booleans()):
            size = draw(st.sampled_from([100, 5000]))
            fields["bias"] = rng.integers(-size, size, channels).astype(np.float32)
        if delays and draw(st.booleans()):
            fields["delay"] = rng.integers(0, draw(st.sampled_from([2, 63])), channels).astype(np.float32)
        return fields

    layers: Layers = []
    size = draw(st.sampled_from([None, (5, 6)]))
    if size is None:
        have: tuple[int, ...] = (7,)
    else:
        have = (2, *size)
        layers.append(entrance(*have))
        for _ in range(draw(st.integers(1, 2))):
            groups = draw(st.sampled_from([1, 2]))
            kernel = (4, have[0] // groups, *draw(st.sampled_from([(2, 2), (1, 2)])))
            geometry = draw(st.sampled_from([{}, {"stride": (2, 1)}, {"padding": (1, 0), "dilation": (1, 2)}]))
            neuron = draw(neurons(4))
            layers.append(conv(matrix(*kernel), have[1:], groups=groups, neuron=neuron, **geometry, **extras(4, False)))
            have = tuple(layers[-1]["shape"])
        layers.append(flatten(layers[-1]))
    if draw(st.booleans()):
        layers = layers or [entrance(*have)]
        layers[0] |= {"neuron": draw(neurons(layers[0]["shape"][0]))}
        if draw(st.booleans()):
            layers[0] |= {"weight": np.float32(2 * draw(st.integers(-20, 60))), "bias": np.float32(6)}
    for _ in range(draw(st.integers(0, 2)) if size else draw(st.integers(1, 3))):
        inputs, neuron = int(np.prod(have)), draw(neurons(5))
        if draw(st.booleans()):
            layers.append(dense(matrix(5, inputs), neuron, **extras(5, True)))
        else:
            layer = dense(matrix(5, inputs), neuron, **extras(5, False))
            layers.append({**layer, "type": "dense_rec", "weight_rec": matrix(5, 5)})
        have = (5,)
    if draw(st.booleans()) and layers[-1]["type"] == "dense":
        layers[-1].pop("neuron")
    shape = layers[0]["shape"] if layers[0]["type"] == "input" else (7,)
    x = events(2, *shape, 25, rate=0.4, seed=draw(st.integers(0, 1000)))
    return layers, 3 * x - 1 if layers[0].get("neuron") and layers[0]["type"] == "input" else x


@settings(max_examples=60, deadline=None)
@given(networks())
def test_random_files_become_blocks_that_spike_alike(case: tuple[Layers, torch.Tensor]) -> None:
    layers, x = case
    file = netx.describe(layers)
    model, _ = assert_rebuilt(file, x, "ideal")
    if not any(finding.severity == "error" for finding in netx.check(file)):
        assert_rebuilt(file, x, "lava")
        description, _ = checked(model)
        assert pairwise_differences(file, description) == []
        assert_same_parameters(netx.to_torch(description), model)
    assert_rebuilt(file, x, "ideal", weight_norm=True)
    assert_rebuilt(file, x, "ideal", neuron={"shared_param": False, "norm": MeanOnlyBatchNorm, "requires_grad": True})
    pickle.loads(pickle.dumps(copy.deepcopy(model)))


# Single fields


def test_biases_and_input_layers_act_from_step_1() -> None:
    """In the first step nothing has arrived yet but the bias, in every layer; and the input at an input layer."""
    bias = np.array([2, 3, 100, 701, -5], np.float32)
    always = {"vThMant": 1, "iDecay": 4096, "vDecay": 0}
    first = {"type": "input", "shape": [4], "weight": 32.0, "bias": 4.0, "neuron": {**NEURON, **always}}
    rng = np.random.default_rng(0)
    middle, last = dense(weights(rng, 5, 4), always, bias=bias), dense(weights(rng, 5, 5), always, bias=bias)
    file = netx.describe([first, middle, {**last, "type": "dense_rec", "weight_rec": weights(rng, 5, 5)}])
    x = torch.ones(1, 4, 12)
    model, comparison = assert_rebuilt(file, x)
    assert comparison.identical
    seen = x
    for block, expected in zip(model.eval(), ([1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]), strict=True):
        seen = block(seen)
        assert seen[0, :, 0].tolist() == expected


def test_weights_and_biases_that_8_bits_do_not_hold_are_kept() -> None:
    odd = dense([[101.0, -3, 4], [5, 7, -1]], bias=np.array([3.0, 20000]))
    model, _ = assert_rebuilt([odd], events(2, 3, 30))
    assert model[0].synapse.pre_hook_fx is model[0].neuron.norm.pre_hook_fx is keep_whole
    even, _ = assert_rebuilt([dense([[100, -256, 254], [4, 8, -2]], bias=np.array([2.0, 256]))], events(2, 3, 30))
    assert even[0].synapse.pre_hook_fx is quantize_weight
    large = dense([[1001.0, -3, 400], [5, 7, -1]], {"vThMant": 1500})  # which Lava cuts off
    model, _ = assert_rebuilt([large], events(2, 3, 30), "ideal")
    assert any(netx.compare(model, netx.describe([large]), events(2, 3, 30)).spikes_differ)


def test_keep_whole_rounds_and_lets_the_gradient_through() -> None:
    x = torch.tensor([0.51, -3.2, 700.0], requires_grad=True)
    keep_whole(x).sum().backward()
    assert (keep_whole(x) * 64).tolist() == [33, -205, 44800] == keep_whole(x, descale=True).tolist()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "value"), [((), 3), ((5,), None), ((4,), 3), ((5, 4), 3), ((5, 4), "rows"), ((5,), 62), ((5,), 0)]
)
def test_delays_of_any_form_that_are_one_a_neuron(shape: tuple[int, ...], value: Any) -> None:
    rng = np.random.default_rng(0)
    delay = np.full(shape, 0 if value in (None, "rows") else value, np.float32)
    if value == "rows":
        delay += np.arange(5)[:, None]
    if value is None:
        delay += np.arange(5)
    model, _ = assert_rebuilt([dense(weights(rng, 5, 4), delay=delay)], events(2, 4, 80))
    assert model[0].delay.whole_delay.tolist() == (list(range(5)) if value in (None, "rows") else [value] * 5)


def test_a_bias_of_any_form_that_is_one_a_channel() -> None:
    rng = np.random.default_rng(0)
    assert_rebuilt([dense(weights(rng, 5, 4), bias=np.float32(7))], events(2, 4, 20))
    whole = np.broadcast_to(np.array([2, -4, 6], np.float32), (4, 3, 3))  # (W, H, C)
    layers = [entrance(2, 3, 4), conv(weights(rng, 3, 2, 1, 1), (3, 4), bias=whole)]
    assert_rebuilt(layers, events(2, 2, 3, 4, 20))


def test_layers_that_lava_has_not() -> None:
    """Pool and average, and the delays of a convolution; they cannot be exported, and say so."""
    rng = np.random.default_rng(0)
    first = conv(weights(rng, 4, 2, 3, 3), (8, 8), delay=np.array([0, 1, 5, 2]))
    pool = conv(np.full((1, 1, 2, 2), 30), (6, 6), (2, 2), neuron={"iDecay": 4096})
    pool = {**pool, "type": "pool", "shape": [4, 3, 3]}
    pool.pop("groups")
    last = dense(weights(rng, 6, 36, low=-20, high=40))
    layers = [entrance(2, 8, 8), first, pool, flatten(pool), last, {"type": "average", "shape": [3, 1, 1]}]
    model, comparison = assert_rebuilt(layers, events(2, 2, 8, 8, 30), "ideal")
    assert comparison.identical
    assert [type(block) for block in model[2:]] == [cuba.Pool, cuba.Flatten, cuba.Dense, cuba.Average]
    with pytest.raises(ArgumentError, match=r"layer 1 \(Conv\), delay: Lava ignores"):
        netx.export(model, "never.net")
    with pytest.raises(FormatError, match="pool"):
        netx.compare(model, netx.describe(layers), events(2, 2, 8, 8, 30))


def test_a_last_layer_that_cannot_spike_sends_its_voltage() -> None:
    rng = np.random.default_rng(0)
    hidden = dense(weights(rng, 6, 8))
    for neuron in (None, {"vThMant": 1 << 17}, {"vThMant": 1 << 40, "vDecay": 40}):
        readout = dense(weights(rng, 3, 6), neuron, bias=np.array([2.0, -4, 0]))
        if neuron is None:
            del readout["neuron"]
        x = events(2, 8, 40)
        model, comparison = assert_rebuilt([hidden, readout], x)
        assert comparison.identical
        assert comparison.readouts == ["1 (Affine)"]
        assert "1 (Affine)" in str(comparison)
        assert "voltages" in str(comparison)
        recording = netx.Network(netx.describe([hidden, readout])).run(x.numpy(), states=True)
        np.testing.assert_array_equal((model(x) * 4096).detach().numpy(), recording.states[1]["v"])
        model(x).sum().backward()
        assert model[0].synapse.weight.grad.any()
    between = [dense(weights(rng, 6, 8), {"vThMant": 1 << 17}), dense(weights(rng, 3, 6))]
    silent = netx.to_torch(netx.describe(between))[0]
    assert type(silent) is cuba.Dense  # the next layer hears spikes only
    assert silent.neuron.v_th_mant == 1 << 17
    assert not silent(torch.full((1, 8, 50), 1000.0)).any()


def test_a_first_convolution_need_not_say_its_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layers = [conv(weights(rng, 3, 2, 3, 3), (6, 7)), conv(weights(rng, 3, 3, 3, 3), (4, 5))]
    model, _ = assert_rebuilt(layers, events(2, 2, 6, 7, 20))
    netx.export(netx.to_torch(netx.describe(layers)), tmp_path / "network.net")
    assert netx.read(tmp_path / "network.net").layers[0].shape == (3, 4, 5)
    assert model[0].shape == (3, 4, 5)


def test_every_decay_of_the_chip_comes_back() -> None:
    decays = np.arange(4097)
    layer = dense(np.ones((4097, 1)) * 2, {"iDecay": decays, "vDecay": decays[::-1].copy()})
    block = netx.to_torch(netx.describe([layer]))[0]
    np.testing.assert_array_equal(block.neuron.cx_current_decay, decays)
    np.testing.assert_array_equal(block.neuron.cx_voltage_decay, decays[::-1])
