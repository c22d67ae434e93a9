"""Lava in an environment of its own: where it is, and a function that runs network files on it."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from lava_process import LavaProcess

from slayerloss.netx.runtime import resonate

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_INSTALL = 900
SECONDS_TO_RUN = 240  # of one network; Lava hangs where one of its processes fails

LavaRun = Callable[..., list[dict[str, np.ndarray]]]


@pytest.fixture(scope="session")
def lava_python(shared: Path) -> Path:
    """The Python of an environment with Lava and netx; it is made once if it is not there."""
    environment = Path(os.environ.get("SLAYERLOSS_LAVA_ENV", ROOT / ".venv-lava"))
    python = environment / "bin" / "python"
    maker = shared / "tools" / "lava_env.sh"
    if not maker.exists():
        pytest.skip(f"no Lava: {maker} is missing")
    if not python.exists():
        command = ["sh", str(maker), str(environment)]
        made = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_INSTALL, check=False)
        if "not found; set PYTHON310" in made.stderr:
            pytest.skip(f"no Lava: {made.stderr.strip()}")
        assert made.returncode == 0, made.stderr
    return python


@pytest.fixture(scope="session")
def lava_has_avx512(lava_python: Path) -> bool:
    """Whether Lava's numpy computes with AVX512, on which its arctan2 depends, and the decays of resonators."""
    program = "from numpy.core._multiarray_umath import __cpu_features__ as has; print(has['AVX512_SKX'])"
    done = subprocess.run([str(lava_python), "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


@pytest.fixture
def lavas_arctan2(lava_has_avx512: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runtime compute the decays of resonators as Lava does on this machine."""
    if not lava_has_avx512:
        monkeypatch.setattr(resonate, "arctan2", math.atan2)


@pytest.fixture(scope="session")
def lava_process(lava_python: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LavaProcess]:
    """Lava, started once for all networks of the session."""
    with LavaProcess(lava_python, shared / "tools", tmp_path_factory.mktemp("lava"), SECONDS_TO_RUN) as process:
        yield process


@pytest.fixture
def run_on_lava(lava_process: LavaProcess) -> LavaRun:
    """A function (file, x (C, T) or (C, H, W, T), **arguments of netx's Network) -> one dict a layer.

    Each dict has the layer's "spikes" and states ("u" and "v" of CUBA) in slayer's order, (C, T) or (C, H, W, T).
    """
    return lava_process.run
