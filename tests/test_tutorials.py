"""Every tutorial runs as it stands, as a script and without a display."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parent.parent / "tutorials"
SCRIPTS = sorted(TUTORIALS.glob("[0-9]*.py"))
OF_LAVA_DL = sorted((TUTORIALS / "lava-dl").glob("*.py"))
QUICK = "xor_regression"
SHORT = {
    "bootstrap_mnist": {"EPOCHS": "1"},
    "nmnist": {"EPOCHS": "2", "TRAINING, TESTING": "64, 64"},
    "oxford": {"UPDATES": "20"},
    "pilotnet": {"EPOCHS": "2", "TRAINING, TESTING": "8, 8"},
}
"""What a script's constants are where it shall only run through, not learn."""
LOSS = re.compile(r"loss *=? *([\d.]+)")


def test_there_are_tutorials() -> None:
    assert len(SCRIPTS) >= 5
    assert len(OF_LAVA_DL) >= 4


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_tutorial_runs(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(script, tmp_path, capsys)


def assert_learns(output: str) -> None:
    """The first loss of a line falls from the first line that has one to the last."""
    found = [LOSS.search(line) for line in output.splitlines()]
    losses = [float(match[1]) for match in found if match]
    assert len(losses) >= 3, output
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    "script",
    [pytest.param(script, marks=[] if script.stem == QUICK else pytest.mark.slow) for script in OF_LAVA_DL],
    ids=lambda script: script.stem,
)
def test_network_of_lava_dl_learns(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there are no recordings, on what takes their place."""
    assert_learns(run(script, tmp_path, capsys))


@pytest.mark.parametrize("name", SHORT)
def test_network_of_lava_dl_runs_through(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (TUTORIALS / "lava-dl" / f"{name}.py").read_text()
    for constant, value in SHORT[name].items():
        text, found = re.subn(rf"^{constant} = .*$", f"{constant} = {value}", text, flags=re.MULTILINE)
        assert found == 1, constant
    script = tmp_path / f"{name}.py"
    script.write_text(text)
    assert LOSS.search(run(script, tmp_path, capsys))


def test_every_network_of_lava_dl_runs() -> None:
    assert {script.stem for script in OF_LAVA_DL} == {QUICK, *SHORT}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nmnist", "oxford"])
def test_network_of_lava_dl_learns_its_recordings(
    name: str, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(TUTORIALS / "lava-dl" / f"{name}.py", tmp_path, capsys, SLAYERLOSS_DATA=str(shared / "data"))
    assert output.splitlines()[0] in ("N-MNIST", "Oxford")
    assert_learns(output)


def run(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], **environment: str) -> str:
    """Run a script without a display; what it prints."""
    begin = time.perf_counter()
    own = {"MPLBACKEND": "Agg", "TMPDIR": str(tmp_path), "SLAYERLOSS_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    with capsys.disabled():
        print(f"\n{script.name}: {time.perf_counter() - begin:.0f} s", end=" ")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
