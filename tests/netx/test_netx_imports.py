"""What netx may import: reading, checking and running need numpy and h5py only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_layers import imports

import slayerloss

PACKAGE = Path(slayerloss.__file__).parent
TORCH_SIDE = {"export", "compare", "to_torch", "source"}
RUNNER = sorted(
    path.relative_to(PACKAGE / "netx")
    for path in (PACKAGE / "netx").rglob("*.py")
    if path.stem not in {*TORCH_SIDE, "__init__"}
)


@pytest.mark.parametrize("file", RUNNER, ids=str)
def test_the_runner_imports_nothing_of_the_training_side(file: Path) -> None:
    for module in imports(PACKAGE / "netx" / file, everywhere=True):
        parts = module.split(".")
        assert parts[0] != "torch", module
        if parts[0] == "slayerloss":
            assert parts[1] in ("_check", "_finding", "_path", "io", "netx"), module


def test_netx_reads_checks_and_runs_without_torch(tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules["torch"] = None  # importing it raises ImportError
import numpy as np
from slayerloss import netx
neuron = dict(type="CUBA", iDecay=1024, vDecay=128, vThMant=40)
layer = dict(type="dense", shape=[2], weight=[[90, -2], [2, 4]], neuron=neuron)
path = {str(tmp_path / "network.net")!r}
netx.write(path, netx.describe([layer]))
assert netx.check(path) == []
assert netx.Network(path).run(np.ones((2, 5))).output.tolist() == [[0, 1, 1, 1, 1], [0, 0, 0, 0, 1]]
print(netx.inspect(path))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "-2 .. 90" in result.stdout
