"""Training: recipes, the LightningModule, the data module, runs.

Lightning is imported with the first name that needs it, and nowhere outside of this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slayerloss._check import check_installed
from slayerloss.train.recipe import DataOptions, NetworkOptions, Recipe, TrainerOptions, read_recipe, write_recipe

if TYPE_CHECKING:
    from slayerloss.train.build import build_data, build_learner
    from slayerloss.train.data import EventData
    from slayerloss.train.learner import Learner
    from slayerloss.train.network import Network, build_network
    from slayerloss.train.penalties import RegularizerCallback
    from slayerloss.train.run import Run, fit
    from slayerloss.train.schedule import Schedule

_HOMES = {
    "EventData": "data",
    "Learner": "learner",
    "Network": "network",
    "RegularizerCallback": "penalties",
    "Run": "run",
    "Schedule": "schedule",
    "build_data": "build",
    "build_learner": "build",
    "build_network": "network",
    "fit": "run",
}

__all__ = [
    "DataOptions",
    "EventData",
    "Learner",
    "Network",
    "NetworkOptions",
    "Recipe",
    "RegularizerCallback",
    "Run",
    "Schedule",
    "TrainerOptions",
    "build_data",
    "build_learner",
    "build_network",
    "fit",
    "read_recipe",
    "write_recipe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'slayerloss.train' has no attribute {name!r}")
    for package in ("lightning", "torchmetrics"):
        check_installed("slayerloss.train", package, "train")
    return getattr(importlib.import_module(f"slayerloss.train.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
