"""lava-dl's public names, with the names and the order of their arguments, are slayerloss's."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAMES = {
    "loss": "SpikeTime SpikeRate SpikeMax SpikeMoid SparsityEnforcer",
    "classifier": "Rate MovingWindow",
    "axon": "Delay delay",
    "neuron": "Dropout",
    "neuron.norm": "MeanOnlyBatchNorm",
    "neuron.cuba": "Neuron",
    "synapse": "Dense Conv Pool",
    "utils": "quantize event_rate quantize_hook_fx",
    "utils.filter": "FIR FIRBank conv corr",
    "utils.time": "replicate shift",
    "io": """Event read_1d_spikes encode_1d_spikes read_2d_spikes encode_2d_spikes read_np_spikes encode_np_spikes
        tensor_to_event""",
}

# Writes {"module.Name.method": [argument, ...]}; lava-dl's blocks take *args and say no names.
ON_LAVA_DL = """
import inspect, json, sys
from lava.lib.dl import slayer
found = {}
for module, names in json.loads(sys.argv[1]).items():
    place = slayer
    for part in module.split("."):
        place = getattr(place, part)
    for name in names.split():
        value = getattr(place, name)
        methods = {"": value}
        if inspect.isclass(value):
            own = [c for c in reversed(value.__mro__) if c.__module__.startswith("lava")]
            methods = {key: method for c in own for key, method in vars(c).items()
                       if inspect.isfunction(method) and (key == "__init__" or not key.startswith("_"))}
        for key, method in methods.items():
            arguments = [a for a in inspect.signature(method).parameters if a != "self"]
            found[f"{module}.{name}.{key}"] = arguments
with open(sys.argv[2], "w") as file:
    json.dump(found, file)
"""

MISSING = {
    "axon.Delay.clamp": "delays are clamped at each use",
    "neuron.cuba.Neuron.clamp": "decays are clamped at each use",
    "io.Event.anim": "plot.animate_event",
    "io.Event.show": "plot.show_event",
}


def arguments_of(key: str) -> list[str] | None:
    """The names of the arguments of slayerloss's function or method of that name; None if there is none."""
    module, name, method = key.rsplit(".", 2)
    value: Any = getattr(importlib.import_module(f"slayerloss.{module}"), name)
    value = getattr(value, method, None) if method else value
    return None if value is None else [name for name in inspect.signature(value).parameters if name != "self"]


@pytest.mark.lava
def test_arguments_have_lava_dls_names_in_its_order(lava_dl: Callable[..., None], tmp_path: Path) -> None:
    lava_dl("-c", ON_LAVA_DL, json.dumps(NAMES), tmp_path / "names.json")
    found = json.loads((tmp_path / "names.json").read_text())
    assert len(found) > 40
    ours = {key: arguments_of(key) for key in found}
    assert {key for key, names in ours.items() if names is None} == set(MISSING)
    for key, names in ours.items():
        if names is not None:
            assert names[: len(found[key])] == found[key], key
