"""The process with Lava outlives networks that Lava refuses, and those on which it hangs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from lava_process import LavaError, LavaProcess
from netx_layers import dense

from slayerloss import netx

pytestmark = pytest.mark.lava


def network(weight: list[list[int]], file: Path) -> Path:
    netx.write(file, netx.describe([dense(weight)]))
    return file


def alive(group: int) -> list[str]:
    """The processes of a group; those that have ended and wait for a parent's word are none."""
    command = ["ps", "-e", "-o", "pgid=,stat=,args="]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if line.split()[0] == str(group) and not line.split()[1].startswith("Z")]


def test_after_a_network_that_lava_refuses_comes_the_next(lava_process: LavaProcess, tmp_path: Path) -> None:
    with pytest.raises(LavaError, match="cannot convert float infinity"):
        lava_process.run(network([[0, 0]], tmp_path / "zeros.net"), np.ones((2, 3)))
    (layer,) = lava_process.run(network([[90, 2]], tmp_path / "network.net"), np.ones((2, 3)))
    assert layer.keys() == {"spikes", "u", "v"}
    assert layer["u"].tolist() == [[0, 92 * 64, 92 * 64 * 3 // 4 + 92 * 64]]


def test_lava_is_ended_when_it_gives_no_answer(lava_python: Path, shared: Path, tmp_path: Path) -> None:
    file = network([[90, 2]], tmp_path / "network.net")
    with LavaProcess(lava_python, shared / "tools", tmp_path, seconds=1) as lava:
        with pytest.raises(LavaError, match="no answer within 1 s"):
            lava.run(file, np.ones((2, 5000)))
        assert lava.worker is None
        lava.seconds = 60
        assert lava.run(file, np.ones((2, 3)))[0]["spikes"].shape == (1, 3)
        assert lava.worker is not None
        group = lava.worker.pid
    assert not alive(group)
