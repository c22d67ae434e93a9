"""What the command line says when it is called wrongly, or finds something damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from tiny_recordings import write_recipe_file

from slayerloss import cli


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The one line that a wrong call prints."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("slayerloss")
    return printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fti"], "Did you mean 'fit'"),
        (["fit"], "--config is missing"),
        (["fit", "--config", "nothing.yaml"], "no such recipe"),
        (["fit", "--config", "cifar"], "the package brings: digits, nmnist, nmnist_tutorial, oxford, got 'cifar'."),
        (["fit", "--config", "RECIPE", "--trainr.max_epochs=3"], "Did you mean 'trainer'"),
        (["fit", "--config", "RECIPE", "--data.batchsize", "3"], "Did you mean 'batch_size'"),
        (["fit", "--config", "RECIPE", "--data.batch_size", "many"], "expected int, got many"),
        (["fit", "--config", "RECIPE", "--data.num_steps", "many"], "expected int | None, got many"),
        (["fit", "--config", "RECIPE", "--network.layers.9.out_neurons=3"], "expected an index below 2"),
        (["fit", "--config", "RECIPE", "--network.layers.1.out_neuron=3"], "Did you mean 'out_neurons'"),
        (["fit", "--config", "RECIPE", "--network.layers.1.type=Dens"], "Did you mean 'Dense'"),
        (["fit", "--config", "RECIPE", "--network.layers.1.out_neurons=2"], "too few outputs"),
        (["fit", "--config", "RECIPE", "--network.layers.1.in_neurons=7"], "layer dense2"),
        (["fit", "--config", "RECIPE", "--network.neuron.treshold=1"], "Did you mean 'threshold'"),
        (["fit", "--config", "RECIPE", "--loss.type=SpikeRat"], "Did you mean 'SpikeRate'"),
        (["fit", "--config", "RECIPE", "--data.type=nmnist"], "Did you mean 'NMNIST'"),
        (["fit", "--config", "RECIPE", "--loss.true_rate=3"], "true_rate is out of range"),
        (["fit", "--config", "RECIPE", "--optimizer.type=Adamm"], "Did you mean 'Adam'"),
        (["fit", "--config", "RECIPE", "--optimizer.lr=-1"], "Invalid learning rate"),
        (["fit", "--config", "RECIPE", "--schedule.type=cosin"], "fit: schedule: type is unknown; "),
        (["fit", "--config", "RECIPE", "--schedule.type=cosin"], "Did you mean 'cosine'"),
        (["fit", "--config", "RECIPE", "--monitor=valid_los"], "Did you mean 'valid_loss'"),
        (["fit", "--config", "RECIPE", "--trainer.strategy=nothing"], "trainer does not fit"),
        (["fit", "--config", "RECIPE", "--data.root=EMPTY"], "holds no recordings"),
        (["fit", "--config", "RECIPE", "--data.root=null"], "data.root is missing"),
        (["fit", "--config", "RECIPE", "--out=/dev/null/run"], "/dev/null/run"),
        (["fit", "--config", "RECIPE", "--out=RUN"], "holds a run"),
        (["fit", "--config", "RECIPE", "--out=RUN", "--resume=RUN"], "--out does not go with --resume"),
        (["fit", "--config", "RECIPE", "--resume=RUN"], "--config does not go with --resume"),
        (["fit", "--resume", "EMPTY"], "is no run"),
        (["test"], "required: RUN"),
        (["test", "EMPTY"], "is no run"),
        (["export", "RUN", "-o", "/dev/null/network.net"], "/dev/null/network.net"),
        (["plot", "RUN", "--checkpoint=first"], "invalid choice: 'first'"),
        (["fit", "--config", "RECIPE", "--out=RECIPE"], "recipe.yaml' cannot be a folder"),
        (["fit", "--config", "RECIPE", "--out=RECIPE/run"], "recipe.yaml/run' cannot be a folder"),
        (["fit", "--config", "RECIPE", "--seed=-1"], "seed is out of range"),
        (["fit", "--config", "EMPTY"], "empty' is a folder; expected a file"),
        (["fit", "digits"], "unrecognized arguments: digits. A recipe is given as --config RECIPE; "),
        (["fit", "--config", "RECIPE", "--data.limit=1"], "nothing is left to train with"),
        (["fit", "--config", "digits", "--data.root=EMPTY"], "data.root is not used; expected none: Digits takes no"),
        (["fit", "--config", "GARBAGE"], "is no text"),
        (["fit", "--config", "BLANK"], "there are no layers"),
        (["fit", "--config", "RECIPE", "--out"], "expected one argument"),
        (["fit", "--config", "RECIPE", "--seed"], "--seed has no value"),
        (["fit", "--config", "RECIPE", "--trainer=foo"], "trainer is no table"),
        (["fit", "--resume", "GARBAGE"], "is no run"),
        (["demo", "--out=RECIPE"], "recipe.yaml' cannot be a folder"),
        (["plot", "RUN", "-o", "RECIPE"], "recipe.yaml' cannot be a folder"),
        (["plot", "RUN", "-o", "RECIPE/plots"], "recipe.yaml/plots' cannot be a folder"),
        (["plot", "GARBAGE"], "is no run"),
        (["export", "RUN", "-o", "RECIPE/network.net"], "got a file"),
        (["export", "RUN", "-o", "EMPTY"], "is a folder; expected a file"),
        (["export", "RUN", "-o", "EMPTY/"], "is a folder; expected a file"),
        (["export", "RUN", "-o", "nothing/network.net"], "Make it first: mkdir -p nothing"),
        (["export"], "required: RUN"),
        (["export", "nothing"], "'nothing' is no run"),
        (["test", "RUN", "--root", "nothing"], "holds no recordings"),
        (["test", "RUN", "RUN"], "unrecognized arguments"),
        (["inspect"], "required: FILE"),
        (["inspect", "none.net"], "there is no file 'none.net'"),
        (["inspect", "EMPTY"], "is a folder"),
        (["inspect", "BLANK"], "is not HDF5"),
        (["inspect", "GARBAGE"], "is not HDF5"),
        (["inspect", "RECIPE"], "HDF5"),
        (["check"], "required: FILE"),
        (["check", "none.net"], "there is no file 'none.net'"),
        (["check", "EMPTY"], "is a folder"),
        (["check", "GARBAGE"], "is not HDF5"),
        (["check", "GARBAGE", "--jsn"], "Did you mean '--json'?"),
        (["export", "RUN", "-o", "new.net", "--check", "--root", "nothing"], "holds no recordings"),
        (["data"], "required: action, DIR"),
        (["data", "chek", "EMPTY"], "invalid choice: 'chek'"),
        (["data", "chek", "EMPTY"], "Did you mean 'check'?"),
        (["migrate"], "required: CHECKPOINT, -o/--output"),
        (["migrate", "GARBAGE"], "required: -o/--output"),
        (["migrate", "none.pt", "-o", "new.pt"], "there is no file 'none.pt'"),
        (["migrate", "EMPTY", "-o", "new.pt"], "is a folder"),
        (["migrate", "GARBAGE", "-o", "new.pt"], "garbage' is no checkpoint; expected a state dict, or a dictionary"),
        (["migrate", "BLANK", "-o", "new.pt"], "got 0 bytes that torch cannot read"),
        (["migrate", "RECIPE", "-o", "new.pt"], "is no checkpoint"),
        (["migrate", "GARBAGE", "-o", "EMPTY"], "is a folder; expected a file"),
        (["migrate", "GARBAGE", "-o", "nothing/new.pt"], "Make it first: mkdir -p nothing"),
        (["demo", "--quik"], "unrecognized arguments: --quik. Did you mean '--quick'?"),
        (["test", "RUN", "--chekpoint=last"], "Did you mean '--checkpoint'?"),
    ],
)
def test_wrong_calls_get_one_clear_line(
    arguments: list[str],
    said: str,
    recipe_file: Path,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank").touch()
    (tmp_path / "garbage").write_bytes(bytes(range(255, 0, -1)) * 10)
    spoilt = {name: tmp_path / name.lower() for name in ("EMPTY", "BLANK", "GARBAGE")}
    places = {"RECIPE": recipe_file, "RUN": run_folder, **spoilt}
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    capsys.readouterr()
    assert said in refused(capsys, *arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blank", "empty", "garbage"]  # nothing half-written


def test_a_typo_in_a_recipe_is_named(tmp_path: Path, recipe_file: Path, capsys: pytest.CaptureFixture) -> None:
    recipe = yaml.safe_load(recipe_file.read_text())
    recipe["data"]["batchsize"] = 3
    path = write_recipe_file(tmp_path / "recipe.yaml", recipe)
    assert "key 'data.batchsize' is unknown" in refused(capsys, "fit", "--config", path)
    path.write_text("seed: 3\ndata: {type: Digits\nloss: {}\n")
    said = refused(capsys, "fit", "--config", path)
    assert said.endswith("recipe.yaml' is no YAML; expected key: value, got 'loss: {}' in line 3.\n")
    path.write_text("seed: 3\nloss: '\x07'\n")
    assert "got \"loss: '\\x07'\" in line 2." in refused(capsys, "fit", "--config", path)
    path.write_text("seed: [1, \n\n")
    assert "got 'seed: [1,' in line 1." in refused(capsys, "fit", "--config", path)
    path.write_text("- data")
    assert "is no table" in refused(capsys, "fit", "--config", path)


def test_an_unknown_run_format_is_refused_by_name(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run" / "versions.json").write_text('{"run_format": 2}')
    assert "unknown run_format; expected 1, got 2" in refused(capsys, "test", tmp_path / "run")
    (tmp_path / "run" / "versions.json").write_text("{}")
    assert "does not say the format" in refused(capsys, "test", tmp_path / "run")


def test_a_damaged_or_missing_checkpoint_is_named(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:1000])
    assert "best.ckpt' is damaged" in refused(capsys, "test", tmp_path / "run")
    best.unlink()
    assert "has no best checkpoint" in refused(capsys, "test", tmp_path / "run")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_recording_is_named(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture, workers: int
) -> None:
    root = shutil.copytree(recipe_file.parent / "data", tmp_path / "data")
    for path in (root / "Train" / "1").iterdir():
        path.write_bytes(path.read_bytes()[:11])
    fit = ["fit", "--config", recipe_file, "--out", tmp_path / "run", "--data.root", root, "--data.workers", workers]
    said = refused(capsys, *fit)
    assert said.endswith(".bin' is truncated; expected 5 bytes for each event, got 11 bytes.\n")


@pytest.mark.parametrize("command", ["test", "plot", "export"])
def test_a_folder_in_the_place_of_a_file_is_named(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, command: str
) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    name = {"test": "test.json", "plot": "plots/report.html", "export": "network.net"}[command]
    (run / name).unlink(missing_ok=True)
    (run / name).mkdir(parents=True)
    assert name in refused(capsys, command, run)
    assert not list(run.rglob("*.tmp"))


def test_more_classes_than_the_network_has_are_refused(
    run_folder: Path, recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = shutil.copytree(recipe_file.parent / "data", tmp_path / "data")
    shutil.copytree(data / "Test" / "2", data / "Test" / "3")
    said = "network has too few outputs; expected at least 4, one for each class of the {} recordings, got 3"
    for command in ("test", "plot"):
        assert said.format("test") in refused(capsys, command, run_folder, "--root", data)
    fit = ["fit", "--config", recipe_file, "--out", tmp_path / "run", "--data.root", data]
    assert said.format("test") in refused(capsys, *fit, "--test")
    assert said.format("test") in refused(capsys, *fit, "--test", "--data.limit=12")
    shutil.copytree(data / "Train" / "2", data / "Train" / "3")
    assert said.format("training") in refused(capsys, *fit)
    assert said.format("training") in refused(capsys, "test", run_folder, "--root", data)
    assert not (tmp_path / "run").exists()
