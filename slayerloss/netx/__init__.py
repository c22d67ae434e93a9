"""The network file: write it, read it, check it, run it.

`export` and `compare` take torch models and `to_torch` makes one; everything else needs numpy and h5py only.
"""

from __future__ import annotations

from slayerloss._finding import Finding
from slayerloss.netx import hdf5
from slayerloss.netx.check import check
from slayerloss.netx.compare import Comparison, compare
from slayerloss.netx.description import Description, Layer
from slayerloss.netx.difference import Difference
from slayerloss.netx.energy import LOIHI, Energy, Figures, energy
from slayerloss.netx.export import export
from slayerloss.netx.operations import LayerOperations, Operations, operations
from slayerloss.netx.quirks import LayerDifference, Quirks, quirks
from slayerloss.netx.read import read
from slayerloss.netx.run import Network
from slayerloss.netx.runtime.recording import Recording, State
from slayerloss.netx.table import inspect
from slayerloss.netx.to_torch import to_torch
from slayerloss.netx.write import describe, write

__all__ = [
    "LOIHI",
    "Comparison",
    "Description",
    "Difference",
    "Energy",
    "Figures",
    "Finding",
    "Layer",
    "LayerDifference",
    "LayerOperations",
    "Network",
    "Operations",
    "Quirks",
    "Recording",
    "State",
    "check",
    "compare",
    "describe",
    "energy",
    "export",
    "hdf5",
    "inspect",
    "operations",
    "quirks",
    "read",
    "to_torch",
    "write",
]
