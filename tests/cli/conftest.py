"""A trained run for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from slayerloss import cli


@pytest.fixture(scope="session")
def run_folder(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["fit", "--config", str(recipe_file), "--out", str(folder), "--trainer.max_epochs", "2"]) == 0
    return folder
