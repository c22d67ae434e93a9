"""State dicts of every block and neuron of lava-dl itself, loaded as they are and after `slayerloss migrate`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lava_dl_states import BLOCKS, CASES, build, events

import slayerloss
from slayerloss import cli
from slayerloss.block._migrate import migrate

pytestmark = pytest.mark.lava

EACH = pytest.mark.parametrize(("neuron", "name"), CASES)


@pytest.fixture(scope="module")
def golden(lava_dl, tmp_path_factory):
    """What lava-dl makes of every block."""
    path = tmp_path_factory.mktemp("lava_dl") / "states.pt"
    lava_dl(Path(__file__).with_name("lava_dl_states.py"), path)
    return torch.load(path, weights_only=True)


def loaded(neuron, name, state):
    """A fresh block that never ran, with lava-dl's state and its place of the delays."""
    torch.manual_seed(1000)
    network = build(slayerloss, neuron, name, delay_shift="lava-dl")
    network.load_state_dict(state)
    return network.eval()


def answer_of(network, name):
    """The block's output, of a complex readout as one tensor; our complex input blocks take a pair."""
    x, block = events(name, 3), network[0]
    pair = BLOCKS[name][1] == "Input" and block.neuron.is_complex
    answer = network((x, x.flip(0)) if pair else x)
    return torch.stack(answer) if isinstance(answer, tuple) else answer


def assert_answers_as_lava_dl(network, name, result):
    answer, expected = answer_of(network, name), result.get("answer")
    if expected is not None:  # of blocks that fail in lava-dl there is none
        assert expected.any()
        assert torch.equal(answer, expected.reshape(answer.shape))


@EACH
def test_a_fresh_block_loads_and_answers_as_lava_dl(golden, neuron, name):
    result = golden[f"{neuron} {name}"]
    network = loaded(neuron, name, result["state"])
    plain = loaded(neuron, name, dict(result["state"])).state_dict()  # without the versions that torch keeps in it
    assert all(torch.equal(value, plain[key]) for key, value in network.state_dict().items())
    assert_answers_as_lava_dl(network, name, result)


@EACH
def test_what_migrate_writes_loads_and_answers_as_lava_dl(golden, neuron, name, tmp_path, capsys):
    result = golden[f"{neuron} {name}"]
    torch.save({"epoch": 3, "model_state_dict": result["state"]}, tmp_path / "trained.pt")
    assert cli.main(["migrate", str(tmp_path / "trained.pt"), "-o", str(tmp_path / "new.pt")]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {key} " in printed for key in ["epoch", *result["state"]])
    assert "not of lava-dl" not in printed
    migrated = torch.load(tmp_path / "new.pt", weights_only=True)
    network = loaded(neuron, name, migrated)
    assert_answers_as_lava_dl(network, name, result)
    assert set(network.state_dict()) == set(migrated)  # nothing but our own names
    assert_answers_as_lava_dl(loaded(neuron, name, network.state_dict()), name, result)


@EACH
def test_the_state_of_a_network_that_never_ran_loads(golden, neuron, name):
    """lava-dl draws delays and parameters per channel at the first run, and saves a placeholder before."""
    result = golden[f"{neuron} {name}"]
    network = loaded(neuron, name, result["fresh"])
    assert torch.equal(answer_of(network, name), answer_of(network, name))  # nothing is drawn twice
    migrated = loaded(neuron, name, migrate(result["fresh"]).state)
    answer_of(migrated, name)  # draws as many
    assert [value.shape for value in migrated.state_dict().values()] == [
        value.shape for value in network.state_dict().values()
    ]
