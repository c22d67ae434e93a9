"""What each layer of a network takes on the chip."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from slayerloss._check import check_type
from slayerloss.netx import Energy
from slayerloss.netx.energy import span
from slayerloss.plot.style import MUTED, PALETTE, WIDTH, color_key, label_size, name_at_axis, new_axes

_SYNAPTIC, _INACTIVE, _ACTIVE = PALETTE[0], MUTED, PALETTE[3]


def energy_per_layer(energy: Energy, ax: Axes | None = None) -> Axes:
    """Draw what each layer takes for a recording: synaptic operations, and neuron updates from least to most.

    Args:
        energy: what `netx.energy` estimated.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes. A bar a layer: synaptic operations with the spikes that bring them, then neuron updates as those of
        inactive neurons, then what these take more if all neurons are active.

    Raises:
        DtypeError: `energy` is no Energy.

    Example:
        >>> from slayerloss import netx
        >>> neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 80}
        >>> layer = {"type": "dense", "shape": [1], "weight": [[100, 2]], "neuron": neuron}
        >>> counts = netx.operations(netx.Network(netx.describe([layer])), np.ones((2, 10)))
        >>> ax = energy_per_layer(netx.energy(counts))
        >>> [text.get_text() for text in ax.texts]
        ['1.03 to 1.32 nJ']
    """
    check_type("energy_per_layer", "energy", energy, Energy, "what netx.energy estimated")
    ax = new_axes(ax, (WIDTH, 0.9 + 0.28 * len(energy.layers)))
    incoming = energy.synaptic + energy.routing
    left = np.zeros(len(incoming))
    for values, color in (
        (incoming, _SYNAPTIC),
        (energy.low - incoming, _INACTIVE),
        (energy.high - energy.low, _ACTIVE),
    ):
        ax.barh(range(len(values)), values, left=left, color=color, height=0.6)
        left = left + values
    for i, (low, high) in enumerate(zip(energy.low, energy.high, strict=True)):
        text = span(float(low), float(high))
        ax.annotate(text, (high, i), (3, 0), textcoords="offset points", va="center", fontsize=label_size(ax))
    ax.set_yticks(range(len(energy.layers)), [name_at_axis(ax, name) for name in energy.layers])
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.45 * float(energy.high.max()), 1e-15))
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks([])
    ax.set_xlabel(f"energy per recording on {energy.figures.chip}, estimated", loc="left")
    names = (("synaptic operations", _SYNAPTIC), ("neuron updates", _INACTIVE), ("more if all are active", _ACTIVE))
    color_key(ax, names)
    return ax
