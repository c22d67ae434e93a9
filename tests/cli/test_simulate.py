"""`slayerloss simulate`: the numbers it prints are those of the file on the recordings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from netx_layers import conv, dense, entrance, flatten, weights
from tiny_recordings import CLASSES, write_recordings

from slayerloss import cli, io, netx

STEPS, STEP_MS = 10, 10.0


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes with four recordings each, in N-MNIST's layout."""
    return write_recordings(tmp_path_factory.mktemp("recordings") / "data")


def class_weights() -> np.ndarray:
    """(3, 2312): each class looks at the columns where its events are, and there at some pixels only."""
    columns = np.arange(34)
    seen = np.stack([(columns >= 8 * c + 4) & (columns < 8 * c + 12) for c in range(CLASSES)])
    whole = np.broadcast_to(seen[:, None, None], (CLASSES, 2, 34, 34))
    return np.where(whole, 10.0, -8.0).reshape(CLASSES, -1) * (np.random.default_rng(0).random((CLASSES, 2312)) < 0.1)


@pytest.fixture(scope="module")
def net_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "some.net"
    netx.write(path, netx.describe([dense(class_weights())]))
    return path


def simulated(capsys: pytest.CaptureFixture, *arguments: object, status: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(["simulate", *map(str, arguments)]) == status
    return capsys.readouterr().out


def by_hand(folder: Path, steps: int = STEPS, step_ms: float = STEP_MS) -> tuple[np.ndarray, np.ndarray]:
    """All recordings of a folder of classes, binned by a loop over the events, and their labels."""
    files = sorted(folder.glob("*/*.bin"))
    x = np.zeros((len(files), 2, 34, 34, steps), np.int8)
    for sample, file in zip(x, files, strict=True):
        event = io.read(file)
        for c, i, j, t in zip(event.c, event.y, event.x, event.t, strict=True):
            if t < steps * step_ms:
                sample[c, i, j, int(t // step_ms)] = 1
    return x, np.array([int(file.parent.name) for file in files])


def row(printed: str, name: str) -> list[str]:
    """The numbers of a line of the table."""
    line = next(line for line in printed.splitlines() if line.startswith(name))
    return line.removeprefix(name).replace(",", "").split()


def test_prints_what_the_file_does(net_file: Path, recordings: Path, capsys: pytest.CaptureFixture) -> None:
    printed = simulated(capsys, net_file, "--data", recordings, "--steps", STEPS, "--step-ms", STEP_MS)
    x, labels = by_hand(recordings / "Test")
    recording = netx.Network(net_file).run(x)
    counts = recording.output.sum(-1)
    right, silent = int((counts.argmax(1) == labels).sum()), int((counts.sum(1) == 0).sum())
    assert 0 < silent < 12
    assert silent < right < 12
    assert f"on 12 recordings of {recordings / 'Test'}\n10 steps of 10 ms" in printed
    assert f"accuracy {100 * right / 12:.1f} % ({right} of 12 right; 95 % confidence: " in printed
    assert f"{silent} of 12 recordings had no output spike; they count as class 0" in printed
    events = x.reshape(12, -1, STEPS).sum(-1)
    synaptic = (events @ np.count_nonzero(class_weights(), axis=0)).mean()
    assert row(printed, "input")[:2] == ["2312", f"{events.sum(1).mean():.0f}"]
    assert row(printed, "layer/0 dense")[2:] == [f"{counts.mean() / STEPS:.4f}", f"{synaptic:.1f}", "100", "%"]
    assert f"{synaptic:,.0f} x 23.6 pJ" in printed
    assert "IEEE Micro 38(1), 2018, table 2" in printed
    assert "without static power" in printed


def test_without_steps_it_runs_to_the_last_event(
    net_file: Path, recordings: Path, capsys: pytest.CaptureFixture
) -> None:
    last = max(io.read(file).t.max() for file in recordings.glob("Test/*/*.bin"))
    assert f"\n{int(last) + 1} steps of 1 ms" in simulated(capsys, net_file, "--data", recordings)


def test_a_limit_takes_recordings_of_all_classes(
    net_file: Path, recordings: Path, capsys: pytest.CaptureFixture
) -> None:
    binned = ("--steps", STEPS, "--step-ms", STEP_MS)
    printed = simulated(capsys, net_file, "--data", recordings, "--limit", 3, *binned)
    x, labels = by_hand(recordings / "Test")
    right = int((netx.Network(net_file).run(x[::4]).output.sum(-1).argmax(1) == labels[::4]).sum())
    assert f"({right} of 3 right" in printed
    assert "on 12 recordings" in simulated(capsys, net_file, "--data", recordings, "--limit", 99, *binned)


def test_classes_may_have_names(
    net_file: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name, number in (("cat", 0), ("dog", 1), ("eel", 2)):
        shutil.copytree(recordings / "Test" / str(number), tmp_path / "own" / name)
    (tmp_path / "own" / "notes").mkdir()
    (tmp_path / "own" / "README.md").touch()
    binned = ("--steps", STEPS, "--step-ms", STEP_MS)
    named = simulated(capsys, net_file, "--data", tmp_path / "own", *binned).splitlines()
    assert named[1:] == simulated(capsys, net_file, "--data", recordings, *binned).splitlines()[1:]


def test_recordings_without_classes_have_no_accuracy(
    net_file: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    printed = simulated(capsys, net_file, "--data", recordings / "Test" / "1", "--steps", STEPS, "--step-ms", STEP_MS)
    x, labels = by_hand(recordings / "Test")
    counts = netx.Network(net_file).run(x[labels == 1]).output.sum(-1)
    spoke = counts.sum(1) > 0
    often = np.bincount(counts[spoke].argmax(1), minlength=3)
    assert "no accuracy: the recordings do not lie in folders of classes" in printed
    assert f"output with the most spikes: {often.argmax()} in {often.max()}" in printed
    assert f"{int((~spoke).sum())} of 4 recordings had no output spike\n" in printed


def test_a_folder_in_a_folder_is_no_class(
    net_file: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(recordings / "Test" / "1", tmp_path / "data" / "recordings")
    assert "no accuracy: " in simulated(capsys, net_file, "--data", tmp_path / "data", "--steps", STEPS)


def test_a_convolution_says_its_input_or_is_told(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rng = np.random.default_rng(1)
    first = conv(weights(rng, 4, 2, 5, 5), (34, 34), (3, 3))
    layers = [first, flatten(first), dense(weights(rng, 3, int(np.prod(first["shape"]))))]
    netx.write(tmp_path / "told.net", netx.describe(layers))
    netx.write(tmp_path / "said.net", netx.describe([entrance(2, 34, 34), *layers]))
    binned = ("--data", recordings, "--steps", STEPS, "--step-ms", STEP_MS)
    said = simulated(capsys, tmp_path / "said.net", *binned)
    told = simulated(capsys, tmp_path / "told.net", *binned, "--sensor", "2,34,34")
    assert [line for line in told.splitlines() if "accuracy" in line or "x 23.6 pJ" in line] == [
        line for line in said.splitlines() if "accuracy" in line or "x 23.6 pJ" in line
    ]
    x, _ = by_hand(recordings / "Test")
    counts = netx.operations(netx.Network(tmp_path / "said.net"), x)
    assert f"{sum(layer.synaptic.mean() for layer in counts.layers):,.0f} x 23.6 pJ" in said
    assert cli.main(["simulate", str(tmp_path / "told.net"), *map(str, binned)]) == 2
    assert "Give it, such as --sensor 2,34,34" in capsys.readouterr().err


def test_spike_trains_of_neurons(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """As Oxford has them: `output.bs1` is what is wanted, not a recording, and the polarity says nothing."""
    netx.write(tmp_path / "line.net", netx.describe([dense(np.full((4, 8), 30.0))]))
    data = tmp_path / "line"
    data.mkdir()
    io.write(data / "input.bs1", io.Event([0, 7, 7], None, [1, 1, 1], [0.0, 1.5, 4.0]))
    io.write(data / "output.bs1", io.Event([3], None, [1], [30.0]))
    printed = simulated(capsys, tmp_path / "line.net", "--data", data)
    assert "on 1 recording of" in printed
    assert "\noutput.bs1 is left out: beside input.bs1 it is what a network shall send, not a recording\n" in printed
    assert "\n5 steps of 1 ms" in printed
    assert row(printed, "input")[:2] == ["8", "3"]
    assert row(printed, "layer/0 dense")[3] == "12"


def test_ideal_arithmetic_runs_what_lava_cannot(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    layer = dense(np.where(class_weights() > 0, 300.0, 0.0))  # which Lava reads as zeros
    netx.write(tmp_path / "extreme.net", netx.describe([layer]))
    binned = ("--data", recordings, "--steps", STEPS, "--step-ms", STEP_MS)
    lava = simulated(capsys, tmp_path / "extreme.net", *binned, "--plots", tmp_path / "plots", status=1)
    assert "12 of 12 recordings had no output spike" in lava
    (problem,) = (str(finding) for finding in netx.check(tmp_path / "extreme.net"))
    assert problem.startswith("error: layer/0/weight: Lava takes all 6936 weights (0 to 300) for zero.")
    assert f"\n{problem}\n" in lava
    assert lava.endswith("\n1 error in the file, named above: these are not the numbers of a sound network\n")
    page = (tmp_path / "plots" / "report.html").read_text()
    assert "<th>error in layer/0/weight</th><td>Lava takes all 6936 weights (0 to 300) for zero." in page
    ideal = simulated(capsys, tmp_path / "extreme.net", *binned, "--arithmetic", "ideal")
    assert "0 of 12 recordings had no output spike" in ideal


def test_what_is_wrong_with_the_file_is_said_and_the_status_is_1(
    recordings: Path, net_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    binned = ("--data", recordings, "--steps", STEPS, "--step-ms", STEP_MS)
    sound = simulated(capsys, net_file, *binned)
    changed = shutil.copy(net_file, tmp_path / "changed.net")
    with h5py.File(changed, "r+") as handle:
        handle["layer/0/weight"][0, 0] = 4
    for arithmetic in ("lava", "ideal"):
        printed = simulated(capsys, changed, *binned, "--arithmetic", arithmetic, status=1)
        assert "\nerror: /: the file was changed after it was written: its checksum does not match. Export" in printed
        assert "accuracy " in printed
    layers = [dense(class_weights()), {"type": "smooth", "shape": [3]}]
    netx.write(tmp_path / "drops.net", netx.describe(layers))
    printed = simulated(capsys, tmp_path / "drops.net", *binned, status=1)
    assert "\nerror: layer/1/type: the layer type is 'smooth'; Lava drops the layer without a word." in printed
    assert row(printed, "layer/0 dense") == row(sound, "layer/0 dense")
    warned = dense(class_weights(), {"refDelay": 3})
    netx.write(tmp_path / "warned.net", netx.describe([warned]))
    printed = simulated(capsys, tmp_path / "warned.net", *binned)
    assert "\nwarning: layer/0/neuron/refDelay: Lava ignores it, and does as with 1.\n" in printed


def test_what_is_left_out_or_empty_is_said(
    net_file: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = shutil.copytree(recordings / "Test", tmp_path / "data")
    (data / "0" / "00000.bin").write_bytes(b"")
    io.write(data / "1" / "00004.npz", io.Event([], [], [], []))
    shutil.copy(recordings / "Test" / "0" / "00001.bin", data / "beside.bin")
    printed = simulated(capsys, net_file, "--data", data, "--steps", STEPS, "--step-ms", STEP_MS)
    assert "on 13 recordings" in printed
    assert "\n2 recordings are empty: 0/00000.bin, 1/00004.npz\n" in printed
    assert "\n1 of the event files are left out: they lie beside the folders of classes\n" in printed


def test_one_file_is_a_recording(net_file: Path, recordings: Path, capsys: pytest.CaptureFixture) -> None:
    file = recordings / "Test" / "1" / "00002.bin"
    printed = simulated(capsys, net_file, "--data", file)
    assert f"on 1 recording of {file}\n" in printed
    assert " steps of 1 ms (the default: --step-ms), bit for bit as Lava\n" in printed
    assert row(printed, "input")[1] == str(np.count_nonzero(of_one(file)))
    assert "(the default" not in simulated(capsys, net_file, "--data", file, "--step-ms", 1)


def of_one(file: Path) -> np.ndarray:
    return io.to_frames(io.read(file), (2, 34, 34), 100, 1.0)


def test_a_row_of_neurons_may_be_an_input_of_three_axes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    netx.write(tmp_path / "row.net", netx.describe([entrance(8, 1, 1), dense(np.full((4, 8), 30.0))]))
    io.write(tmp_path / "input.bs1", io.Event([0, 7, 7], None, [1, 1, 1], [0.0, 1.5, 4.0]))
    printed = simulated(capsys, tmp_path / "row.net", "--data", tmp_path / "input.bs1")
    assert row(printed, "input")[:2] == ["8", "3"]


def test_what_lava_cannot_load_has_a_way_out(tmp_path: Path, recordings: Path, capsys: pytest.CaptureFixture) -> None:
    pool = {**conv(np.full((1, 1, 2, 2), 64.0), (34, 34), (2, 2)), "type": "pool", "shape": [2, 17, 17]}
    layers = [entrance(2, 34, 34), pool, flatten(pool), dense(np.full((3, 578), 4.0))]
    netx.write(tmp_path / "pool.net", netx.describe(layers))
    command = ["simulate", str(tmp_path / "pool.net"), "--data", str(recordings)]
    assert cli.main(command) == 2
    assert "Use a Conv block with a stride in its place. --arithmetic ideal runs it." in (capsys.readouterr().err)
    printed = simulated(capsys, *command[1:], "--arithmetic", "ideal", "--steps", STEPS, "--step-ms", STEP_MS)
    x, _ = by_hand(recordings / "Test")
    assert row(printed, "layer/1 pool")[3] == f"{np.count_nonzero(x) / 12:,.0f}".replace(
        ",", ""
    )  # each is in one window


def test_a_readout_decides_by_its_voltage(
    net_file: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    layers = [dense(class_weights()), {"type": "dense", "shape": [3], "weight": np.diag([8.0, 6.0, 4.0])}]
    netx.write(tmp_path / "readout.net", netx.describe(layers))
    binned = ("--steps", STEPS, "--step-ms", STEP_MS, "--plots", tmp_path / "plots")
    printed = simulated(capsys, tmp_path / "readout.net", "--data", recordings, *binned)
    x, labels = by_hand(recordings / "Test")
    sent = netx.Network(net_file).run(x).output[..., :-1].sum(-1, dtype=int)  # what arrives before the end
    decided = (sent * [8, 6, 4]).argmax(1)
    assert f"({int((decided == labels).sum())} of 12 right" in printed
    assert "its highest voltage at the end decides" in printed
    assert f"{int((sent.sum(1) == 0).sum())} of 12 recordings left the readout at zero; they count" in printed
    assert (tmp_path / "plots" / "confusion.png").exists()


def test_other_neurons_are_said_to_need_another_chip(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    neuron = {"type": "SDNN", "activation": "relu", "vThMant": 2}
    layers = [{"type": "input", "shape": [4], "neuron": neuron}, {**dense(np.full((2, 4), 20.0)), "neuron": neuron}]
    netx.write(tmp_path / "sdnn.net", netx.describe(layers))
    (tmp_path / "line").mkdir()
    io.write(tmp_path / "line" / "a.npz", io.Event([0, 3], None, [0, 0], [0.0, 2.0], [0.5, 1.25]))
    printed = simulated(capsys, tmp_path / "sdnn.net", "--data", tmp_path / "line")
    assert "Neurons of type SDNN need Loihi 2" in printed
    assert row(printed, "layer/1 dense")[1] != "0"


@pytest.fixture(scope="module")
def exported(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tested run with its network file in it."""
    run = shutil.copytree(run_folder, tmp_path_factory.mktemp("exported") / "run")
    assert cli.main(["export", str(run)]) == 0
    assert cli.main(["test", str(run)]) == 0
    return run


def test_in_the_folder_of_a_run_it_needs_no_option(exported: Path, capsys: pytest.CaptureFixture) -> None:
    """What the trained network did in the test, the file does: accuracy, silence, events of every layer."""
    printed = simulated(capsys, exported / "network.net")
    tested = json.loads((exported / "test.json").read_text())
    number = int(tested["test_recordings"])
    assert f"on {number} recordings of the test set of {exported}\n10 steps of 10 ms" in printed
    assert f"({round(tested['test_accuracy'] * number)} of {number} right" in printed
    assert f"{int(tested['test_silent'])} of {number} recordings had no output spike" in printed
    for name, place in (
        ("events_input", "input"),
        ("events_conv1", "layer/1 conv"),
        ("events_dense2", "layer/3 dense"),
    ):
        assert float(row(printed, place)[1]) == pytest.approx(tested[name], abs=0.5), name


def test_a_run_may_be_named_in_the_place_of_its_file(
    exported: Path, recordings: Path, capsys: pytest.CaptureFixture
) -> None:
    assert simulated(capsys, exported) == simulated(capsys, exported / "network.net")
    assert cli.main(["simulate", str(exported), "--data", "nowhere"]) == 2
    said = "slayerloss simulate: 'nowhere' holds no recordings; expected a folder or an event file, got no such"
    assert capsys.readouterr().err.startswith(said)
    some = simulated(capsys, exported, "--data", recordings / "Test" / "1")
    assert f"on 4 recordings of {recordings / 'Test' / '1'}\n10 steps of 10 ms, " in some


def test_a_run_says_how_recordings_elsewhere_are_read(
    exported: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = shutil.copy(exported / "network.net", tmp_path / "alone.net")
    beside = simulated(capsys, exported / "network.net").splitlines()
    moved = simulated(capsys, file, "--run", exported, "--data", recordings).splitlines()
    assert moved[1:] == beside[1:]
    one = simulated(capsys, file, "--run", exported, "--steps", 1)
    assert "\n1 step of 10 ms" in one
    plain = simulated(capsys, file, "--data", recordings, "--steps", STEPS, "--step-ms", STEP_MS).splitlines()
    assert plain[1:] == beside[1:]


def test_the_decision_of_a_run_counts(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """With a decision at every step, the most frequent one is that of the recording."""
    run = shutil.copytree(exported, tmp_path / "run")
    recipe = (run / "recipe.yaml").read_text()
    changed = re.sub(r"decision:\n(  .*\n)+", "decision: {type: MovingWindow, time_window: 1}\n", recipe)
    assert changed != recipe
    (run / "recipe.yaml").write_text(changed)
    printed = simulated(capsys, run / "network.net")
    root = next(line.split()[1] for line in recipe.splitlines() if line.strip().startswith("root:"))
    x, labels = by_hand(Path(root) / "Test")
    output = netx.Network(run / "network.net").run(x).output
    decided = output.argmax(1)  # of one step: the first that spikes, or 0
    frequent = np.array([np.bincount(row).argmax() for row in decided])
    assert f"({int((frequent == labels).sum())} of {len(labels)} right" in printed


def test_a_run_on_counts_sends_integers(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = shutil.copytree(exported, tmp_path / "run")
    recipe = (run / "recipe.yaml").read_text()
    assert "count: false" in recipe
    (run / "recipe.yaml").write_text(
        recipe.replace("count: false", "count: true").replace("step_ms: 10.0", "step_ms: 50")
    )
    printed = simulated(capsys, run / "network.net", "--steps", 2)
    root = next(line.split()[1] for line in recipe.splitlines() if line.strip().startswith("root:"))
    files = sorted(Path(root).glob("Test/*/*.bin"))
    x = np.stack([io.to_frames(io.read(file), (2, 34, 34), 2, 50, count=True) for file in files])
    assert x.max() > 1
    counts = netx.operations(network := netx.Network(run / "network.net", input_message_bits=16), x)
    assert float(row(printed, "layer/1 conv")[1]) == pytest.approx(counts.layers[0].spikes.mean(), abs=0.05)
    binary = netx.Network(run / "network.net").run(x).spikes[0]
    assert np.count_nonzero(binary) != counts.layers[0].spikes.sum()
    assert network.input_message_bits == 16


def test_a_regression_has_no_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from slayerloss.cli import _recordings
    from slayerloss.cli._simulation import simulate
    from slayerloss.train import Recipe, Run
    from slayerloss.train.recipe import DataOptions

    for name in ("input", "output"):
        io.write(tmp_path / f"{name}.bs1", io.Event([0, 199], None, [1, 1], [0.0, 5.0]))
    recipe = Recipe(data=DataOptions("Oxford", str(tmp_path), num_steps=8, batch_size=1), decision=None)
    recordings = _recordings.of_run(Run(tmp_path, recipe), None, None)
    result = simulate(netx.Network(netx.describe([dense(np.full((200, 200), 30.0))])), recordings)
    assert result.predicted is None
    assert next(result.decisions()) == "no accuracy: the output of the run is no class"
    assert recordings.target is not None
    assert recordings.target(0).sum() == 2


def test_the_digits_need_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    netx.write(tmp_path / "some.net", netx.describe([dense(weights(np.random.default_rng(0), 10, 2312))]))
    monkeypatch.chdir(tmp_path)
    printed = simulated(capsys, "some.net", "--data", "digits", "--limit", 5)
    assert "on 5 recordings of the test set of the embedded digits\n30 steps of 10 ms" in printed
    assert " of 5 right" in printed


def test_figures_show_the_same(net_file: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'slayerloss[plot]'")
    binned = ("--steps", STEPS, "--step-ms", STEP_MS)
    printed = simulated(capsys, net_file, "--data", recordings, *binned, "--plots", tmp_path / "plots")
    assert printed.splitlines()[-1].split() == ["page", str(tmp_path / "plots" / "report.html")]
    page = (tmp_path / "plots" / "report.html").read_text()
    names = {path.stem for path in (tmp_path / "plots").glob("*.png")}
    assert names == {"confusion", "energy", "spikes", "decision_0", "decision_1", "decision_2"}
    accuracy = next(line for line in printed.splitlines() if line.startswith("accuracy"))
    assert accuracy in page
    assert "IEEE Micro 38(1), 2018, table 2" in page
    assert "per recording  neurons" in page


def test_figures_of_recordings_without_classes(
    net_file: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'slayerloss[plot]'")
    simulated(capsys, net_file, "--data", recordings / "Test" / "0", "--plots", tmp_path / "plots")
    assert {path.stem for path in (tmp_path / "plots").glob("*.svg")} == {"energy", "spikes", "layers_0"}


def test_a_folder_is_simulated_without_torch(net_file: Path, recordings: Path) -> None:
    code = """
import sys
sys.modules["torch"] = sys.modules["matplotlib"] = None  # importing them raises ImportError
from slayerloss import cli
sys.exit(cli.main(sys.argv[1:]))
"""
    arguments = ["simulate", net_file, "--data", recordings, "--steps", STEPS, "--step-ms", STEP_MS]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout


def test_nmnist_in_ten_seconds(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The whole test folder, 300 steps, 2312-512-10: reading, binning, running, counting."""
    with np.load(shared / "golden" / "slayer" / "nmnist_full.npz") as golden:
        neuron = {"type": "CUBA", **{name: int(golden[name]) for name in ("iDecay", "vDecay", "vThMant")}}
        layers = [dense(golden[name], neuron) for name in ("weight_0", "weight_1")]
    netx.write(tmp_path / "nmnist.net", netx.describe(layers))
    began = time.process_time()
    printed = simulated(capsys, tmp_path / "nmnist.net", "--data", shared / "data" / "NMNIST", "--steps", 300)
    assert time.process_time() - began < 10
    assert "on 100 recordings" in printed
    right = int(re.search(r"\((\d+) of 100 right", printed)[1])
    assert right >= 95
    x, _ = by_hand(shared / "data" / "NMNIST" / "Test", 300, 1.0)
    assert row(printed, "input")[1] == f"{x.sum(dtype=np.int64) / 100:.0f}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: FILE"),
        (["none.net", "--data", "DATA"], "there is no file 'none.net'"),
        (["NET"], "there are no recordings; expected --data or --run, got neither. --data DIR is a folder"),
        (["NET", "--dta", "DATA"], "Did you mean '--data'?"),
        (
            ["NET", "--data", "nowhere"],
            "'nowhere' holds no recordings; expected a folder or an event file, got no such",
        ),
        (["NET", "--data", "NET"], "holds no recordings; expected a folder, or a file that ends in .bin"),
        (["NET", "--data", "EMPTY"], "expected Test/CLASS/FILE, CLASS/FILE or FILE, where FILE ends in .bin"),
        (["NET", "--run", "EMPTY"], "is no run"),
        (["NET", "--data", "ABOVE"], "got a folder of datasets. Did you mean 'above/data'?"),
        (["NET", "--data", "DATA", "--steps", "0"], "--steps is out of range"),
        (["NET", "--data", "DATA", "--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["NET", "--data", "DATA", "--step-ms", "-1"], "--step-ms is out of range"),
        (["NET", "--data", "DATA", "--step-ms", "nan"], "--step-ms is out of range"),
        (["NET", "--data", "DATA", "--limit", "0"], "--limit is out of range"),
        (["NET", "--data", "DATA", "--sensor", "34x34"], "--sensor is no size; expected C,H,W such as 2,34,34, or N"),
        (
            ["NET", "--data", "DATA", "--sensor", "2,40,40"],
            "--sensor 2,40,40 does not fit the network of 'NET'; expected 2,312 inputs, got 3,200, of (2, 40, 40).",
        ),
        (["NET", "--data", "DATA", "--sensor", "7"], "--sensor 7 does not fit the network of 'NET'; expected 2,312"),
        (["NET", "--data", "DATA", "--sensor", "8,17,17"], "expected events on (8, 17, 17), got Event(300 events, x"),
        (["LINE", "--data", "DATA"], "the network has 200 inputs; expected events on a camera with as many, such as"),
        (["LINE", "--data", "digits"], "the recordings do not fit the network of 'LINE'; expected 200 inputs, got 2,3"),
        (["PIXELS", "--data", "digits"], "the recordings do not fit the network of 'PIXELS'; expected images that its"),
        (["PIXELS", "--data", "DATA", "--sensor", "2,34,34"], "--sensor 2,34,34 does not fit the network of 'PIXELS'"),
        (["EMPTY", "--data", "DATA"], "no network file is named; expected FILE, got no 'EMPTY/network.net'."),
        (["NET", "--data", "DATA", "--arithmetic", "lav"], "Did you mean 'lava'?"),
        (["NET", "--data", "DATA", "--plots", "NET"], "cannot be a folder"),
        (["NET", "--data", "DATA", "--step-ms", "1e-7"], "at most 100,000 steps"),
        (["NET", "--data", "BROKEN"], "is truncated; expected 5 bytes for each event, got 7 bytes"),
        (["TWO", "--data", "DATA"], "the network has too few outputs; expected at least 3, one for each class"),
        (["GARBAGE", "--data", "DATA"], "is not HDF5"),
    ],
)
def test_wrong_calls_get_one_clear_line(
    arguments: list[str],
    said: str,
    net_file: Path,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.bin").write_bytes(b"1234567")
    (tmp_path / "garbage").write_bytes(bytes(range(256)))
    netx.write(tmp_path / "two.net", netx.describe([dense(class_weights()[:2])]))
    rng = np.random.default_rng(0)
    netx.write(tmp_path / "line.net", netx.describe([dense(weights(rng, 3, 200))]))
    netx.write(tmp_path / "pixels.net", netx.describe([conv(weights(rng, 4, 3, 5, 5), (34, 34), (3, 3))]))
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "data").symlink_to(recordings)
    places = {"NET": net_file, "DATA": recordings, "TWO": tmp_path / "two.net", "ABOVE": Path("above")}
    places |= {name: tmp_path / name.lower() for name in ("EMPTY", "BROKEN", "GARBAGE")}
    places |= {name: tmp_path / f"{name.lower()}.net" for name in ("LINE", "PIXELS")}
    for name, path in places.items():
        said = said.replace(f"'{name}'", f"'{path}'").replace(f"'{name}/", f"'{path}/")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["simulate", *[str(places.get(argument, argument)) for argument in arguments]]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith("slayerloss simulate: ")
    assert printed.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
