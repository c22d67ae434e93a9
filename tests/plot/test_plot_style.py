"""The palette, the style and the placing of labels; what an import costs and says."""

from __future__ import annotations

import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from slayerloss.plot import raster, style
from slayerloss.plot.style import (
    ERROR,
    FAINT,
    OFF,
    ON,
    OUTPUT,
    PALETTE,
    RIVAL,
    TARGET,
    TARGET_HALO,
    TRUE,
    label_ends,
    spread,
)

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color: str, kind: str) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(BLINDNESS[kind]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize(
    ("a", "b"), [(TRUE, RIVAL), (OFF, ON), (OUTPUT, TARGET_HALO), (OUTPUT, TARGET), (OUTPUT, ERROR), (TRUE, FAINT)]
)
def test_colours_that_must_be_told_apart_can_be(a: str, b: str, kind: str) -> None:
    assert np.linalg.norm(lab(a, kind) - lab(b, kind)) > 20  # 2 to 3 is what an eye just sees


@pytest.mark.parametrize("kind", BLINDNESS)
def test_palette_stays_distinct(kind: str) -> None:
    points = [lab(color, kind) for color in PALETTE]
    distances = [np.linalg.norm(p - q) for i, p in enumerate(points) for q in points[:i]]
    assert min(distances) > 15


def test_style_ends_with_its_block() -> None:
    before = dict(matplotlib.rcParams)
    with style():
        assert matplotlib.rcParams["font.size"] == 9
    assert dict(matplotlib.rcParams) == before


def test_a_notebook_whose_backend_loads_inside_the_block_stays_interactive() -> None:
    before = matplotlib.is_interactive()
    try:
        with style():
            matplotlib.interactive(True)  # as the inline backend does
        assert matplotlib.is_interactive()
    finally:
        matplotlib.interactive(before)


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.01, 0.2))
def test_spread_keeps_order_and_gap(heights: list[float], gap: float) -> None:
    heights = sorted(heights)
    places = spread(heights, gap)
    assert len(places) == len(heights)
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(places))
    if all(b - a >= gap for a, b in itertools.pairwise(heights)):
        np.testing.assert_allclose(places, heights)  # nothing moves that need not


def test_label_ends_stand_at_their_heights_also_on_a_log_axis() -> None:
    ax = Figure().add_subplot()
    ax.set(yscale="log", ylim=(1, 100))
    label_ends(ax, [(10.0, "ten", "k"), (100.0, "hundred", "k")])
    places = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert places == pytest.approx({"ten": 0.5, "hundred": 1.0})


def test_a_given_axes_is_used_and_pyplot_is_left_alone() -> None:
    from matplotlib import pyplot

    ax = Figure().add_subplot()
    assert raster([[0, 1]], ax) is ax
    assert pyplot.get_fignums() == []
    assert raster([[0, 1]]).figure.number in pyplot.get_fignums()


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_imports_stay_lazy() -> None:
    code = "import sys, slayerloss; print('matplotlib' in sys.modules); "
    code += "import slayerloss.plot; print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    assert run_python(code).split() == ["False", "True", "False"]


def test_without_matplotlib_the_way_out_is_named() -> None:
    code = "import sys; sys.modules['matplotlib'] = None\n"
    code += "try:\n    import slayerloss.plot\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    output = run_python(code)
    assert output.startswith("MissingPackageError")
    assert 'pip install "slayerloss[plot]"' in output
