"""lava-dl's own unit tests, unchanged, from its installed package, with slayerloss under lava-dl's name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

RUNNER = Path(__file__).with_name("lava_dl_runner.py")
SEEDS = (0, 1)
"""lava-dl's files draw their weights and parameters at random; most of the blocks' have a seed of their own."""
SECONDS = 300

# The files of lava-dl's tests of slayer, and how many tests each has.
FILES = {
    "neuron/dynamics/test_adaptive_phase_th.py": 6,
    "neuron/dynamics/test_adaptive_resonator.py": 6,
    "neuron/dynamics/test_adaptive_threshold.py": 5,
    "neuron/dynamics/test_leaky_integrator.py": 5,
    "neuron/dynamics/test_resonator.py": 5,
    "neuron/test_adrf.py": 7,
    "neuron/test_adrf_iz.py": 7,
    "neuron/test_alif.py": 7,
    "neuron/test_cuba.py": 7,
    "neuron/test_rf.py": 7,
    "neuron/test_rf_iz.py": 7,
    "neuron/test_sigma_delta.py": 5,
    "test_io.py": 4,
    "test_loss.py": 3,
    "utils/filter/test_conv_filter.py": 2,
    "utils/test_recurrent.py": 1,
    "utils/time/test_replicate.py": 1,
    "utils/time/test_shift.py": 3,
}

ON_LAVA = {"block/test_cuba.py": 4, "block/test_sigma_delta.py": 2}
"""Files that compare with Lava, which a process of its own runs for them."""

SATURATED = "expects the loss of a sigmoid that float32 rounds, up to 1, where torch cuts its logarithm off at -100"
CANNOT_PASS = {
    ("test_loss.py", "TestSpikemoid.test_global_2d_target"): SATURATED,
    ("test_loss.py", "TestSpikemoid.test_sliding_2d_target"): SATURATED,
}
"""Tests that fail for every seed, since what they expect is a defect that is repaired here."""


@pytest.fixture(scope="module")
def folder(lava_dl: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where lava-dl's tests of slayer lie."""
    place = tmp_path_factory.mktemp("lava_dl") / "place.txt"
    program = "import sys, pathlib, lava.lib.dl.slayer as s; pathlib.Path(sys.argv[1]).write_text(s.__file__)"
    lava_dl("-c", program, place)
    tests = Path(place.read_text()).parents[4] / "tests" / "lava" / "lib" / "dl" / "slayer"
    if not tests.is_dir():
        pytest.skip(f"lava-dl was installed without its tests: {tests} is missing")
    return tests


Results = dict[str, dict[str, "str | None"]]
"""File -> test -> None, or what went wrong."""


def run(folder: Path, seed: int, files: Iterable[str], to: Path, **environment: str) -> Results:
    """Run files of lava-dl's tests on slayerloss; they may write into their folder, which is a copy."""
    shutil.copytree(folder, to / "tests")
    command = [sys.executable, str(RUNNER), str(to / "results.json"), str(to / "tests"), str(seed), *files]
    variables = os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=variables, cwd=to, check=False)
    assert done.returncode == 0, done.stderr
    found: Results = json.loads((to / "results.json").read_text())
    return found


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Results]:
    """For each seed."""
    return {seed: run(folder, seed, FILES, tmp_path_factory.mktemp("lava_dls")) for seed in SEEDS}


@pytest.fixture(scope="module")
def results_on_lava(folder: Path, lava_python: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Of the files that need Lava."""
    lava = {"LAVA_PYTHON": str(lava_python), "LAVA_TOOLS": str(shared / "tools")}
    return run(folder, SEEDS[0], ON_LAVA, tmp_path_factory.mktemp("lava_dls"), **lava)


@pytest.mark.lava
@pytest.mark.parametrize("file", FILES)
def test_lava_dls_tests_pass(file: str, results: dict[int, Results]) -> None:
    for seed in SEEDS:
        tests = results[seed][file]
        failed = {name: error for name, error in tests.items() if error and (file, name) not in CANNOT_PASS}
        assert not failed, "\n".join(f"seed {seed}, {name}:\n{error}" for name, error in failed.items())
        assert len(tests) == FILES[file]


@pytest.mark.lava
@pytest.mark.parametrize("file", ON_LAVA)
def test_lava_dls_tests_on_lava_pass(file: str, results_on_lava: Results) -> None:
    failed = {name: error for name, error in results_on_lava[file].items() if error}
    assert not failed, "\n".join(f"{name}:\n{error}" for name, error in failed.items())
    assert len(results_on_lava[file]) == ON_LAVA[file]


@pytest.mark.lava
@pytest.mark.parametrize(("file", "test"), CANNOT_PASS, ids=lambda part: part)
def test_what_cannot_pass_does_not(file: str, test: str, results: dict[int, Results]) -> None:
    assert all(results[seed][file][test] for seed in SEEDS), CANNOT_PASS[file, test]


@pytest.mark.lava
def test_every_file_is_run(folder: Path) -> None:
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("test_*.py")} == {*FILES, *ON_LAVA}
