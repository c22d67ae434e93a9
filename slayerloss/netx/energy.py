"""Estimate the energy that the chip takes for a recording, from the operations and published figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import check_type
from slayerloss.netx.operations import Operations


@dataclass(frozen=True)
class Figures:
    """What single operations of a chip take, in picojoule, and who says so.

    Attributes:
        chip: its name.
        synaptic: a synaptic operation.
        update_active: the update of an active neuron.
        update_inactive: the update of an inactive neuron.
        message: a spike on its way within a tile.
        source: where the figures are from.
        basis: what kind of figures they are.
    """

    chip: str
    synaptic: float
    update_active: float
    update_inactive: float
    message: float
    source: str
    basis: str


LOIHI = Figures(
    chip="Loihi",
    synaptic=23.6,
    update_active=81.0,
    update_inactive=52.0,
    message=1.7,
    source="M. Davies et al., 'Loihi: A Neuromorphic Manycore Processor with On-Chip Learning', IEEE Micro 38(1), "
    "2018, table 2",
    basis="simulations before there was silicon; that of a synaptic operation is a minimum",
)
"""Loihi, the first."""


@dataclass(frozen=True)
class Energy:
    """Joule per recording of each layer, (L,) float64, and the operations per recording that it is for.

    Attributes:
        layers: names of the layers, such as "layer/2 dense".
        operations: synaptic operations.
        updates: neuron updates.
        messages: events that come in, to layers of neurons.
        figures: the energy of each of these.
    """

    layers: tuple[str, ...]
    operations: NDArray[np.float64]
    updates: NDArray[np.float64]
    messages: NDArray[np.float64]
    figures: Figures

    @property
    def synaptic(self) -> NDArray[np.float64]:
        """(L,) J of the synaptic operations."""
        return self.operations * self.figures.synaptic * 1e-12

    @property
    def routing(self) -> NDArray[np.float64]:
        """(L,) J of the spikes on their way, one message within a tile each."""
        return self.messages * self.figures.message * 1e-12

    @property
    def low(self) -> NDArray[np.float64]:
        """(L,) J in all, if every neuron update is one of an inactive neuron."""
        return self.synaptic + self.routing + self.updates * self.figures.update_inactive * 1e-12

    @property
    def high(self) -> NDArray[np.float64]:
        """(L,) J in all, if every neuron update is one of an active neuron."""
        return self.synaptic + self.routing + self.updates * self.figures.update_active * 1e-12

    def __str__(self) -> str:
        figures, updates = self.figures, float(self.updates.sum())
        low, high = updates * figures.update_inactive * 1e-12, updates * figures.update_active * 1e-12
        between = f"{figures.update_inactive:g} (inactive) to {figures.update_active:g} pJ (active)"
        rows = [
            ("synaptic operations", self.operations, f"{figures.synaptic:g} pJ", joule(float(self.synaptic.sum()))),
            ("neuron updates", self.updates, between, span(low, high)),
            ("spikes within a tile", self.messages, f"{figures.message:g} pJ", joule(float(self.routing.sum()))),
        ]
        counts = [f"{counted.sum():,.0f}" for _, counted, _, _ in rows]
        width = max(map(len, counts))
        lines = [
            f"  {name:20}  {count:>{width}} x {each} = {energy}"
            for (name, _, each, energy), count in zip(rows, counts, strict=True)
        ]
        whole = span(float(self.low.sum()), float(self.high.sum()))
        head = f"energy per recording on {figures.chip}, estimated: {whole}"
        return "\n".join([head, *lines, f"  Figures: {figures.source}:", f"  {figures.basis}.", f"  {NOT_COUNTED}"])


NOT_COUNTED = (
    "The dynamic energy of the cores alone: without static power, hops between tiles, input and output, x86 cores."
)


def energy(operations: Operations, figures: Figures = LOIHI) -> Energy:
    """Estimate the energy per recording that a chip takes for these operations.

    E = synaptic operations * E_synaptic + neuron updates * E_update + incoming events * E_message

    It is the dynamic energy of the cores. Left out are static power, hops between tiles (they depend on where a
    compiler puts the neurons), input and output, the x86 cores, and the barrier that ends each step: measure on the
    chip what the system takes. How many of the neuron updates are those of active neurons is not known here, so that
    the estimate is a span: from none of them to all. An event is one message within a tile for the layer that it
    arrives in.

    Args:
        operations: what the network did.
        figures: energies of the operations; those of the first Loihi.

    Returns:
        The means over the recordings, by layers, in joule; `low.sum()` to `high.sum()` is the whole. Printed, it names
        the figures and their source.

    Raises:
        DtypeError: `operations` are no Operations, or `figures` no Figures.

    Example:
        >>> from slayerloss.netx.operations import LayerOperations
        >>> counts = LayerOperations(0, "dense", 10, *(np.array([n]) for n in (1000, 1000, 3000, 90)))
        >>> estimate = energy(Operations(20, np.array([1000]), np.array([300]), (counts,)))
        >>> print(f"{1e9 * estimate.low.sum():.1f} to {1e9 * estimate.high.sum():.1f} nJ")
        181.3 to 268.3 nJ

    References:
        M. Davies et al.: Loihi: A Neuromorphic Manycore Processor with On-Chip Learning. IEEE Micro 38(1), 82-99
        (2018), https://doi.org/10.1109/MM.2018.112130359, table 2: simulations before there was silicon.
    """
    check_type("energy", "operations", operations, Operations, "what netx.operations gave")
    check_type("energy", "figures", figures, Figures, "netx.Figures")
    layers = operations.layers

    def means(name: str) -> NDArray[np.float64]:
        return np.array([getattr(layer, name).mean() for layer in layers], np.float64)

    names = tuple(layer.name for layer in layers)
    messages = np.where([layer.neurons > 0 for layer in layers], means("arrivals"), 0.0)  # an average leaves the cores
    return Energy(names, means("synaptic"), means("updates"), messages, figures)


def joule(energy: float) -> str:
    """An energy with a unit.

    Example:
        >>> joule(2.36e-6), joule(0.0)
        ('2.36 µJ', '0 J')
    """
    energy = float(f"{energy:.3g}")  # before the unit is chosen: 999.9 nJ is 1 µJ
    for unit, scale in (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6), ("nJ", 1e-9), ("pJ", 1e-12)):
        if energy >= scale:
            return f"{energy / scale:.3g} {unit}"
    return "0 J" if energy == 0 else f"{energy * 1e12:.3g} pJ"


def span(low: float, high: float) -> str:
    """From one energy to another.

    Example:
        >>> span(2e-6, 3e-6), span(5e-7, 2e-6)
        ('2 to 3 µJ', '500 nJ to 2 µJ')
    """
    first, last = joule(low), joule(high)
    number, unit = first.split()
    return f"{number} to {last}" if last.endswith(f" {unit}") else f"{first} to {last}"
