"""What `load_state_dict` says of the state dict of another network: shapes of keys, and the neuron they look like."""

from __future__ import annotations

import pickle

import pytest
import torch

import slayerloss
from slayerloss.functional._keys import neuron_with

CUBA = {"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.5}
ADAPTS = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.1}
RF = {"threshold": 1, "period": 9, "decay": 0.1}
KINDS = {
    "cuba": ("CUBA", CUBA),
    "alif": ("ALIF", {**CUBA, **ADAPTS}),
    "rf": ("RF or RF_IZ", RF),
    "rf_iz": ("RF or RF_IZ", RF),
    "adrf": ("ADRF or ADRF_IZ", {**RF, **ADAPTS}),
    "adrf_iz": ("ADRF or ADRF_IZ", {**RF, **ADAPTS}),
    "sigma_delta": ("sigma-delta", {"threshold": 0.1, "activation": torch.relu}),
}


def dense(neuron: str, inputs: int = 4, outputs: int = 3) -> torch.nn.Sequential:
    """A network of one block."""
    return torch.nn.Sequential(getattr(slayerloss.block, neuron).Dense(KINDS[neuron][1], inputs, outputs))


def refused(network: torch.nn.Module, state: dict) -> list[str]:
    """The lines of the error."""
    with pytest.raises(RuntimeError, match="in loading state_dict") as caught:
        network.load_state_dict(state)
    return [line.strip() for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("neuron", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_keys_say_their_shape_and_the_neuron_they_look_like(neuron, other):
    network, state = dense(neuron), dense(other).state_dict()
    wanted, got = KINDS[neuron][0], KINDS[other][0]
    if wanted == got:
        network.load_state_dict(state)
        return
    said = refused(network, state)
    own = network.state_dict()
    for keys, others, kind in ((own, state, wanted), (state, own, got)):
        for key in keys.keys() - others.keys() - {"0.neuron.delta.threshold"}:
            note = f" of {kind}" if key.startswith("0.neuron.") else ""
            assert any(f'"{key} {tuple(keys[key].shape)}{note}"' in line for line in said)


def test_a_neuron_alone_says_so_too():
    said = refused(dense("cuba")[0].neuron, dense("rf")[0].neuron.state_dict())
    assert said[1] == 'Missing key(s) in state_dict: "current_decay (1,) of CUBA", "voltage_decay (1,) of CUBA".'
    assert "log_decay (1,) of RF or RF_IZ" in said[2]


def test_lava_dls_names_are_known_too():
    state = {"0.neuron.sin_decay": torch.ones(1), "0.neuron.cos_decay": torch.ones(1), "0.synapse.real.weight": 3}
    said = refused(dense("cuba"), state)
    assert '"0.neuron.sin_decay (1,) of RF or RF_IZ"' in said[2]
    assert '"0.synapse.real.weight ()"' in said[2]


def test_what_is_not_strict_is_not_refused_and_names_the_keys():
    network, state = dense("cuba"), dense("rf").state_dict()
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert set(missing) == set(network.state_dict())
    assert set(unexpected) == set(state)
    assert "0.synapse.weight" in missing
    assert pickle.loads(pickle.dumps(missing)) == missing


def test_other_sizes_are_in_torchs_words_only():
    said = refused(dense("cuba", 4, 3), dense("cuba", 5, 3).state_dict())
    assert len(said) == 2
    assert said[1].startswith("size mismatch for 0.synapse.weight")


def test_names_that_tell_nothing():
    assert neuron_with([]) is None
