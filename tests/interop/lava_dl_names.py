"""Every public name of lava-dl's slayer and bootstrap, with its arguments; run with lava-dl.

python lava_dl_names.py NAMES.json  writes {"names": {name: arguments or None}, "members": {name: arguments or None}},
with arguments {name: default's repr, or None}.

A module's names are what it defines, and a package's also what it takes from its modules. Members are the public
methods and properties of its classes, and the attributes of their instances. Object detection is left out.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

PACKAGES = {"lava.lib.dl.slayer": "", "lava.lib.dl.bootstrap": "bootstrap."}
"""Package -> what its names begin with here."""
OBJECT_DETECTION = ("object_detection", "obd")
LIF = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.5}
RESONATES = {"threshold": 1.0, "period": 10, "decay": 0.1}
ADAPTS = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.1}
NEURONS: dict[str, dict[str, Any]] = {
    "cuba": LIF,
    "alif": LIF | ADAPTS,
    "rf": RESONATES,
    "rf_iz": RESONATES,
    "adrf": RESONATES | ADAPTS,
    "adrf_iz": RESONATES | ADAPTS,
    "sigma_delta": {"threshold": 1.0, "activation": torch.relu},
}
LAYERS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("Affine", "Dense", "Output", "Recurrent"), (4, 3)),
    **dict.fromkeys(("Conv", "ConvT", "ConvTranspose"), (2, 3, 3)),
    **dict.fromkeys(("Average", "Pool", "TimeDecimation", "Unpool"), (2,)),
    **dict.fromkeys(("Flatten", "Input"), ()),
    "KWTA": (4, 3, 1),
}
WITHOUT_NEURON = ("Average", "Flatten", "TimeDecimation")
OTHERS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("axon.delay.Delay", "dendrite.sigma.Sigma", "neuron.dropout.Dropout", "utils.filter.fir.FIR"), ()),
    **dict.fromkeys(("neuron.norm.MeanOnlyBatchNorm", "neuron.norm.WgtScaleBatchNorm"), ()),
    **dict.fromkeys(("loss.SpikeTime", "loss.SpikeMax", "loss.SpikeMoid", "loss.SparsityEnforcer"), ()),
    **dict.fromkeys(("classifier.Rate", "utils.stats.LearningStat", "utils.stats.LearningStats"), ()),
    **dict.fromkeys(("bootstrap.ann_sampler.AnnSampler", "bootstrap.routine.Scheduler"), ()),
    "axon.delta.Delta": (1.0,),
    "classifier.MovingWindow": (5,),
    "io.Event": ([1], [1], [0], [1.0]),
    "loss.SpikeRate": (0.2, 0.03),
    "utils.assistant.Assistant": (torch.nn.Linear(1, 1), torch.nn.MSELoss(), None),
    "utils.filter.fir.FIRBank": (2, 3),
}
"""What classes are built with, to see the attributes that their instances have."""

Arguments = dict[str, "str | None"]
"""Of a function, in their order: their defaults' repr, None where there is no default."""


def modules(package: ModuleType) -> dict[str, ModuleType]:
    """A package's modules by their path inside it."""
    start = package.__name__ + "."
    names = [info.name for info in pkgutil.walk_packages(package.__path__, start)]
    names = [name for name in names if name.removeprefix(start).split(".")[0] not in OBJECT_DETECTION]
    return {name.removeprefix(start): importlib.import_module(name) for name in names}


