"""`slayerloss migrate`: what becomes of every key, and what is refused.

lava-dl's own files: block/test_lava_dl_states.py.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from slayerloss import cli
from slayerloss.block import cuba
from slayerloss.neuron.cuba import Neuron

PARAMS = {"threshold": 1.25, "current_decay": 0.5, "voltage_decay": 0.5}


def saved_by_lava_dl() -> dict[str, torch.Tensor]:
    """The state dict of a Recurrent and a Dense of lava-dl."""
    return {
        "0.spike_state": torch.ones(32, 3),
        "0.neuron.current_decay": torch.tensor([1024.0]),
        "0.neuron.voltage_decay": torch.tensor([122.88]),
        "0.input_synapse.weight": torch.randn(3, 4, 1, 1, 1),
        "0.recurrent_synapse.weight": torch.randn(3, 3, 1, 1, 1),
        "1.neuron.current_decay": torch.tensor([0.0, 4096.0]),
        "1.neuron.voltage_decay": torch.tensor([0.0, 0.0]),
        "1.synapse.weight_g": torch.ones(2, 1, 1, 1, 1),
        "1.synapse.weight_v": torch.randn(2, 3, 1, 1, 1),
    }


def network() -> torch.nn.Sequential:
    each = {**PARAMS, "shared_param": False}
    return torch.nn.Sequential(cuba.Recurrent(PARAMS, 4, 3), cuba.Dense(each, 3, 2, weight_norm=True))


def migrated(tmp_path: Path, checkpoint: Any) -> OrderedDict[str, torch.Tensor]:
    torch.save(checkpoint, tmp_path / "old.pt")
    assert cli.main(["migrate", str(tmp_path / "old.pt"), "-o", str(tmp_path / "new.pt")]) == 0
    return torch.load(tmp_path / "new.pt", weights_only=True)


def refused(tmp_path: Path, capsys: pytest.CaptureFixture, checkpoint: Any) -> str:
    """The one line that is printed; nothing is written."""
    torch.save(checkpoint, tmp_path / "old.pt")
    assert cli.main(["migrate", str(tmp_path / "old.pt"), "-o", str(tmp_path / "new.pt")]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["old.pt"]
    return printed


def test_every_key_has_its_line_and_the_network_loads(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    saved = saved_by_lava_dl()
    state = migrated(tmp_path, saved)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:10]] == list(saved)
    assert saved.keys() - state.keys() == {"0.spike_state"}
    block = network()
    block.load_state_dict(state)
    assert block[0].neuron.cx_current_decay == 1024
    assert block[0].neuron.cx_voltage_decay == 123
    assert block[1].neuron.cx_current_decay.tolist() == [0, 4096]  # which a plain dict leaves open
    assert block[1].neuron.cx_voltage_decay.tolist() == [0, 0]


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    training = {"epoch": 7, "optimizer": {"state": {0: {"step": torch.ones(())}}}, "best": torch.ones(2)}
    migrated(tmp_path, {"net": {"weights": saved_by_lava_dl(), "name": "N-MNIST"}, **training})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'old.pt'}: state dict of lava-dl under net.weights"
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:-1]}
    assert said["0.spike_state"] == "(32, 3) left out of the last batch; a run begins at rest"
    assert said["0.neuron.voltage_decay"] == "(1,) converted 122.88 / 4096 a step"
    assert said["1.neuron.current_decay"] == "(2,) converted 0 to 4096 / 4096 a step"
    assert said["1.synapse.weight_g"] == "(2, 1, 1, 1, 1) kept"
    assert said["epoch"] == "left out not of the network"
    assert said["optimizer"] == "left out of the training of the other parameters"
    assert said["best"] == "(2,) left out not of the network"
    assert said["net.name"] == "left out not of the network"
    assert lines[-2] == "4 converted, 4 kept, 5 left out"
    assert lines[-1] == f"  state dict  {tmp_path / 'new.pt'}"


def test_what_lies_in_a_state_dict_and_is_no_tensor_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    state = migrated(tmp_path, {**saved_by_lava_dl(), "epoch": 3})
    assert "epoch" not in state
    assert "no tensor, but int" in capsys.readouterr().out


def test_other_modules_of_the_network_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    others = {"head.weight": torch.ones(2, 2), "anchors": torch.ones(3)}
    state = migrated(tmp_path, {**saved_by_lava_dl(), **others})
    assert all(torch.equal(state[key], value) for key, value in others.items())
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["anchors"].endswith("kept       not of lava-dl; it loads where the network has it")
    assert lines["head.weight"].endswith("kept")


def test_names_of_a_neuron_are_a_neurons_where_one_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    others = {
        "my.threshold_state": torch.ones(2),
        "decoder.spike_state": torch.ones(3),
        "readout.voltage_decay": torch.tensor([0.03]),
        "table.current_decay": torch.ones(1, 2),
    }
    mine = {"1.neuron.voltage_state": torch.zeros(1), "0.neuron.current_state": torch.ones(4, 3)}
    state = migrated(tmp_path, {**saved_by_lava_dl(), **mine, **others})
    assert all(torch.equal(state[key], value) for key, value in others.items())
    assert not mine.keys() & state.keys()
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    for key in others:
        assert lines[key].endswith("kept       not of lava-dl; it loads where the network has it")


def test_states_of_a_sigma_delta_neuron_are_left_out(tmp_path: Path) -> None:
    saved = {"0.neuron.delta.threshold": torch.tensor([0.1])}
    states = [f"0.neuron.{name}_state" for name in ("sigma.pre", "delta.pre", "delta.residual", "delta.error")]
    assert [*migrated(tmp_path, {**saved, **dict.fromkeys(states, torch.zeros(2))})] == [*saved]


@pytest.mark.parametrize("place", [("net.state",), ("a", "b.c", "optim.d"), (7,), ((1, 2), "e")])
def test_the_state_dict_is_found_under_any_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture, place: tuple[Any, ...]
) -> None:
    checkpoint: Any = saved_by_lava_dl()
    for key in reversed(place):
        checkpoint = {key: checkpoint, "beside": 3}
    network().load_state_dict(migrated(tmp_path, checkpoint))
    printed = capsys.readouterr().out
    assert f"state dict of lava-dl under {'.'.join(map(str, place))}\n" in printed
    assert printed.count("beside ") == len(place)


def test_a_checkpoint_may_contain_itself(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint: dict[str, Any] = {"model": saved_by_lava_dl()}
    checkpoint["itself"] = checkpoint
    network().load_state_dict(migrated(tmp_path, checkpoint))
    assert "itself" in capsys.readouterr().out


def test_keys_that_are_no_text_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    network().load_state_dict(migrated(tmp_path, {**saved_by_lava_dl(), 7: torch.ones(1), (1, 2): 3}))
    printed = capsys.readouterr().out
    assert printed.count("left out   its key is no text") == 2


def test_the_prefix_of_data_parallel_is_taken_away(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    saved = {f"module.{key}": value for key, value in saved_by_lava_dl().items()}
    network().load_state_dict(migrated(tmp_path, saved))
    assert "state dict of lava-dl, without the 'module.' of DataParallel\n" in capsys.readouterr().out


@pytest.mark.parametrize("channels", [None, 2])
def test_what_lava_dl_had_not_drawn_is_drawn_after_migrate(tmp_path: Path, channels: int | None) -> None:
    """lava-dl saves the lowest value of a range before its first run; for one channel it may also have been drawn."""
    ranges = {"threshold": 1.0, "current_decay": (0.1, 0.5), "voltage_decay": (0.2, 0.5), "shared_param": False}
    for saved, is_drawn in ((0.1 * 4096, False), (409.9, True)):
        lowest = {"neuron.current_decay": torch.tensor([saved]), "neuron.voltage_decay": torch.tensor([0.2 * 4096])}
        state = migrated(tmp_path, lowest)
        block = torch.nn.ModuleDict({"neuron": Neuron(**ranges, channels=1 if is_drawn else channels)})
        block.load_state_dict(state)
        block["neuron"](torch.zeros(1, 1 if is_drawn else 2, 3))
        assert (block["neuron"].current_decay.numel() == 1) == is_drawn
        (tmp_path / "new.pt").unlink()


def test_wrong_checkpoints_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    saved = saved_by_lava_dl()
    said = refused(tmp_path, capsys, {"fc.weight": torch.ones(2)})
    assert "holds no neuron of lava-dl; expected keys such as blocks.0.neuron.current_decay, got fc.weight." in said
    assert "got no key" in refused(tmp_path, capsys, {})
    assert "is no checkpoint; expected a state dict, " in refused(tmp_path, capsys, [saved])
    said = refused(tmp_path, capsys, {"model": saved, "average": saved})
    assert "holds several networks; expected one, got model, average. Save the one" in said
    said = refused(tmp_path, capsys, {**saved, "1.neuron.voltage_decay": torch.tensor([9000.0, 1.0])})
    assert said.startswith(
        "slayerloss migrate: 1.neuron.voltage_decay is not a lava-dl decay; expected values in [0, 4096]"
    )
    assert "got [-0.69" in refused(tmp_path, capsys, dict(network().state_dict()))
    said = refused(tmp_path, capsys, {"neuron.sin_decay": torch.ones(1)})
    assert "neuron.sin_decay is only half of a turn; expected neuron.sin_decay and neuron.cos_decay, got" in said
    for value, text in (
        (torch.zeros(0), "has the wrong shape; expected (1,), or (C,) for C channels, got (0,)"),
        (torch.tensor([1j]), "is complex"),
        (torch.tensor([True]), "is no number"),
        (torch.tensor([4100.0]), "is not a lava-dl decay; expected values in [0, 4096], got [4100.0]"),
    ):
        said = refused(tmp_path, capsys, {**saved, "0.neuron.voltage_decay": value})
        assert said.startswith(f"slayerloss migrate: 0.neuron.voltage_decay {text}")
    said = refused(tmp_path, capsys, {"n.sin_decay": torch.ones(2), "n.cos_decay": torch.ones(3)})
    assert said.startswith("slayerloss migrate: n.sin_decay and cos_decay are no turn")
    said = refused(tmp_path, capsys, network().state_dict())
    assert (
        "0.neuron.current_decay is slayerloss's already; expected lava-dl's, got version 2. Load it with load" in said
    )


def test_no_code_of_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    said = refused(tmp_path, capsys, network())
    assert "holds Python objects, whose code is not run" in said
    assert "got torch.nn.modules.container.Sequential. Where lava-dl is installed, save the state dict alone" in said


def test_a_file_is_not_replaced_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "old.pt"
    torch.save(saved_by_lava_dl(), path)
    before = path.read_bytes()
    assert cli.main(["migrate", str(path), "-o", str(path)]) == 2
    assert "would replace the checkpoint itself" in capsys.readouterr().err
    assert path.read_bytes() == before
