"""What all tests share: a small run, and where the golden values and the event data lie, if they lie anywhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

if os.environ.get("PYTEST_XDIST_WORKER"):  # the workers share the cores between them
    os.environ["OMP_NUM_THREADS"] = "1"

ROOT = Path(__file__).resolve().parent.parent
collect_ignore_glob = ["*/conftest.py"]  # for doctests; pytest would take two of the name for one
SECONDS_OF_LAVA_DL = 300
SHARED = Path(os.environ.get("SLAYERLOSS_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden values, event data and tools; the test skips without it."""
    if not SHARED.is_dir():
        pytest.skip(f"no golden values: {SHARED} is missing (set SLAYERLOSS_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that trains in no time, beside its recordings in `data`; not to be changed."""
    from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

    folder = tmp_path_factory.mktemp("recordings")
    return write_recipe_file(folder / "recipe.yaml", tiny_recipe(write_recordings(folder / "data")))


@pytest.fixture(scope="session")
def run_folder(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs; not to be changed."""
    from slayerloss import cli

    folder = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["fit", "--config", str(recipe_file), "--out", str(folder), "--trainer.max_epochs", "2"]) == 0
    return folder


@pytest.fixture(scope="session")
def lava_dl() -> Callable[..., None]:
    """A function that runs Python with the given arguments where lava-dl is; the test skips where it is not."""
    environment = Path(os.environ.get("SLAYERLOSS_SLAYER_ENV", ROOT / ".venv-slayer"))
    python = environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no lava-dl: {python} is missing (set SLAYERLOSS_SLAYER_ENV to an environment that has it)")

    def run(*arguments: object) -> None:
        command = [str(python), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_OF_LAVA_DL, check=False)
        assert done.returncode == 0, done.stderr

    return run
