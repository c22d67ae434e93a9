"""Lava in an environment of its own: where it is, and a function that runs a network file on it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_INSTALL = 900
SECONDS_TO_RUN = 240

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


@pytest.fixture
def run_on_lava(lava_python: Path, shared: Path, tmp_path: Path) -> LavaRun:
    """A function (file, x (C, T) or (C, H, W, T), states=True, **arguments of netx's Network) -> one dict a layer.

    Each dict has the layer's "spikes", "u" and "v" in slayer's order, (C, T) or (C, H, W, T).
    """

    def run(file: Path, x: np.ndarray, states: bool = True, **network: Any) -> list[dict[str, np.ndarray]]:
        given, result = tmp_path / "lava_in.npz", tmp_path / "lava_out.npz"
        np.savez(given, input=np.asarray(x).T.astype(np.int32))  # Lava's order is (T, W, H, C)
        command = [str(lava_python), str(shared / "tools" / "run_on_lava.py"), str(file), str(given), str(result)]
        command += ["--network", json.dumps(network), "--timeout", str(SECONDS_TO_RUN - 20)]
        command += ["--states"] if states else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_RUN, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        with np.load(result) as out:
            names = {"spk": "spikes", "u": "u", "v": "v"}
            count = sum(key.endswith("_spk") for key in out.files)
            return [
                {name: out[f"L{i}_{key}"].T for key, name in names.items() if f"L{i}_{key}" in out.files}
                for i in range(count)
            ]

    return run
