"""Python 3.10 with torch 2.3, which Lava's users are on. What needs no torch is tried in `test_without_torch.py`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 500
REPRESENTATIVE = """functional/test_neuron.py functional/test_all_losses.py functional/test_filters.py
    functional/test_window.py functional/test_delay.py functional/test_decision.py kernels block loss neuron synapse
    filter test_bad_input.py"""


@pytest.mark.slow
def test_a_subset_of_the_tests_passes_with_the_oldest_torch() -> None:
    """Name an interpreter: Python 3.10 with torch 2.3, numpy 1, h5py, pytest, pytest-timeout and hypothesis."""
    python = os.environ.get("SLAYERLOSS_OLDEST_PYTHON")
    if not python:
        pytest.skip("no interpreter with the oldest torch: set SLAYERLOSS_OLDEST_PYTHON")
    tests = [str(ROOT / "tests" / name) for name in REPRESENTATIVE.split()]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not lava", *tests]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, env=environment, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
