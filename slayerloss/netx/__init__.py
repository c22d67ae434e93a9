"""The network file: write it, read it, check it, run it.

`export` and `compare` take torch models; everything else needs numpy and h5py only.
"""

from __future__ import annotations

from slayerloss._finding import Finding
from slayerloss.netx.check import check
from slayerloss.netx.compare import Comparison, compare
from slayerloss.netx.description import Description, Layer
from slayerloss.netx.export import export
from slayerloss.netx.read import read
from slayerloss.netx.run import Network, Recording
from slayerloss.netx.table import inspect
from slayerloss.netx.write import describe, write

__all__ = [
    "Comparison",
    "Description",
    "Finding",
    "Layer",
    "Network",
    "Recording",
    "check",
    "compare",
    "describe",
    "export",
    "inspect",
    "read",
    "write",
]
