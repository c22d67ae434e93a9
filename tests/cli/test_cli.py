"""The command line: what its commands do and print."""

from __future__ import annotations

import dataclasses
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

from slayerloss import cli, train
from slayerloss.train.options import SHIPPED, shipped

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = ("fit", "test", "plot", "export", "verify", "inspect", "check", "simulate", "data", "migrate", "demo")


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = "import sys; from slayerloss import cli; cli.main(['--help']); print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(f"\n  {name} " in printed for name in COMMANDS)
    assert printed.endswith("False\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"slayerloss {command}" in capsys.readouterr().out


def test_the_help_of_fit_lists_what_a_recipe_can_name(capsys: pytest.CaptureFixture) -> None:
    from slayerloss import block
    from slayerloss.data import augment
    from slayerloss.train import build

    with pytest.raises(SystemExit):
        cli.main(["fit", "--help"])
    words = set(re.findall(r"\w+", capsys.readouterr().out))
    assert words >= {"digits", *block.cuba.__all__, *build._DATASETS, *build._LOSSES, *build._DECISIONS}
    assert words >= {name for name, value in vars(augment).items() if dataclasses.is_dataclass(value)}


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
    assert cli.main(["fit", "--resume", str(tmp_path / "run"), "--seed", "3"]) == 2
    assert "seed is not what" in capsys.readouterr().err


def test_single_values_of_lists_can_be_overridden(recipe_file: Path) -> None:
    options = ["--network.layers.1.weight_norm=false", "--data.augment.0.max_pixels", "1", "--optimizer.lr=1e-2"]
    recipe = train.read_recipe(recipe_file, [*options, "--network.layers.0.neuron.dropout", "2e-1"])
    assert recipe.network.layers[1]["weight_norm"] is False
    assert recipe.data.augment == [{"type": "Shift", "max_pixels": 1}]
    assert recipe.optimizer == {"type": "Adam", "lr": 0.01}
    assert recipe.network.layers[0]["neuron"]["dropout"] == 0.2


def test_data_check(recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = recipe_file.parent / "data"
    shutil.copytree(root, tmp_path / "data")
    cli.main(["data", "check", str(tmp_path / "data")])
    assert "error" not in capsys.readouterr().out
    (tmp_path / "data" / "Train" / "0" / "00000.bin").write_bytes(b"1234567")
    assert cli.main(["data", "check", str(tmp_path / "data")]) == 1
    assert "truncated" in capsys.readouterr().out
    assert cli.main(["data", "check", str(recipe_file)]) == 1
    assert "error: " in capsys.readouterr().out


RECIPES = {
    "digits": "digits/recipe",
    "nmnist": "nmnist/convolutional",
    "nmnist_tutorial": "nmnist/tutorial",
    "oxford": "oxford/recipe",
}


@pytest.mark.parametrize("name", shipped())
def test_the_shipped_recipes_are_those_of_the_datasets_folder(name: str) -> None:
    shown = ROOT / "datasets" / f"{RECIPES[name]}.yaml"
    assert (SHIPPED / f"{name}.yaml").read_bytes() == shown.read_bytes()
    assert train.read_recipe(name) == train.read_recipe(shown)


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


def test_what_is_left_is_said_also_where_the_import_of_lightning_was_interrupted(tmp_path: Path) -> None:
    code = "import sys; sys.modules['lightning'] = None; from slayerloss.cli._parser import what_is_left as w"
    code += "; from pathlib import Path; print(w(Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=True)
    assert done.stdout == "interrupted before anything was written\n"


def last_line(capsys: pytest.CaptureFixture) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_recordings_without_an_output_spike_are_counted(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = shutil.copytree(recipe_file.parent / "data", tmp_path / "data")
    for label in ("1", "2"):
        (data / "Test" / label / "00000.bin").write_bytes(b"")
    layers = "[{type: Flatten}, {type: Dense, out_neurons: 3, weight_scale: 3}]"
    options = [
        "--trainer.max_epochs=1",
        f"--network.layers={layers}",
        f"--data.root={data}",
        "--data.eval_batch_size=5",
    ]
    run = train.fit(train.read_recipe(recipe_file, options), tmp_path / "run", test=True)
    assert run.results()["test_recordings"] == 12
    silent = sum(not run.network("best")(events[None]).any() for events, _ in run.data().test)
    assert 2 <= silent < 12
    for results in (run.results(), run.test()):
        assert results["test_silent"] == silent
    assert cli.main(["test", str(run.folder)]) == 0
    assert f"\n{silent} of 12 recordings had no output spike; they count as class 0\n" in capsys.readouterr().out
    run.recipe.data.root = str(recipe_file.parent / "data")
    assert run.test()["test_silent"] == silent - 2


def test_what_export_would_refuse_is_said_before_the_training(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=true"]
    for name, changes, said in (
        ("as it is", [], None),
        (
            "delay",
            ["--network.layers.0.delay=true"],
            "layer conv1 (Conv), delay: Lava ignores the delays of a conv layer",
        ),
        ("affine", ["--network.layers.1={type: Affine, out_neurons: 3}"], "layer affine2 (Affine): Lava has no such"),
    ):
        assert cli.main(["fit", "--config", str(recipe_file), "--out", str(tmp_path / name), *options, *changes]) == 0
        first, *lines = capsys.readouterr().out.splitlines()
        assert first.startswith(
            "conv1" if said is None else f"warning: slayerloss export would refuse this network: {said}"
        )
        assert not any(line.startswith("warning") for line in lines)


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


def test_the_package_is_a_command():
    command = [sys.executable, "-m", "slayerloss", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("slayerloss ")
