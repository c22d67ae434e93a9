"""The energy of the layers, and recordings without a class, show the numbers given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slayerloss import netx, plot
from slayerloss._check import DtypeError


def estimate(synaptic: tuple[float, ...], updates: tuple[float, ...]) -> netx.Energy:
    names = tuple(f"layer/{i} dense" for i in range(len(synaptic)))
    return netx.Energy(names, np.array(synaptic), np.array(updates), np.array(synaptic) / 10, netx.LOIHI)


def bars(ax: Axes) -> np.ndarray:
    """(parts, layers) widths."""
    return np.array([[bar.get_width() for bar in part] for part in ax.containers])


def test_bars_are_the_parts_of_the_estimate() -> None:
    energy = estimate((1e6, 2e3), (1e5, 5e4))
    ax = plot.energy_per_layer(energy)
    parts = bars(ax)
    np.testing.assert_allclose(parts[0], [1e-12 * (23.6e6 + 1.7e5), 1e-12 * (23.6 * 2e3 + 1.7 * 200)])
    np.testing.assert_allclose(parts[1], [52e-7, 26e-7])
    np.testing.assert_allclose(parts.sum(0), energy.high)
    starts = [bar.get_x() for bar in ax.containers[2]]
    np.testing.assert_allclose(starts, energy.low)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["layer/0 dense", "layer/1 dense"]
    assert [text.get_text() for text in ax.texts] == ["29 to 31.9 µJ", "2.65 to 4.1 µJ"]
    assert "estimated" in ax.get_xlabel()
    assert "Loihi" in ax.get_xlabel()


def test_the_first_layer_is_above_and_every_label_inside_the_axes() -> None:
    ax = plot.energy_per_layer(estimate((1e6, 2e6, 0.0), (1e5, 1e5, 0.0)))
    low, high = ax.get_ylim()
    assert low > high
    ax.figure.draw_without_rendering()
    inside = ax.get_window_extent()
    assert all(text.get_window_extent().x1 <= inside.x1 for text in ax.texts)


def test_draws_into_the_axes_given() -> None:
    ax = Figure().add_subplot()
    assert plot.energy_per_layer(estimate((0.0,), (0.0,)), ax) is ax
    assert [text.get_text() for text in ax.texts] == ["0 to 0 J"]


def test_what_is_no_energy_is_refused() -> None:
    with pytest.raises(DtypeError, match="energy"):
        plot.energy_per_layer({"layer/0 dense": 3.0})


def test_a_recording_without_a_class_is_drawn_layer_by_layer() -> None:
    rng = np.random.default_rng(0)
    spikes = {f"layer/{i} dense": (rng.random((6, 20)) < 0.3).astype(np.int8) for i in range(4)}
    sample = plot.Sample(np.eye(4, 20), np.eye(1, 20), spikes, name="a.npz")
    figures = plot.run_figures(plot.Evaluation([sample], name="some.net"))
    assert list(figures) == ["layers_0"]
    titles = [ax.get_title(loc="left") for ax in figures["layers_0"].axes]
    assert titles[0] == "input: 4 events, 4 inputs"
    assert titles[-1] == "output: 1 spikes, 1 neuron"
    assert len(titles) == 6
    assert figures["layers_0"].axes[-1].get_yticks().tolist() == [0]
    assert figures["layers_0"].get_suptitle() == "some.net: recording a.npz"
