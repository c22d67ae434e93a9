"""`slayerloss verify`: what it compares, what it prints, and how it ends."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny_recordings import write_recordings

from slayerloss import cli, io


@pytest.fixture(scope="module")
def network(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported network of the run; not to be changed."""
    file = tmp_path_factory.mktemp("networks") / "network.net"
    assert cli.main(["export", str(run_folder), "-o", str(file)]) == 0
    return file


def verify(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    status = cli.main(["verify", *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def test_a_run_and_its_checkpoint_are_compared(
    run_folder: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    status, said = verify(capsys, run_folder, network)
    assert status == 0
    assert said.startswith(
        f"{network} on the test recordings of the recipe (NMNIST)\n12 samples, 0 predictions differ\n"
    )
    assert said.endswith("spikes, none differs.\n")
    checkpoint = run_folder / "checkpoints" / "best.ckpt"
    assert verify(capsys, checkpoint, network) == (0, said)
    alone = shutil.copy(checkpoint, tmp_path / "mine.ckpt")
    assert verify(capsys, alone, network) == (0, said)
    status, _ = verify(capsys, run_folder, network, "--checkpoint", "last")
    assert (status == 0) == torch.equal(*(weights(run_folder, which) for which in ("best", "last")))
    run = shutil.copytree(run_folder, tmp_path / "run")
    shutil.copy(network, run / "network.net")
    for trained in (run, run / "checkpoints" / "best.ckpt"):
        status, own = verify(capsys, trained)
        assert status == 0
        assert own.splitlines()[1:] == said.splitlines()[1:]


def weights(run: Path, which: str) -> torch.Tensor:
    state = torch.load(run / "checkpoints" / f"{which}.ckpt", weights_only=True)["state_dict"]
    return torch.cat([value.flatten() for name, value in sorted(state.items()) if name.endswith(("weight", "mean"))])


@pytest.mark.parametrize("field", ["layer/1/weight", "layer/1/bias", "layer/3/delay", "layer/3/neuron/vThMant"])
def test_one_changed_value_ends_with_1_and_the_place(
    field: str, run_folder: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    damaged = shutil.copy(network, tmp_path / "damaged.net")
    with h5py.File(damaged, "r+") as handle:
        values = np.atleast_1d(handle[field][()])
        values[0 if field != "layer/1/weight" else (0, 0)] += 12
        handle[field][...] = values.reshape(handle[field].shape)
    status, said = verify(capsys, run_folder, damaged)
    assert status == 1
    layer = {"1": "conv1 (Conv)", "3": "dense2 (Dense)"}[field.split("/")[1]]
    assert f"the first difference: layer/{field.split('/')[1]} {layer}, neuron " in said
    assert f"the file differs from the model in {field}\n" in said
    assert "the file was changed after it was written\n" in said
    assert said.endswith("The file does not do what the trained network does.\n")


def test_recordings_from_elsewhere(
    run_folder: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = write_recordings(tmp_path / "data", per_class=2)
    status, said = verify(capsys, run_folder, network, "--data", root)
    assert (status, said.splitlines()[0]) == (0, f"{network} on the test recordings in '{root}' (NMNIST)")
    assert "6 samples" in said
    assert verify(capsys, run_folder, network, "--root", root) == (0, said)
    some = tmp_path / "some"
    some.mkdir()
    for number, file in enumerate(sorted((root / "Test").glob("*/*.bin"))):
        shutil.copy(file, some / f"{number}.bin")
    status, said = verify(capsys, run_folder, network, "--data", some)
    assert (status, said.splitlines()[0]) == (0, f"{network} on 6 event files of '{some}'")
    assert "6 samples" in said
    status, one = verify(capsys, run_folder, network, "--data", some / "0.bin")
    assert (status, one.splitlines()[0]) == (0, f"{network} on 1 event file of '{some / '0.bin'}'")
    assert "1 samples" in one
    io.write(some / "7.npz", io.Event([1], None, [0], [0.5]))
    status, said = verify(capsys, run_folder, network, "--data", some)
    assert (status, said.count("\n")) == (2, 1)
    assert "'7.npz' does not fit the network; expected events on (2, 34, 34), got others." in said


def test_silence_is_no_proof(run_folder: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "silence").mkdir()
    io.write(tmp_path / "silence" / "0.bin", io.Event([], [], [], []))
    status, said = verify(capsys, run_folder, network, "--data", tmp_path / "silence")
    assert status == 1
    assert "Nothing is shown about" in said
    assert "\n1 recording is empty: 0.bin\n" in said


def test_what_can_never_match_ends_with_1(
    run_folder: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from slayerloss import netx

    neuron = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 40}

    def dense(out: int, inputs: int) -> dict:
        return {"type": "dense", "shape": [out], "weight": np.resize([2.0, -2.0], (out, inputs)), "neuron": neuron}

    for layers, said in (
        ([dense(3, 2312)], "another number of layers with neurons: 1; expected as many as the model, got 2."),
        ([dense(9, 2312), dense(3, 9)], "layer/0 of the file has another shape than the model's conv1 (Conv)"),
        ([dense(9, 200), dense(3, 9)], "the file takes another input than the model; expected (2, 34, 34), got (200,)"),
    ):
        netx.write(tmp_path / "other.net", netx.describe(layers))
        status, printed = verify(capsys, run_folder, tmp_path / "other.net")
        assert status == 1
        assert printed.startswith(f"{tmp_path / 'other.net'} cannot match: ")
        assert said in printed
        assert printed.endswith("\nThe file does not do what the trained network does.\n")
    file = netx.read(network)
    conv = next(layer for layer in file.layers if layer.type == "conv")
    conv.fields["weight"] = conv.fields["weight"][:, :1]
    del file.layers[0]
    netx.write(tmp_path / "other.net", file)
    status, printed = verify(capsys, run_folder, tmp_path / "other.net")
    assert (status, "a conv layer, does not take the model's input" in printed) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: RUN_OR_CHECKPOINT"),
        (["RUN", "nothing.net"], "there is no file 'nothing.net'"),
        (
            ["RUN"],
            "no network file is named; expected NETWORK, got no 'RUN/network.net'. slayerloss export RUN makes one.",
        ),
        (["nothing", "NETWORK"], "'nothing' is no run"),
        (["EMPTY", "NETWORK"], "is no run"),
        (["ALONE"], "no network file is named; expected NETWORK, got a checkpoint outside of a run."),
        (["ALONE", "NETWORK", "--checkpoint", "last"], "--checkpoint does not go with a checkpoint"),
        (
            ["NETWORK", "ALONE"],
            "NETWORK' is a network file; expected a run or a checkpoint, and then the network file, got it first. "
            "slayerloss verify ALONE NETWORK compares it.",
        ),
        (["INSIDE"], "got it alone. slayerloss verify WHOLE INSIDE compares it."),
        (["NETWORK"], "is a network file; expected a run or a checkpoint, and then the network file, got it alone."),
        (["RUN", "ALONE"], "is not HDF5, or is damaged"),
        (
            ["RUN", "NETWORK", "--data", "nowhere"],
            "'nowhere' holds no recordings; expected a folder or an event file, got no such file or folder.",
        ),
        (["RUN", "NETWORK", "--data", "EMPTY"], "holds no recordings; expected Test/CLASS/FILE"),
        (["RUN", "NETWORK", "--checkpoint", "first"], "invalid choice: 'first'"),
        (["RUN", "NETWORK", "--dta", "EMPTY"], "Did you mean '--data'?"),
        (["RUN", "NETWORK", "more"], "unrecognized arguments: more"),
    ],
)
def test_wrong_calls_get_one_clear_line(
    arguments: list[str], said: str, run_folder: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    alone, empty = tmp_path / "alone.ckpt", tmp_path / "empty"
    shutil.copy(run_folder / "checkpoints" / "best.ckpt", alone)
    empty.mkdir()
    whole, inside = tmp_path / "whole", tmp_path / "whole" / "network.net"
    whole.mkdir()
    shutil.copy(run_folder / "recipe.yaml", whole)
    shutil.copy(network, inside)
    places = {"NETWORK": network, "RUN": run_folder, "ALONE": alone, "EMPTY": empty, "WHOLE": whole, "INSIDE": inside}
    for name, path in places.items():
        arguments = [str(path) if argument == name else argument for argument in arguments]
        said = said.replace(f"{name}/", f"{path}/").replace(f"export {name}", f"export {path}")
        said = said.replace(f"{name} compares", f"{path} compares").replace(f"verify {name}", f"verify {path}")
    said = said.replace("NETWORK'", f"{network}'")
    status, printed = verify(capsys, *arguments)
    assert status == 2
    assert printed.count("\n") == 1
    assert printed.startswith("slayerloss verify: ")
    assert said in printed


def test_a_checkpoint_without_its_recipe_is_refused(
    run_folder: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    checkpoint = torch.load(run_folder / "checkpoints" / "best.ckpt", weights_only=True)
    recipe = checkpoint.pop("recipe")
    torch.save(checkpoint, tmp_path / "old.ckpt")
    status, said = verify(capsys, tmp_path / "old.ckpt", network)
    assert (status, "does not say its recipe; expected recipe, got none. Name its run." in said) == (2, True)
    torch.save({**checkpoint, "recipe": {**recipe, "colour": 3}}, tmp_path / "newer.ckpt")
    status, said = verify(capsys, tmp_path / "newer.ckpt", network)
    assert (status, "not one of this slayerloss" in said) == (2, True)
