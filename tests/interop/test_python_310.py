"""Python 3.10, which Lava's users are on: what needs no torch in Lava's environment, the rest where torch 2.3 is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 500
WITHOUT_TORCH = """
import compileall, sys, tempfile
import numpy as np
assert sys.version_info[:2] == (3, 10)
sys.modules["torch"] = None
assert compileall.compile_dir(sys.argv[1] + "/slayerloss", quiet=1, force=True, legacy=False)
import slayerloss
from slayerloss import io, netx
folder = tempfile.mkdtemp()
for name in slayerloss.__all__:
    if name in ("io", "netx", "ArgumentError", "debug_checks", "__version__"):
        getattr(slayerloss, name)
event = io.Event([3, 4], [5, 5], [0, 1], [0.5, 2.0])
for suffix in (".bin", ".npz", ".npy"):
    io.write(folder + "/a" + suffix, event)
    assert io.read(folder + "/a" + suffix).t.tolist() == [0.5, 2.0]
frames = io.to_frames(event, (2, 6, 5), 4)
assert frames.sum() == 2 and len(io.from_frames(frames)) == 2
neuron = dict(type="CUBA", iDecay=4096, vDecay=0, vThMant=80)
description = netx.describe([dict(type="dense", shape=[1], weight=[[100, 2]], neuron=neuron)])
netx.write(folder + "/a.net", description)
assert netx.read(folder + "/a.net") == description and netx.check(folder + "/a.net") == []
assert netx.Network(folder + "/a.net").run(np.ones((2, 5))).output.any()
try:
    netx.read(5)
except slayerloss.DtypeError as error:
    assert "path" in str(error)
"""
REPRESENTATIVE = """functional/test_neuron.py functional/test_all_losses.py functional/test_filters.py
    functional/test_window.py functional/test_delay.py functional/test_decision.py kernels block loss neuron synapse
    filter test_bad_input.py"""


@pytest.mark.lava
def test_what_needs_no_torch_runs_on_python_310(lava_python: Path, tmp_path: Path) -> None:
    cache = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [str(lava_python), "-c", WITHOUT_TORCH, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=os.environ | cache, check=False)
    assert done.returncode == 0, done.stderr


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
