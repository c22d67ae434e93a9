"""State dicts of every block and neuron of lava-dl itself, loaded as they are and after `slayerloss migrate`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lava_dl_states import BLOCKS, BROKEN, NEURONS, build, events

import slayerloss
from slayerloss import cli

pytestmark = pytest.mark.lava

CASES = [
    (neuron, name)
    for neuron in NEURONS
    for name, (_, kind, *_) in BLOCKS.items()
    if hasattr(getattr(slayerloss.block, neuron, None), kind)
]
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


def assert_answers_as_lava_dl(network, name, result):
    answer, expected = network(events(name, 3)), result.get("answer")
    if expected is not None:
        answer = torch.stack(answer) if isinstance(answer, tuple) else answer
        assert expected.any()
        assert torch.equal(answer, expected.reshape(answer.shape))


def test_every_block_of_lava_dl_is_here(golden):
    assert set(golden) <= {f"{neuron} {name}" for neuron, name in CASES}


@EACH
@pytest.mark.parametrize("versions", ["with versions", "a plain dict"])
def test_a_fresh_block_loads_and_answers_as_lava_dl(golden, neuron, name, versions):
    result = result_of(golden, neuron, name)
    state = result["state"] if versions == "with versions" else dict(result["state"])
    assert_answers_as_lava_dl(loaded(neuron, name, state), name, result)


@EACH
def test_what_migrate_writes_loads_and_answers_as_lava_dl(golden, neuron, name, tmp_path, capsys):
    result = result_of(golden, neuron, name)
    torch.save({"epoch": 3, "model_state_dict": result["state"]}, tmp_path / "trained.pt")
    assert cli.main(["migrate", str(tmp_path / "trained.pt"), "-o", str(tmp_path / "new.pt")]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {key} " in printed for key in ["epoch", *result["state"]])
    migrated = torch.load(tmp_path / "new.pt", weights_only=True)
    network = loaded(neuron, name, migrated)
    assert_answers_as_lava_dl(network, name, result)
    assert set(network.state_dict()) == set(migrated)  # nothing but our own names
    assert_answers_as_lava_dl(loaded(neuron, name, network.state_dict()), name, result)


@EACH
def test_the_state_of_a_network_that_never_ran_loads(golden, neuron, name):
    """lava-dl draws delays and parameters per channel at the first run, and saves a placeholder before."""
    result = result_of(golden, neuron, name)
    network = loaded(neuron, name, result["fresh"])
    x = events(name, 3)
    y = network(x)
    assert torch.equal(network(x)[0], y[0])


def result_of(golden, neuron, name):
    """lava-dl's part of a block, if it has it."""
    if f"{neuron} {name}" not in golden:
        pytest.skip("lava-dl has no such block, or cannot build it")
    result = golden[f"{neuron} {name}"]
    assert ("answer" not in result) == ((neuron, BLOCKS[name][1]) in BROKEN)
    return result
