"""Where a model and its network file begin to differ, and what counts as the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netx_layers import NEURON, conv, dense, entrance, flatten, weights
from torch.nn import Module, Sequential
from trained_blocks import trained

from slayerloss import netx
from slayerloss._check import ArgumentError
from slayerloss.block import cuba
from slayerloss.netx.difference import first_place
from slayerloss.netx.differing_fields import differing_fields
from slayerloss.netx.export import checked
from slayerloss.neuron.norm import MeanOnlyBatchNorm

P = {"threshold": 0.6, "current_decay": 0.25, "voltage_decay": 0.03}


def spikes(*shape: int) -> torch.Tensor:
    return (torch.rand(shape) < 0.3).float()


def dense_model() -> tuple[Sequential, torch.Tensor]:
    norm = {**P, "norm": MeanOnlyBatchNorm}
    first = cuba.Dense(norm, 20, 24, weight_scale=2, delay=True)
    return Sequential(first, cuba.Dense(P, 24, 8, weight_scale=2)), spikes(5, 20, 40)


def image_model() -> tuple[Sequential, torch.Tensor]:
    first = cuba.Conv({**P, "norm": MeanOnlyBatchNorm, "shared_param": False}, 2, 4, 3, stride=2, weight_scale=3)
    return Sequential(cuba.Input(P, weight=2, bias=0.1), first, cuba.Dense(P, 80, 5)), 2 * torch.rand(3, 2, 9, 11, 25)


def recurrent_model() -> tuple[Sequential, torch.Tensor]:
    block = cuba.Recurrent({**P, "norm": MeanOnlyBatchNorm}, 20, 12, weight_scale=2)
    return Sequential(block, cuba.Dense(P, 12, 4, weight_scale=2)), spikes(4, 20, 40)


def readout_model() -> tuple[Sequential, torch.Tensor]:
    last = cuba.Affine({**P, "norm": MeanOnlyBatchNorm}, 12, 3, delay=True, delay_shift=True)
    return Sequential(cuba.Dense(P, 20, 12, weight_scale=2), last), spikes(4, 20, 40)


MODELS = [dense_model, image_model, recurrent_model, readout_model]


def in_eval_mode(make: Any, seed: int = 0) -> tuple[Module, torch.Tensor]:
    model, x = trained(make, seed, longest_delay=5)
    return model.eval(), x


@pytest.mark.parametrize("make", MODELS)
def test_states_of_blocks_are_those_of_the_file(make: Any) -> None:
    model, x = in_eval_mode(make)
    description, _ = checked(model, x.shape[1:-1])
    network = netx.Network(description, input_message_bits=1)
    recording = network.run(network.encode(x), states=True)
    blocks = [block for block in model if not isinstance(block, cuba.Flatten)]
    for block, states in zip(blocks, recording.states, strict=True):
        own = block.chip_states(x)
        assert own.keys() == states.keys()
        for name, values in states.items():
            np.testing.assert_array_equal(own[name].numpy(), values, err_msg=name)
        x = block(x).detach()


def test_the_states_saturate_and_wrap_as_in_the_file() -> None:
    layer = dense([[254.0, -256, 200]] * 2, {"iDecay": 1, "vDecay": 0, "vThMant": 1 << 16})
    file = netx.describe([layer])
    model = netx.to_torch(file)
    x = torch.randint(-500, 500, (3, 3, 60)).float()
    x[0] = 300
    recording = netx.Network(file, input_message_bits=16).run(x.numpy(), states=True)
    own = model[0].chip_states(x)
    for name in ("u", "v"):
        np.testing.assert_array_equal(own[name].numpy(), recording.states[0][name])
    assert own["u"].min() < 0 < own["u"].max()
    assert abs(own["u"]).max() > 1 << 22


@pytest.mark.parametrize("make", MODELS)
def test_the_first_difference_is_where_and_what_it_is_said_to_be(make: Any, tmp_path: Path) -> None:
    model, x = in_eval_mode(make)
    file = tmp_path / "network.net"
    netx.export(model, file)
    assert netx.compare(model, file, x).first_difference is None
    description = netx.read(file)
    index = next(i for i, layer in enumerate(description.layers) if "weight" in layer.fields and layer.type != "input")
    weight = description.layers[index].fields["weight"]
    damaged = 3 if weight.ndim == 2 else (1, 1, 2, 0)
    weight[damaged] += 40
    comparison = netx.compare(model, description, [x[:1], (x[1:], "labels")])
    first = comparison.first_difference
    assert first is not None
    assert first.index == index
    channel = damaged if isinstance(damaged, int) else damaged[0]
    assert first.neuron[0] == channel  # nothing else differs before it

    network = netx.Network(description, input_message_bits=1)
    recording = network.run(network.encode(x), states=True)
    layer = network.layer_indices.index(index)
    sent = given = x
    for block in list(model)[: list(network.layer_indices).index(index) + 1]:
        given, sent = sent, block(sent)
    own = block.chip_states(given)
    at = (first.sample, *first.neuron)
    theirs = recording.states[layer]
    for name in ("u", "v"):
        for states, said in ((own, first.model), (theirs, first.file)):
            assert said[name] == tuple(int(states[name][(*at, step)]) for step in (first.step - 2, first.step - 1))
    assert first.since <= first.step
    before = slice(0, first.since - 1)
    assert all((own[name][at].numpy()[before] == theirs[name][at][before]).all() for name in ("u", "v"))
    assert any(own[name][at][first.since - 1] != theirs[name][at][first.since - 1] for name in ("u", "v"))
    if "sent" in first.model:
        assert first.model["sent"][1] != first.file["sent"][1]
        assert first.model["sent"][0] == first.file["sent"][0]
    earlier = netx.compare(model, description, x[first.sample : first.sample + 1, ..., : first.step - 1])
    assert not any(earlier.spikes_differ)
    if first.sample:
        assert not any(netx.compare(model, description, x[: first.sample]).spikes_differ)


def test_a_difference_is_printed_for_people() -> None:
    model, x = in_eval_mode(dense_model)
    description, _ = checked(model)
    description.layers[1].neuron["vThMant"] -= 20
    lines = str(netx.compare(model, description, x)).splitlines()
    start = next(i for i, line in enumerate(lines) if "first difference" in line)
    first = netx.compare(model, description, x).first_difference
    assert first is not None
    place = f"layer/1 1 (Dense), neuron {first.neuron[0]}, step {first.step}, sample {first.sample}"
    assert lines[start].endswith(place)
    names = [line.split()[0] for line in lines[start + 2 : start + 5]]
    assert names == ["u", "v", "sent"]
    assert lines[start + 1].split("  ")[-1] == f"file, step {first.step}"
    assert "layer/1/neuron/vThMant" in lines[-1]


def test_a_layer_that_only_the_model_lets_spike_is_not_silent() -> None:
    model, x = in_eval_mode(dense_model)
    description, _ = checked(model)
    description.layers[0].neuron["vThMant"] = 1 << 16
    comparison = netx.compare(model, description, x)
    assert comparison.events[0] == 0 < comparison.spikes_differ[0]
    assert not comparison.silent
    lines = str(comparison).splitlines()
    assert lines[1].split()[:3] == ["layer/0", "0", "(Dense)"]
    assert lines[1].endswith(" differ")
    assert not comparison.identical


def test_the_first_step_can_be_where_it_begins() -> None:
    """A bias acts from step 1, so that a wrong one is seen there; before it all states are zero."""
    always = {"vThMant": 5, "iDecay": 4096}
    file = netx.describe([dense([[2.0, 4], [6, 8]], always, bias=np.array([4.0, 4]))])
    model = netx.to_torch(file)
    file.layers[0].fields["bias"][1] = 6
    first = netx.compare(model, file, torch.zeros(1, 2, 5)).first_difference
    assert first is not None
    assert (first.step, first.since, first.neuron) == (1, 1, (1,))
    assert first.model == {"u": (0, 0), "v": (0, 256), "sent": (0, 0)}
    assert first.file == {"u": (0, 0), "v": (0, 0), "sent": (0, 1)}


def test_a_changed_input_layer_is_found_in_its_first_step() -> None:
    first = {"type": "input", "shape": [3], "weight": 64.0, "bias": 2.0, "neuron": {**NEURON, "iDecay": 4096}}
    file = netx.describe([first, dense([[60.0, 40, -20]])])
    model = netx.to_torch(file)
    x = torch.full((1, 3, 10), 0.6)
    assert netx.compare(model, file, x).identical
    file.layers[0].fields["bias"] += 4
    found = netx.compare(model, file, x).first_difference
    assert found is not None
    assert (found.layer, found.neuron, found.step) == ("0 (Input)", (0,), 1)


def test_the_first_place_is_the_first_sample_then_step_then_layer() -> None:
    ours = [np.zeros((3, 4, 6)), np.zeros((3, 2, 2, 2, 6))]
    its = [array.copy() for array in ours]
    its[0][2, 0, 0] = 1  # a later sample
    its[0][1, 3, 5] = 1  # a later step
    its[1][1, 1, 0, 1, 4] = its[1][1, 1, 1, 1, 4] = 1
    assert first_place(ours, its) == (1, 1, 4, (1, 0, 1))
    its[0][1, 2, 4] = 1
    assert first_place(ours, its) == (1, 0, 4, (2,))
    assert first_place(ours, ours) is None


def layer(**fields: Any) -> netx.Layer:
    return netx.describe([{**dense(np.arange(10.0).reshape(2, 5)), **fields}]).layers[0]


SAME: list[dict[str, Any]] = [
    {"shape": [2, 1, 1]},
    {"weight": np.arange(10.0)},
    {"bias": 0.0},
    {"bias": np.zeros(2)},
    {"delay": np.zeros((2, 5))},
    {"neuron": {**NEURON, "type": "LOIHI", "theta": 2560, "wgtExp": 0, "tauRho": 0.5, "scaleRho": 1.0}},
    {"neuron": {**NEURON, "iDecay": np.full(2, 1024)}},
    {"neuron": {name: value for name, value in NEURON.items() if name not in ("refDelay", "gradedSpike")}},
    {"inFeatures": [5]},
]
OTHER: list[tuple[dict[str, Any], str]] = [
    ({"bias": [0.0, 1.0]}, "bias"),
    ({"delay": np.eye(2, 5)}, "delay"),
    ({"delay": 1.0}, "delay"),
    ({"weight": np.arange(10.0)[::-1]}, "weight"),
    ({"inFeatures": 6}, "inFeatures"),
    ({"neuron": {**NEURON, "iDecay": np.array([1024, 1023])}}, "neuron/iDecay"),
    ({"neuron": {**NEURON, "refDelay": 2}}, "neuron/refDelay"),
    ({"neuron": {**NEURON, "gradedSpike": True}}, "neuron/gradedSpike"),
]


@pytest.mark.parametrize("fields", SAME)
def test_what_says_the_same_is_the_same(fields: dict[str, Any]) -> None:
    assert differing_fields(layer(), layer(**fields)) == []


@pytest.mark.parametrize(("fields", "name"), OTHER)
def test_what_says_something_else_is_named(fields: dict[str, Any], name: str) -> None:
    assert differing_fields(layer(), layer(**fields)) == [name]


def test_thresholds_that_v_cannot_pass_and_layers_without_neurons_are_readouts() -> None:
    never = layer(neuron={"type": "CUBA", "iDecay": 0, "vDecay": 4096, "vThMant": 262143})
    without = layer()
    del without.fields["neuron"]
    assert differing_fields(never, without) == []
    assert differing_fields(layer(), without) == ["neuron/iDecay", "neuron/vDecay", "neuron/vThMant"]


def test_an_input_layer_without_weight_has_64() -> None:
    given, without = (
        netx.describe([{"type": "input", "shape": [3], "neuron": NEURON, **fields}]).layers[0]
        for fields in ({"weight": 64.0, "bias": 0.0}, {})
    )
    assert differing_fields(given, without) == differing_fields(without, given) == []
    given.fields["weight"] += 2
    assert differing_fields(without, given) == ["weight"]


# Readouts


@pytest.mark.parametrize("state_bytes", [1 << 28, 1])
def test_a_readout_is_exported_and_its_voltages_are_compared(
    state_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["slayerloss.netx.compare"], "_STATE_BYTES", state_bytes)
    model, x = in_eval_mode(readout_model)
    findings = netx.export(model, tmp_path / "network.net")
    assert {finding.severity for finding in findings} <= {"note"}
    comparison = netx.compare(model, tmp_path / "network.net", x)
    assert comparison.identical
    assert comparison.readouts == ["1 (Affine)"]
    assert comparison.events[1] > 0
    description = netx.read(tmp_path / "network.net")
    assert description.layers[1].neuron["vThMant"] == (1 << 18) - 1
    description.layers[1].fields["bias"][0] += 1
    comparison = netx.compare(model, description, x)
    assert comparison.spikes_differ[0] == 0 < comparison.spikes_differ[1]
    assert comparison.first_difference is not None
    assert (comparison.first_difference.step, comparison.first_difference.neuron) == (1, (0,))
    assert set(comparison.first_difference.model) == {"u", "v"}


def test_a_readout_between_layers_is_refused(tmp_path: Path) -> None:
    model = Sequential(cuba.Affine(P, 4, 3, delay_shift=True), cuba.Dense(P, 3, 2))
    with pytest.raises(ArgumentError, match=r"layer 0 \(Affine\): it sends no spikes to the next layer.*Use a Dense"):
        netx.export(model, tmp_path / "network.net", input_shape=(4,))
    for wrong in ({"delay_shift": False}, {"delay_shift": True, "dynamics": False}):
        model = Sequential(cuba.Dense(P, 4, 3), cuba.Affine(P, 3, 2, **wrong))
        with pytest.raises(ArgumentError, match=r"layer 1 \(Affine\): Lava has no such readout; expected one with"):
            netx.export(model, tmp_path / "network.net", input_shape=(4,))


def test_the_ideal_arithmetic_is_compared_where_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    first = conv(weights(rng, 4, 2, 3, 3), (8, 8))
    pool = {**conv(np.full((1, 1, 2, 2), 40), (6, 6), (2, 2)), "type": "pool", "shape": [4, 3, 3]}
    pool.pop("groups")
    last = dense(weights(rng, 6, 36))
    file = netx.describe([entrance(2, 8, 8), first, pool, flatten(pool), last, {"type": "average", "shape": [2, 1, 1]}])
    model = netx.to_torch(file)
    comparison = netx.compare(model, file, spikes(2, 2, 8, 8, 30), arithmetic="ideal")
    assert comparison.identical, str(comparison)
    assert comparison.layers == ["1 (Conv)", "2 (Pool)", "4 (Dense)", "5 (Average)"]
    file.layers[4].neuron["vThMant"] *= 3
    comparison = netx.compare(model, file, spikes(2, 2, 8, 8, 30), arithmetic="ideal")
    assert comparison.first_difference is not None
    assert comparison.first_difference.layer in ("4 (Dense)", "5 (Average)")
    with pytest.raises(ArgumentError, match="arithmetic"):
        netx.compare(model, file, spikes(2, 2, 8, 8, 30), arithmetic="idael")