def constants(module: ModuleType) -> set[str]:
    """What a module assigns."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def defines(module: ModuleType, name: str, value: Any) -> bool:
    """Whether a name is a module's own, or a package's that brings it from one of its modules."""
    origin = str(getattr(value, "__module__", ""))
    if hasattr(module, "__path__"):
        return origin.startswith(f"{module.__name__}.")
    return origin == module.__name__ or name in constants(module)


def arguments(function: Any) -> Arguments | None:
    """What a function or a class takes; of a class that passes everything on, what its base takes."""
    for part in getattr(function, "__mro__", [function]):
        own = vars(part).get("__init__") if inspect.isclass(part) else part
        if not inspect.isfunction(own):
            continue
        parameters = [p for p in inspect.signature(own).parameters.values() if p.name != "self"]
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if named or not parameters:
            return {p.name: None if p.default is p.empty else repr(p.default) for p in named}
    return None


def members(value: type) -> dict[str, Arguments | None]:
    """The public methods and properties that a class has from slayer; those of an autograd function are torch's."""
    found: dict[str, Arguments | None] = {}
    if issubclass(value, torch.autograd.Function):
        return found
    for part in reversed(value.__mro__):
        for name, member in vars(part).items() if part.__module__.startswith(tuple(PACKAGES)) else ():
            inner = getattr(member, "__func__", member)  # of a static method
            if name.startswith("_") or not (inspect.isfunction(inner) or isinstance(member, property)):
                continue
            found[name] = arguments(inner) if inspect.isfunction(inner) else None
    return found


def build(name: str, value: Any) -> Any:
    """An instance of the class of a name; None if there is nothing to know about it."""
    module, _, kind = name.rpartition(".")
    layer, _, neuron = module.partition(".")
    if layer == "neuron" and kind == "Neuron" and neuron in NEURONS:
        return value(**NEURONS[neuron])
    if (layer == "block" or module == "bootstrap.block.cuba") and kind in LAYERS:
        params = () if kind in WITHOUT_NEURON else (dict(NEURONS[module.rpartition(".")[2]]),)
        return value(*params, *LAYERS[kind])
    if layer == "synapse" and kind in LAYERS:
        return value(*LAYERS[kind])
    return value(*OTHERS[name]) if name in OTHERS else None


def attributes(name: str, value: type) -> set[str]:
    """The public attributes of an instance that torch's own modules do not have; none where lava-dl cannot build it."""
    try:
        instance = build(name, value)
    except (AttributeError, TypeError):
        return set()
    names = set() if instance is None else set(vars(instance))
    for held in ("_parameters", "_buffers", "_modules"):
        names |= set(getattr(instance, held, ()))
    return {name for name in names if not name.startswith("_") and name not in TORCHS}


TORCHS = {
    name
    for module in (torch.nn.Conv3d(1, 1, 1), torch.nn.ConvTranspose3d(1, 1, 1), torch.nn.Dropout3d())
    for name in (*vars(module), *module._parameters)
}


def arguments_of_network() -> Arguments:
    """Those of netx's Network, from the text of its file: netx needs Lava."""
    import lava.lib.dl.slayer

    file = Path(str(lava.lib.dl.slayer.__file__)).parents[1] / "netx" / "hdf5.py"
    (network,) = (node for node in ast.parse(file.read_text()).body if getattr(node, "name", "") == "Network")
    (start,) = (node for node in ast.walk(network) if getattr(node, "name", "") == "__init__")
    named, defaults = start.args.args[1:], [ast.unparse(default) for default in start.args.defaults]
    return dict(
        zip([argument.arg for argument in named], [None] * (len(named) - len(defaults)) + defaults, strict=True)
    )


def main() -> None:
    names: dict[str, Arguments | None] = {}
    of_classes: dict[str, Arguments | None] = {}
    for package, start in PACKAGES.items():
        for path, module in modules(importlib.import_module(package)).items():
            names.setdefault(start + path, None)  # a function of that name may have come with the package
            for name, value in vars(module).items():
                if name.startswith("_") or inspect.ismodule(value) or not defines(module, name, value):
                    continue
                names[f"{start}{path}.{name}"] = arguments(value)
                if inspect.isclass(value) and value.__module__ == module.__name__:
                    whole = f"{start}{path}.{name}"
                    own = dict.fromkeys(attributes(whole, value)) | members(value)
                    of_classes |= {f"{whole}.{key}": args for key, args in own.items()}
    names["netx.hdf5.Network"] = arguments_of_network()
    Path(sys.argv[1]).write_text(json.dumps({"names": names, "members": of_classes}), encoding="utf-8")


if __name__ == "__main__":
    main()
