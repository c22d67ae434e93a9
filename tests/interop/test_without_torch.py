"""Network files where torch is not installed, under each Python that the library runs on, as in this process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy_only import report
from random_networks import random_network

from slayerloss import netx

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("numpy_only.py")
VERSIONS = ("3.10", "3.12", "3.13")
SEEDS = range(6)
SECONDS = 500


def find_python(version: str) -> str:
    """An interpreter: from PYTHON310 and its like, the PATH, or pyenv; "" if there is none."""
    named = os.environ.get(f"PYTHON{version.replace('.', '')}")
    candidates = [named] if named else [shutil.which(f"python{version}"), pyenv(version)]
    return next((python for python in candidates if python and answers(python, version)), "")


def pyenv(version: str) -> str | None:
    if not shutil.which("pyenv"):
        return None
    done = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False)
    found = sorted(Path(done.stdout.strip(), "versions").glob(f"{version}.*/bin/python{version}"))
    return str(found[-1]) if found else None


def answers(python: str, version: str) -> bool:
    """pyenv puts programs on the PATH that only say that the version is not installed."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == version


@pytest.fixture(scope="module", params=VERSIONS)
def numpy_python(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with numpy and h5py; it is made once, beside those of Lava and lava-dl."""
    fcntl = pytest.importorskip("fcntl")
    version: str = request.param
    folder = Path(os.environ.get("SLAYERLOSS_NUMPY_ENV", ROOT / ".venv-numpy")) / version
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two processes that run tests, the second waits
        if not (folder / ".made").exists():
            make_environment(version, folder)
    return folder / "bin" / "python"


def make_environment(version: str, folder: Path) -> None:
    interpreter = find_python(version)
    if not interpreter:
        variable = f"PYTHON{version.replace('.', '')}"
        pytest.skip(f"no Python {version}: it is neither on the PATH nor in pyenv (set {variable})")
    subprocess.run([interpreter, "-m", "venv", "--clear", str(folder)], check=True, timeout=SECONDS)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "numpy", "h5py"]
    command = [str(folder / "bin" / "python"), *install]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        pytest.skip(f"numpy and h5py cannot be installed for Python {version}: {done.stderr.strip()[-300:]}")
    (folder / ".made").touch()


def run(python: Path, *arguments: object) -> tuple[int, str]:
    """Exit status, and what was printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, dict[str, np.ndarray]]:
    """Random networks, and what this process makes of them."""
    folder = tmp_path_factory.mktemp("networks")
    reports = {}
    for seed in SEEDS:
        case = random_network(seed)
        file = folder / f"{seed}.net"
        netx.write(file, netx.describe(case.layers))
        np.savez(file.with_suffix(".npz"), x=case.x, options=json.dumps(case.options))
        reports[file] = report(file)
    return reports


def test_network_files_are_read_checked_run_and_written(
    numpy_python: Path, reported: dict[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    status, printed = run(numpy_python, PROGRAM, next(iter(reported)).parent, tmp_path)
    assert status == 0, printed
    for file, expected in reported.items():
        with np.load(tmp_path / f"{file.stem}.npz") as found:
            assert set(found.files) == set(expected)
            for name, values in expected.items():
                np.testing.assert_array_equal(found[name], values, err_msg=f"{name} of random_network({file.stem})")


@pytest.mark.parametrize("command", ["check", "inspect"])
def test_commands_on_network_files(
    command: str, numpy_python: Path, reported: dict[Path, dict[str, np.ndarray]]
) -> None:
    arguments = ("-m", "slayerloss.cli", command, *list(reported)[:3])
    status, printed = run(numpy_python, *arguments)
    assert (status, printed) == run(Path(sys.executable), *arguments)
    assert printed


def test_every_file_of_the_library_compiles(numpy_python: Path) -> None:
    program = (
        "import pathlib, sys; [compile(f.read_bytes(), f, 'exec') for f in pathlib.Path(sys.argv[1]).rglob('*.py')]"
    )
    assert run(numpy_python, "-W", "error", "-c", program, ROOT / "slayerloss") == (0, "")
