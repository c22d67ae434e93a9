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
    "auto": "SequentialNetwork",
    "axon": "Delay delay",
    "neuron": "Dropout",
    "neuron.norm": "MeanOnlyBatchNorm",
    "neuron.cuba": "Neuron",
    "synapse": "Dense Conv Pool",
    "utils": "quantize event_rate quantize_hook_fx",
    "utils.filter": "FIR FIRBank conv corr",
    "utils.time": "replicate shift",
    "block.base": """AbstractInput AbstractFlatten AbstractAffine AbstractDense AbstractConv AbstractPool
        AbstractAverage AbstractRecurrent""",
    "io": """Event read_1d_spikes encode_1d_spikes read_2d_spikes encode_2d_spikes read_np_spikes encode_np_spikes
        tensor_to_event""",
}

# Writes {"module.Name.method": [argument, ...]}; lava-dl's blocks take *args and leave the names to block.base. Its
# netx needs Lava, so that its names are read from the text of the file.
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
import ast, pathlib
tree = ast.parse(pathlib.Path(slayer.__file__).parents[1].joinpath("netx", "hdf5.py").read_text())
(network,) = [node for node in tree.body if getattr(node, "name", "") == "Network"]
(init,) = [node for node in network.body if getattr(node, "name", "") == "__init__"]
found["netx.hdf5.Network.__init__"] = [a.arg for a in init.args.args if a.arg != "self"]
names = []
for module in ("axon", "block", "dendrite", "neuron", "spike", "synapse", "utils"):
    names += [f"{module}.{name}" for name, value in vars(getattr(slayer, module)).items()
              if not name.startswith("_") and getattr(value, "__module__", value.__name__).startswith("lava")]
with open(sys.argv[2], "w") as file:
    json.dump({"arguments": found, "names": names}, file)
"""

MISSING = {
    **{
        f"auto.SequentialNetwork.{name}_block": "netx.to_torch does it for the whole file"
        for name in ("average", "dense", "flatten", "input", "read")
    },
    "axon.Delay.clamp": "delays are clamped at each use",
    "neuron.cuba.Neuron.clamp": "decays are clamped at each use",
    "io.Event.anim": "plot.animate_event",
    "io.Event.show": "plot.show_event",
}

INNER = {
    *("axon.delta", "dendrite.sigma", "neuron.dropout", "spike.spike", "synapse.layer"),
    *("utils.assistant", "utils.stats", "utils.utils"),
}
"""Files whose names lava-dl exports beside them."""

NOT_HERE = {
    # name: how the page for lava-dl's users calls it
    "axon.Delta": "axon.Delta",
    "block.adrf": "adrf",
    "block.adrf_iz": "adrf_iz",
    "block.alif": "alif",
    "block.base": "block.base",
    "block.rf": "rf",
    "block.rf_iz": "rf_iz",
    "block.sigma_delta": "sigma_delta",
    "dendrite.Sigma": "dendrite.Sigma",
    "neuron.adrf": "adrf",
    "neuron.adrf_iz": "adrf_iz",
    "neuron.alif": "alif",
    "neuron.base": "neuron.base",
    "neuron.dynamics": "neuron.dynamics",
    "neuron.rf": "rf",
    "neuron.rf_iz": "rf_iz",
    "neuron.sigma_delta": "sigma_delta",
    "spike.complex": "spike.complex",
    "synapse.ConvTranspose": "ConvT",
    "synapse.Unpool": "Unpool",
    "synapse.complex": "synapse.complex",
    "utils.Assistant": "slayer.utils.Assistant",
    "utils.LearningStat": "LearningStats",
    "utils.LearningStats": "LearningStats",
    "utils.diagonal_mask": "utils.diagonal_mask",
    "utils.dotdict": "utils.dotdict",
    "utils.int_utils": "utils.int_utils",
    "utils.recurrent": "utils.recurrent",
    "utils.staticproperty": "utils.staticproperty",
}
DOCS = Path(__file__).resolve().parents[2] / "docs" / "from-lava-dl.md"
HERE = {"netx.hdf5.Network": "netx.Network"} | {
    f"block.base.{name}": f"block.cuba.{name.removeprefix('Abstract')}" for name in NAMES["block.base"].split()
}


def arguments_of(key: str) -> list[str] | None:
    """The names of the arguments of slayerloss's function or method of that name; None if there is none."""
    place, method = key.rsplit(".", 1)
    module, name = HERE.get(place, place).rsplit(".", 1)
    value: Any = getattr(importlib.import_module(f"slayerloss.{module}"), name)
    value = getattr(value, method, None) if method else value
    return None if value is None else [name for name in inspect.signature(value).parameters if name != "self"]


def is_here(name: str) -> bool:
    """Whether slayerloss has what lava-dl calls so."""
    module, _, attribute = name.partition(".")
    try:
        return hasattr(importlib.import_module(f"slayerloss.{module}"), attribute)
    except ModuleNotFoundError:
        return False


@pytest.fixture(scope="module")
def found(lava_dl: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The arguments and the names of lava-dl."""
    path = tmp_path_factory.mktemp("names") / "names.json"
    lava_dl("-c", ON_LAVA_DL, json.dumps(NAMES), path)
    return json.loads(path.read_text())


@pytest.mark.lava
def test_arguments_have_lava_dls_names_in_its_order(found: dict[str, Any]) -> None:
    found = found["arguments"]
    assert len(found) > 40
    ours = {key: arguments_of(key) for key in found}
    assert {key for key, names in ours.items() if names is None} == set(MISSING)
    for key, names in ours.items():
        if names is not None:
            assert names[: len(found[key])] == found[key], key


@pytest.mark.lava
def test_a_name_that_is_not_here_stands_in_the_docs(found: dict[str, Any]) -> None:
    assert {name for name in found["names"] if not is_here(name)} - INNER == set(NOT_HERE)
    text = DOCS.read_text()
    for name in NOT_HERE.values():
        assert f"`{name}`" in text, name
