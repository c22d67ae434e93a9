"""What all tests share: where the golden values and the event data lie, if they lie anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if os.environ.get("PYTEST_XDIST_WORKER"):  # the workers share the cores between them
    os.environ["OMP_NUM_THREADS"] = "1"

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SLAYERLOSS_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden values, event data and tools; the test skips without it."""
    if not SHARED.is_dir():
        pytest.skip(f"no golden values: {SHARED} is missing (set SLAYERLOSS_SHARED)")
    return SHARED
