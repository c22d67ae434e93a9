"""State dicts of lava-dl's own tutorial networks, loaded as they are and after `slayerloss migrate`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lava_dl_tutorials import INPUTS, answer, build

import slayerloss
from slayerloss import bootstrap, cli

pytestmark = pytest.mark.lava

EACH = pytest.mark.parametrize("name", INPUTS)


@pytest.fixture(scope="module")
def golden(lava_dl, tmp_path_factory):
    """What lava-dl makes of every network."""
    path = tmp_path_factory.mktemp("lava_dl") / "tutorials.pt"
    lava_dl(Path(__file__).with_name("lava_dl_tutorials.py"), path)
    return torch.load(path, weights_only=True)


def assert_loads_and_answers(name, state, expected):
    torch.manual_seed(1000)
    blocks = build(slayerloss, bootstrap, name, delay_shift="lava-dl")
    blocks.load_state_dict(state)
    assert expected.any()
    assert torch.equal(answer(bootstrap, name, blocks.eval()), expected)


@EACH
def test_the_network_loads_and_answers_as_lava_dl(golden, name):
    assert_loads_and_answers(name, golden[name]["state"], golden[name]["answer"])


@EACH
def test_so_does_what_migrate_writes(golden, name, tmp_path, capsys):
    torch.save(golden[name]["state"], tmp_path / "old.pt")
    assert cli.main(["migrate", str(tmp_path / "old.pt"), "-o", str(tmp_path / "new.pt")]) == 0
    assert_loads_and_answers(name, torch.load(tmp_path / "new.pt", weights_only=True), golden[name]["answer"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "of a norm that never ran" in line]
    assert [line.split()[0] for line in lines] == ["9.neuron.norm.running_mean"] * (name == "pilotnet")
