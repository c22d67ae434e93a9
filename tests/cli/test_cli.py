"""The command line: what it prints, and what it says when it is called wrongly."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import yaml
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import cli, train

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    return write_recipe_file(folder / "recipe.yaml", tiny_recipe(write_recordings(folder / "data")))


@pytest.fixture(scope="module")
def run_folder(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["fit", "--config", str(recipe_file), "--out", str(folder), "--trainer.max_epochs", "2"]) == 0
    return folder


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The one line that a wrong call prints."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("slayerloss")
    return printed.err


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = "import sys; from slayerloss import cli; cli.main(['--help']); print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(f"\n  {name} " in printed for name in ("fit", "test", "plot", "export", "inspect", "data", "demo"))
    assert printed.endswith("False\n")


@pytest.mark.parametrize("command", ["test", "plot", "export", "inspect", "data", "demo", "fit"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"slayerloss {command}" in capsys.readouterr().out


def test_a_run_holds_what_it_should(run_folder: Path) -> None:
    names = {path.name for path in run_folder.iterdir()}
    assert names >= {"recipe.yaml", "versions.json", "metrics.csv", "checkpoints"}
    assert json.loads((run_folder / "versions.json").read_text())["run_format"] == 1
    recipe = train.read_recipe(run_folder / "recipe.yaml")
    assert recipe.network.input_shape == [2, 34, 34]
    assert recipe.trainer.max_epochs == 2


def test_test_plot_export_inspect(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["test", str(run_folder)]) == 0
    assert "test_accuracy" in capsys.readouterr().out
    assert "confusion" in json.loads((run_folder / "test.json").read_text())
    assert cli.main(["plot", str(run_folder), "-o", str(tmp_path / "plots")]) == 0
    assert (tmp_path / "plots" / "report.html").is_file()
    assert (tmp_path / "plots" / "learning.svg").is_file()
    file = tmp_path / "network.net"
    assert cli.main(["export", str(run_folder), "-o", str(file), "--check"]) == 0
    printed = capsys.readouterr().out
    assert "0 predictions differ" in printed
    assert "SILENT" not in printed
    assert cli.main(["inspect", str(file)]) == 0
    assert "conv 5x5" in capsys.readouterr().out


def test_a_file_that_does_something_else_is_found_out(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from slayerloss.cli import export

    run, file = train.Run.open(run_folder), tmp_path / "network.net"
    export.write(run, file)
    assert export.report(export.check(run, file)) == 0
    with h5py.File(file, "r+") as handle:
        weight = handle["layer/3/weight"]
        weight[0, 0] += 2
    assert export.report(export.check(run, file)) == 1
    assert "does not do what the trained network does" in capsys.readouterr().out


def test_fit_goes_on_with_a_run(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    assert cli.main(["fit", "--resume", str(tmp_path / "run"), "--data.workers", "1"]) == 0
    assert (tmp_path / "run" / "metrics.csv").read_text().count("\n") == 3
    assert train.read_recipe(tmp_path / "run" / "recipe.yaml").data.workers == 1
    assert "seed is not what" in refused(capsys, "fit", "--resume", tmp_path / "run", "--seed", 3)


def test_single_values_of_lists_can_be_overridden(recipe_file: Path) -> None:
    options = ["--network.layers.1.weight_norm=false", "--data.augment.0.max_pixels", "1", "--optimizer.lr=1e-2"]
    recipe = train.read_recipe(recipe_file, [*options, "--network.layers.0.neuron.dropout", "2e-1"])
    assert recipe.network.layers[1]["weight_norm"] is False
    assert recipe.data.augment == [{"type": "Shift", "max_pixels": 1}]
    assert recipe.optimizer == {"type": "Adam", "lr": 0.01}
    assert recipe.network.layers[0]["neuron"]["dropout"] == 0.2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fti"], "Did you mean 'fit'"),
        (["fit"], "--config is missing"),
        (["fit", "--config", "nothing.yaml"], "no such recipe"),
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
        (["fit", "--config", "RECIPE", "--loss.true_rate=3"], "true_rate is out of range"),
        (["fit", "--config", "RECIPE", "--optimizer.type=Adamm"], "Did you mean 'Adam'"),
        (["fit", "--config", "RECIPE", "--optimizer.lr=-1"], "Invalid learning rate"),
        (["fit", "--config", "RECIPE", "--schedule.type=cosin"], "Did you mean 'cosine'"),
        (["fit", "--config", "RECIPE", "--monitor=valid_los"], "Did you mean 'valid_loss'"),
        (["fit", "--config", "RECIPE", "--trainer.strategy=nothing"], "trainer does not fit"),
        (["fit", "--config", "RECIPE", "--data.root=EMPTY"], "holds no recordings"),
        (["fit", "--config", "RECIPE", "--data.root=null"], "data.root is missing"),
        (["fit", "--config", "RECIPE", "--out=/dev/null/run"], "/dev/null/run"),
        (["fit", "--config", "RECIPE", "--out=RUN"], "holds a run"),
        (["fit", "--config", "RECIPE", "--out=RUN", "--resume=RUN"], "--out does not go with --resume"),
        (["fit", "--resume", "EMPTY"], "is no run"),
        (["test"], "required: RUN"),
        (["test", "EMPTY"], "is no run"),
        (["export", "RUN", "-o", "/dev/null/network.net"], "/dev/null/network.net"),
        (["plot", "RUN", "--checkpoint=first"], "invalid choice: 'first'"),
        (["fit", "--config", "RECIPE", "--out=RECIPE"], "recipe.yaml' cannot be a folder"),
        (["fit", "--config", "RECIPE", "--out=RECIPE/run"], "recipe.yaml/run' cannot be a folder"),
        (["fit", "--config", "RECIPE", "--seed=-1"], "seed is out of range"),
        (["fit", "--config", "EMPTY"], "Is a directory"),
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
        (["data"], "required: action, DIR"),
        (["data", "chek", "EMPTY"], "invalid choice: 'chek'"),
        (["demo", "--quik"], "--quik"),
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
    path.write_text("data: {type")
    assert "is no YAML" in refused(capsys, "fit", "--config", path)
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


def test_data_check(recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = recipe_file.parent / "data"
    shutil.copytree(root, tmp_path / "data")
    cli.main(["data", "check", str(tmp_path / "data")])
    assert "error" not in capsys.readouterr().out
    (tmp_path / "data" / "Train" / "0" / "00000.bin").write_bytes(b"1234567")
    assert cli.main(["data", "check", str(tmp_path / "data")]) == 1
    assert "truncated" in capsys.readouterr().out


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


def test_the_shipped_recipe_is_the_one_of_the_datasets_folder() -> None:
    shipped, shown = train.read_recipe("digits"), train.read_recipe(ROOT / "datasets" / "digits" / "recipe.yaml")
    assert shipped == shown


@pytest.mark.parametrize("path", sorted((ROOT / "datasets").glob("*/*.yaml")), ids=lambda path: path.parent.name)
def test_every_recipe_builds_its_network(path: Path) -> None:
    from slayerloss.train.build import build

    recipe = train.read_recipe(path)
    recipe.network.input_shape = [200] if recipe.data.type == "Oxford" else [2, 34, 34]
    assert sum(parameter.numel() for parameter in build(recipe).parameters()) > 10_000


def test_the_quick_demo(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["demo", "--quick", "--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    assert "0 predictions differ" in printed
    assert "SILENT" not in printed
    for name in ("recipe.yaml", "checkpoints/best.ckpt", "plots/report.html", "network.net", "test.json"):
        assert (tmp_path / "demo" / name).is_file(), name
    assert json.loads((tmp_path / "demo" / "test.json").read_text())["test_accuracy"] > 0.6


def test_the_demo_says_so_when_a_spike_differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from slayerloss import netx
    from slayerloss.cli import demo, plot

    def tampered(*arguments: object, **options: object) -> list:
        findings = original(*arguments, **options)
        with h5py.File(arguments[1], "r+") as handle:
            handle["layer/3/neuron/vThMant"][()] += 1
        return findings

    original = netx.export
    monkeypatch.setattr(netx, "export", tampered)
    monkeypatch.setattr(plot, "draw", lambda *arguments: tmp_path)
    monkeypatch.setattr(demo, "_QUICK", ("--trainer.max_epochs=1", "--data.limit=100"))
    assert cli.main(["demo", "--quick", "--out", str(tmp_path / "demo")]) == 1


def test_an_interrupted_demo_says_what_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from slayerloss.cli import demo, plot

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_QUICK", ("--trainer.max_epochs=2", "--data.limit=50"))
    call, out = ["demo", "--quick", "--out", str(tmp_path / "demo")], tmp_path / "demo"
    with monkeypatch.context() as patched:
        patched.setattr(train.EventData, "train_dataloader", interrupt)
        assert cli.main(call) == 130
    assert f"interrupted before an epoch was complete: there is nothing to go on from in {out}" in last_line(capsys)
    with monkeypatch.context() as patched:
        patched.setattr(train.EventData, "test_dataloader", interrupt)
        assert cli.main(call) == 130
    assert f"interrupted; slayerloss fit --resume {out} goes on from the last complete epoch" in last_line(capsys)
    shutil.rmtree(out)
    monkeypatch.setattr(plot, "draw", interrupt)
    assert cli.main(call) == 130
    assert f"the training is complete: slayerloss plot {out} and slayerloss export {out}" in last_line(capsys)


def last_line(capsys: pytest.CaptureFixture) -> str:
    return capsys.readouterr().out.splitlines()[-1]


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


def test_the_star_of_the_epochs_is_explained(recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=true"]
    assert cli.main(["fit", "--config", str(recipe_file), "--out", str(tmp_path / "run"), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("(* the best valid_accuracy so far, kept in best.ckpt)") == 1
    (epoch,) = [line for line in lines if line.startswith("epoch")]
    assert epoch.endswith(" s *")


def test_a_terminal_shows_how_far_an_epoch_is(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="the system has no pseudo-terminals")
    import termios

    from slayerloss.train import callbacks

    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    options = ["--trainer.max_epochs=2", "--trainer.enable_progress_bar=true"]
    monkeypatch.setattr(callbacks, "tqdm", functools.partial(callbacks.tqdm, mininterval=0))  # it draws every batch
    with open(reader, "rb", buffering=0) as screen, open(terminal, "w") as stderr:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stderr)
            assert cli.main(["fit", "--config", str(recipe_file), "--out", str(tmp_path / "run"), *options]) == 0
        stderr.flush()
        shown = screen.read(100_000).decode()
    assert "epoch 1/2:   0%|" in shown
    assert re.findall(r"epoch (.)/2: [^\r]*\| ([1-3])/3 \[[^\r]*batch", shown) == [(e, n) for e in "12" for n in "123"]
    assert not shown.split("\r")[-1].strip()  # the bar of a finished epoch is wiped away


@pytest.mark.parametrize(
    ("decision", "window"), [("{type: Rate}", None), ("{type: MovingWindow, time_window: 4, start: seen}", 4)]
)
def test_plot_decides_as_the_recipe_says(recipe_file: Path, tmp_path: Path, decision: str, window: int | None) -> None:
    from slayerloss.cli.plot import evaluate
    from slayerloss.train.build import build_decision

    layers = (
        "[{type: Flatten, name: flat}, {type: Dense, out_neurons: 8, name: flatten}, {type: Dense, out_neurons: 3}]"
    )
    options = [f"--decision={decision}", "--trainer.max_epochs=1", f"--network.layers={layers}"]
    run = train.fit(train.read_recipe(recipe_file, options), tmp_path / "run")
    evaluation = evaluate(run)
    assert evaluation.window == window
    assert evaluation.samples
    decide, network, recordings = build_decision(run.recipe), run.network(), run.data().test
    for sample in evaluation.samples:
        assert list(sample.hidden) == ["flatten"]  # the spiking layers, whatever their names
        decided = decide(network(recordings[int(sample.name)][0][None])).flatten().tolist()
        assert sample.prediction == max(set(decided), key=lambda c: (decided.count(c), -c))


def test_plot_asks_the_decision_of_the_recipe() -> None:
    import torch

    from slayerloss import block
    from slayerloss.cli.plot import samples

    neuron = {"threshold": 1, "current_decay": 1, "voltage_decay": 0}
    network = train.Network({"input": block.cuba.Input(neuron), "output": block.cuba.Input(neuron)})
    recordings = [(torch.zeros(3, 5), label) for label in range(3)]
    (drawn,) = [s for s in samples(network, recordings, lambda spikes: torch.tensor([2])) if s.prediction == s.label]
    assert drawn.name == "2"  # the rate of silence would have chosen class 0
    per_step = list(samples(network, recordings, lambda spikes: torch.tensor([[0, 1, 1, 2, 1]])))
    assert {sample.prediction for sample in per_step} == {1}
