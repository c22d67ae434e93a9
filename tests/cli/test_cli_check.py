"""`slayerloss check`: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import h5py
import pytest

from slayerloss import cli, netx
from slayerloss.netx import isolated

NEURON = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 40, "refDelay": 1}


def network(folder: Path, name: str, weight: object = ((2, -4),), **neuron: object) -> str:
    path = folder / name
    layer = {"type": "dense", "shape": [1], "weight": weight, "neuron": {**NEURON, **neuron}}
    netx.write(path, netx.describe([layer]))
    return str(path)


def test_a_sound_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = network(tmp_path, "sound.net")
    assert cli.main(["check", file]) == 0
    assert capsys.readouterr().out == f"{file}: nothing is wrong\n"


def test_a_line_a_finding_with_file_place_effect_and_way_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wrong = network(tmp_path, "wrong.net", [[-256, -2]], refDelay=3)
    assert cli.main(["check", wrong]) == 1
    lines = capsys.readouterr().out.splitlines()
    problem = "1 of 2 weights (-256 to -2) change in Lava's synapse"
    way_out = "Keep weights in [-254, 254], and give the layer weights of both signs"
    assert lines[0] == f"{wrong}: error: layer/0/weight: {problem}. {way_out}."
    assert lines[1].startswith(f"{wrong}: warning: layer/0/neuron/refDelay: Lava ignores it")
    assert lines[2:] == [f"{wrong}: 1 error, 1 warning"]


def test_a_warning_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["check", network(tmp_path, "odd.net", refDelay=3)]) == 0
    assert capsys.readouterr().out.endswith("odd.net: 1 warning\n")


def test_a_changed_file_fails(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = network(tmp_path, "changed.net")
    with h5py.File(file, "r+") as handle:
        handle["layer/0/weight"][0, 0] = 6
    said = "error: /: the file was changed after it was written: its checksum does not match. Export or copy it again"
    for command in ("check", "inspect"):
        assert cli.main([command, file]) == 1
        assert said in capsys.readouterr().out


def test_inspect_finds_what_check_finds(shared: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("syn_rf", "pilotnet_sdnn", "tests_mnist"):
        file = str(shared / "golden" / "netx" / f"{name}.net")
        status = cli.main(["check", file])
        checked = [line.removeprefix(f"{file}: ") for line in capsys.readouterr().out.splitlines()[:-1]]
        assert cli.main(["inspect", file]) == status
        inspected = [
            line for line in capsys.readouterr().out.splitlines() if line.startswith(("error:", "warn", "note:"))
        ]
        assert inspected == checked != []
        assert len(set(checked)) == len(checked)


def test_several_files_of_which_one_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wrong, sound = network(tmp_path, "wrong.net", [[0, 0]]), network(tmp_path, "sound.net")
    broken = str(tmp_path / "broken.net")
    Path(broken).write_bytes(Path(sound).read_bytes()[:3000])
    assert cli.main(["check", wrong, broken, sound]) == 2
    printed = capsys.readouterr()
    assert [line.split(": ")[0] for line in printed.out.splitlines()] == [wrong, wrong, sound]
    assert printed.err.startswith(f"slayerloss check: netx: '{broken}' is not HDF5, or is damaged")
    assert printed.err.count("\n") == 1


def test_json_has_an_entry_for_every_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wrong, sound = network(tmp_path, "wrong.net", [[0, 0]]), network(tmp_path, "sound.net")
    assert cli.main(["check", "--json", wrong, sound]) == 1
    first, second = json.loads(capsys.readouterr().out)
    (finding,) = first.pop("findings")
    assert first == {"file": wrong, "error": None}
    assert (finding["severity"], finding["place"]) == ("error", "layer/0/weight")
    assert (finding["fatal"], finding["scope"]) == (True, "lava")
    assert finding["problem"].startswith("all weights are zero")
    assert second == {"file": sound, "findings": [], "error": None}
    (tmp_path / "text.net").write_text("no network")
    text, missing = str(tmp_path / "text.net"), str(tmp_path / "missing.net")
    assert cli.main(["check", "--json", text, sound, missing]) == 2
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert [(row["file"], row["findings"]) for row in rows] == [(text, []), (sound, []), (missing, [])]
    assert "is not HDF5, or is damaged" in rows[0]["error"]
    assert rows[1]["error"] is None
    assert "there is no file" in rows[2]["error"]
    assert printed.err.count("\n") == 2


@pytest.mark.parametrize("command", ["check", "inspect"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_file_that_crashes_the_library_does_not_take_the_command_with_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(isolated, "_CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    file = network(tmp_path, "network.net")
    assert cli.main([command, file]) == 2
    printed = capsys.readouterr()
    assert f"'{file}' cannot be read; expected an HDF5 network file, got a reader that died (SIGSEGV)" in printed.err
    assert not printed.out
    assert os.path.exists(file)
