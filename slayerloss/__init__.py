"""slayerloss: train spiking networks on events and put them on Loihi.

Event tensors are (N, C, T) or (N, C, H, W, T): batch, channel, [space], time last; one step is one bin. Submodules
load when they are first used, so that `import slayerloss` is quick and `io` and `netx` work without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slayerloss._check import (
    ArgumentError,
    BackendError,
    DivergedError,
    DtypeError,
    FileError,
    FormatError,
    MissingFileError,
    MissingPackageError,
    ShapeError,
    SlayerError,
    debug_checks,
)

if TYPE_CHECKING:
    from slayerloss import (
        auto,
        axon,
        block,
        bootstrap,
        classifier,
        data,
        dendrite,
        filter,
        functional,
        io,
        kernels,
        loss,
        netx,
        neuron,
        plot,
        regularizer,
        spike,
        synapse,
        train,
        utils,
    )
    from slayerloss.kernels import use_backend

__version__ = "0.1.0"

_SUBMODULES = (
    "auto",
    "axon",
    "block",
    "bootstrap",
    "classifier",
    "data",
    "dendrite",
    "filter",
    "functional",
    "io",
    "kernels",
    "loss",
    "netx",
    "neuron",
    "plot",
    "regularizer",
    "spike",
    "synapse",
    "train",
    "utils",
)

__all__ = [
    "ArgumentError",
    "BackendError",
    "DivergedError",
    "DtypeError",
    "FileError",
    "FormatError",
    "MissingFileError",
    "MissingPackageError",
    "ShapeError",
    "SlayerError",
    "__version__",
    "auto",
    "axon",
    "block",
    "bootstrap",
    "classifier",
    "data",
    "debug_checks",
    "dendrite",
    "filter",
    "functional",
    "io",
    "kernels",
    "loss",
    "netx",
    "neuron",
    "plot",
    "regularizer",
    "spike",
    "synapse",
    "train",
    "use_backend",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"slayerloss.{name}")
    if name == "use_backend":  # which needs torch
        return importlib.import_module("slayerloss.kernels").use_backend
    raise AttributeError(f"module 'slayerloss' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
