"""The energy estimate: the formula, the figures and what is said beside them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from netx_layers import dense, weights

from slayerloss import netx
from slayerloss._check import DtypeError
from slayerloss.netx.energy import joule, span


def test_the_estimate_is_operations_times_figures() -> None:
    rng = np.random.default_rng(0)
    network = netx.Network(netx.describe([dense(weights(rng, 6, 9)), dense(weights(rng, 4, 6, low=0))]))
    x = (rng.random((3, 9, 40)) < 0.5).astype(np.int8)
    counts = netx.operations(network, x)
    estimate = netx.energy(counts)
    assert estimate.layers == ("layer/0 dense", "layer/1 dense")
    for i, layer in enumerate(counts.layers):
        fixed = 23.6 * layer.synaptic.mean() + 1.7 * layer.arrivals.mean()
        assert estimate.low[i] == pytest.approx(1e-12 * (fixed + 52 * 40 * layer.neurons))
        assert estimate.high[i] == pytest.approx(1e-12 * (fixed + 81 * 40 * layer.neurons))
        assert estimate.synaptic[i] == pytest.approx(23.6e-12 * layer.synaptic.mean())
        assert estimate.routing[i] == pytest.approx(1.7e-12 * layer.arrivals.mean())


def test_an_average_outside_of_the_cores_takes_nothing() -> None:
    layers = [dense(np.full((4, 3), 60.0)), {"type": "average", "shape": [2, 1, 1]}]
    network = netx.Network(netx.describe(layers), arithmetic="ideal")
    counts = netx.operations(network, np.ones((3, 20)))
    assert counts.layers[1].arrivals[0] == counts.layers[0].spikes[0] > 0
    estimate = netx.energy(counts)
    assert estimate.low[1] == estimate.high[1] == 0
    assert estimate.low[0] > 0
    total = str(counts).splitlines()[-1].split()
    assert total[1:3] == ["4", str(counts.layers[0].spikes[0])]


def test_another_chip_is_another_table() -> None:
    network = netx.Network(netx.describe([dense([[8.0, 8.0]])]))
    counts = netx.operations(network, np.ones((2, 5)))
    own = dataclasses.replace(
        netx.LOIHI, chip="Ours", synaptic=1.0, update_active=3.0, update_inactive=2.0, message=0.5
    )
    estimate = netx.energy(counts, own)
    assert (estimate.low.sum(), estimate.high.sum()) == pytest.approx((25e-12, 30e-12))
    assert str(estimate).startswith("energy per recording on Ours, estimated: 25 to 30 pJ\n")


def test_it_names_its_source_and_what_it_leaves_out() -> None:
    network = netx.Network(netx.describe([dense([[90.0, 8.0]])]))
    said = str(netx.energy(netx.operations(network, np.ones((2, 1000)))))
    assert "estimated" in said
    assert "2,000 x 23.6 pJ = 47.2 nJ" in said
    assert "1,000 x 52 (inactive) to 81 pJ (active) = 52 to 81 nJ" in said
    assert "2,000 x 1.7 pJ = 3.4 nJ" in said
    assert "Davies" in said
    assert "IEEE Micro 38(1), 2018, table 2" in said
    assert (
        "The dynamic energy of the cores alone: without static power, hops between tiles, input and output, x86 cores"
        in said
    )


def test_a_silent_recording_still_takes_neuron_updates() -> None:
    network = netx.Network(netx.describe([dense([[90.0, 8.0]])]))
    estimate = netx.energy(netx.operations(network, np.zeros((2, 10))))
    assert estimate.synaptic.sum() == estimate.routing.sum() == 0
    assert estimate.low.sum() == pytest.approx(520e-12)


@pytest.mark.parametrize(
    ("energy", "text"),
    [
        (0, "0 J"),
        (2.5, "2.5 J"),
        (1e-3, "1 mJ"),
        (3.14159e-6, "3.14 µJ"),
        (999.6e-9, "1 µJ"),
        (999.4e-9, "999 nJ"),
        (2e-13, "0.2 pJ"),
    ],
)
def test_energies_have_a_unit(energy: float, text: str) -> None:
    assert joule(energy) == text


def test_spans_name_the_unit_once() -> None:
    assert span(1e-6, 1.5e-6) == "1 to 1.5 µJ"
    assert span(0.0, 0.0) == "0 to 0 J"


def test_what_is_no_operations_is_refused() -> None:
    with pytest.raises(DtypeError, match="operations"):
        netx.energy({"synaptic": 3})
    network = netx.Network(netx.describe([dense([[8.0]])]))
    with pytest.raises(DtypeError, match="figures"):
        netx.energy(netx.operations(network, np.ones((1, 3))), 23.6)
