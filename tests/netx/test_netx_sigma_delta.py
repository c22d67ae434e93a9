"""Networks of sigma-delta blocks as network files: exported, compared message by message, rebuilt, refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import Sequential

from slayerloss import ArgumentError, FormatError, netx
from slayerloss.block import sigma_delta
from slayerloss.netx.source import keep_whole
from slayerloss.neuron.norm import MeanOnlyBatchNorm

PARAMS = {"threshold": 0.1, "activation": torch.relu}
NORM = {**PARAMS, "norm": MeanOnlyBatchNorm}


def network(params=PARAMS, shift: bool = True) -> Sequential:
    """Of every layer that Lava has."""
    torch.manual_seed(0)
    model = Sequential(
        sigma_delta.Input(PARAMS),
        sigma_delta.Conv(params, 2, 4, 3, weight_scale=2, delay_shift=shift),
        sigma_delta.Flatten(),
        sigma_delta.Dense(params, 4 * 6 * 8, 12, weight_scale=2, weight_norm=True, delay_shift=shift),
        sigma_delta.Output(PARAMS, 12, 3, weight_scale=2, delay_shift=shift),
    )
    for _ in range(5):
        model(x())  # the norm's mean moves
    return model.eval()


def x(seed: int = 0) -> torch.Tensor:
    """A picture that changes a little, so that some changes are held back."""
    torch.manual_seed(seed)
    return torch.rand(3, 2, 8, 10, 1) + 0.1 * torch.rand(3, 2, 8, 10, 20)


@pytest.mark.parametrize(("params", "shift"), [(PARAMS, True), (PARAMS, False), (NORM, True)])
def test_the_file_sends_what_the_model_sends(tmp_path, params, shift):
    model = network(params, shift)
    assert netx.export(model, tmp_path / "a.net") == []
    comparison = netx.compare(model, tmp_path / "a.net", [x(1), x(2)])
    assert comparison.identical, str(comparison)
    assert not comparison.silent
    rebuilt = netx.to_torch(tmp_path / "a.net")
    assert [type(block) for block in rebuilt] == [type(block) for block in model]
    assert netx.compare(rebuilt, tmp_path / "a.net", x(3)).identical
    netx.export(rebuilt, tmp_path / "b.net")
    assert netx.compare(model, tmp_path / "b.net", x(3)).identical


def test_biases_of_every_form(tmp_path):
    model = network(NORM)
    model[1].neuron.set_bias(torch.randn(4))
    model[3].neuron.set_bias(torch.tensor([0.25]))
    netx.export(model, tmp_path / "a.net")
    assert netx.compare(model, tmp_path / "a.net", x(1)).identical
    model[1].neuron.set_bias(torch.randn(4, 6, 8))  # one a neuron
    netx.export(model, tmp_path / "a.net")
    assert netx.compare(model, tmp_path / "a.net", x(1)).identical


def test_a_first_layer_reads_messages(tmp_path):
    block = sigma_delta.Dense(PARAMS, 10, 5, delay_shift=True)
    messages = (torch.rand(2, 10, 20) * 4096).round() / 4096
    block(messages)
    netx.export(block, tmp_path / "a.net")
    comparison = netx.compare(block, tmp_path / "a.net", messages)
    assert comparison.identical
    assert comparison.input_message_bits == 12


def test_where_the_states_differ(tmp_path):
    model = network()
    netx.export(model, tmp_path / "a.net")
    with torch.no_grad():
        model[1].synapse.weight[0, 0, 0, 0] += 0.25
    comparison = netx.compare(model, tmp_path / "a.net", x(1))
    assert not comparison.identical
    assert {"sigma", "act", "residue", "sent"} <= set(comparison.first_difference.model)


def test_states_are_the_files(tmp_path):
    model = network(NORM)
    netx.export(model, tmp_path / "a.net")
    runtime = netx.Network(tmp_path / "a.net")
    recording = runtime.run(runtime.encode(x(1)), states=True)
    given, layer = x(1), 0
    for block in model:
        if hasattr(block, "neuron"):
            for name, states in block.chip_states(given).items():
                assert (states.numpy() == recording.states[layer][name]).all(), (layer, name)
            layer += 1
        given = block(given).detach()


def test_a_threshold_of_zero_sends_every_change():
    neuron = {"type": "SDNN", "activation": "relu", "vThMant": 0}
    file = netx.describe([{"type": "dense", "shape": [2], "weight": [[2, -4], [6, 8]], "neuron": neuron}])
    model = netx.to_torch(file)
    assert model[0].neuron.v_th_mant == 0
    messages = (torch.rand(2, 2, 20) * 4096).round() / 4096
    assert netx.compare(model, file, messages).identical


def test_what_the_chip_does_otherwise_is_refused(tmp_path):
    def refused(model, match, messages=None):
        model(x() if messages is None else messages)
        with pytest.raises(ArgumentError, match=match):
            netx.export(model, tmp_path / "a.net")

    refused(network(NORM, shift=False), "bias begins a step before its input .* Set delay_shift=True")
    refused(network({**PARAMS, "cum_error": True}), "Train without cum_error")
    refused(network({**PARAMS, "activation": torch.tanh}), "takes the activation 'tanh' for relu.* Train with relu")
    messages = torch.rand(1, 10, 5)
    refused(sigma_delta.Dense({**PARAMS, "scale": 32}, 10, 5), "64 weight LSBs per unit", messages)
    refused(sigma_delta.Dense(PARAMS, 10, 5, delay=True), "delay would be a step longer", messages)


def test_a_bias_can_be_exported_once_the_step_is_there(tmp_path):
    model = network(NORM, shift=False)
    for block in model:
        if hasattr(block, "delay_shift") and not isinstance(block, sigma_delta.Input):
            block.delay_shift = True
    netx.export(model, tmp_path / "a.net")
    assert netx.compare(model, tmp_path / "a.net", x(1)).identical


def test_a_threshold_per_channel_is_refused(tmp_path):
    model = Sequential(sigma_delta.Dense({**PARAMS, "shared_param": False}, 5, 4))
    match = r"layer 0 \(Dense\): a network file has one threshold .* Train with shared_param=True"
    with pytest.raises(ArgumentError, match=match):
        netx.export(model, tmp_path / "a.net", (5,))


def test_files_without_a_block(tmp_path):
    neuron = {"type": "SDNN", "activation": "relu", "vThMant": 4, "sigma_output": True}
    layer = {"type": "dense", "shape": [2], "weight": [[2, -4], [6, 8]], "neuron": neuron}
    with pytest.raises(FormatError, match="bias is of a layer that sends its sums"):
        netx.to_torch(netx.describe([{**layer, "bias": [1, 2]}]))
    with pytest.raises(FormatError, match="activation is no function of torch"):
        netx.to_torch(netx.describe([{**layer, "neuron": {**neuron, "activation": "unheard"}}]))


@pytest.mark.parametrize("name", ["pilotnet_sdnn", "syn_sdnn"])
def test_files_of_lava_dl_send_what_lava_sent(shared, name):
    """Every message of every layer, as Lava was recorded to send it."""
    model = netx.to_torch(shared / "golden" / "netx" / f"{name}.net").eval()
    recorded = np.load(shared / "golden" / "netx" / f"{name}.npz")
    whole = recorded["input"]
    given = torch.from_numpy(np.moveaxis(whole, 0, -1)).double()
    if given.ndim == 4:
        given = given.permute(2, 1, 0, 3)  # Lava has (W, H, C)
    if isinstance(model[0], sigma_delta.Input):
        model[0].pre_hook_fx = keep_whole
        given = given / 64
    else:
        given = given / 4096
    given, layer = given[None], 0
    for block in model:
        given = block(given).detach()
        if hasattr(block, "neuron"):
            sent = (given[0] * block.sent_lsb).numpy()
            sent = np.moveaxis(sent if sent.ndim == 2 else sent.transpose(2, 1, 0, 3), -1, 0)
            np.testing.assert_array_equal(
                sent.reshape(len(whole), -1), recorded[f"L{layer}_spk"].reshape(len(whole), -1)
            )
            layer += 1
    assert f"L{layer}_spk" not in recorded
