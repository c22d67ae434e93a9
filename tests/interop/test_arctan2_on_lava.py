"""The arctangent of Lava's own numpy, on this machine as it is and without AVX512."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slayerloss.netx.runtime.arctan2 import arctan2

PROGRAM = "import sys, numpy as np; y, x = np.load(sys.argv[1]); np.save(sys.argv[1], np.arctan2(y, x))"


@pytest.mark.lava
@pytest.mark.parametrize("avx512", [True, False])
def test_arctan2_is_that_of_lavas_numpy(avx512: bool, lava_python: Path, lava_has_avx512: bool, tmp_path: Path) -> None:
    if avx512 and not lava_has_avx512:
        pytest.skip("this processor has no AVX512")
    points = np.random.default_rng(0).integers(-4096, 4097, (2, 5000)) / 4096
    file = tmp_path / "points.npy"
    np.save(file, points)
    environment = os.environ | ({} if avx512 else {"NPY_DISABLE_CPU_FEATURES": "AVX512F"})
    subprocess.run([str(lava_python), "-W", "ignore", "-c", PROGRAM, str(file)], check=True, env=environment)
    ours: Callable[[float, float], float] = arctan2 if avx512 else math.atan2
    np.testing.assert_array_equal([ours(y, x) for y, x in points.T.tolist()], np.load(file))
