"""Every public name of lava-dl's slayer and bootstrap, with its arguments; run with lava-dl.

python lava_dl_names.py NAMES.json  writes {"names": {name: arguments or None}, "members": {name: arguments or None}}.

A module's names are what it defines, and a package's also what it takes from its modules. Members are the public
methods and properties of its classes. Object detection is left out.
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
Arguments = dict[str, "list[str] | None"]


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


def arguments(function: Any) -> list[str] | None:
    """The names of what a function or a class takes; of a class that passes everything on, what its base takes."""
    for part in getattr(function, "__mro__", [function]):
        own = vars(part).get("__init__") if inspect.isclass(part) else part
        if not inspect.isfunction(own):
            continue
        parameters = list(inspect.signature(own).parameters.values())[inspect.isclass(part) :]
        named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if named or not parameters:
            return named
    return None


def members(value: type) -> Arguments:
    """The public methods and properties that a class has from slayer; those of an autograd function are torch's."""
    found: Arguments = {}
    if issubclass(value, torch.autograd.Function):
        return found
    for part in reversed(value.__mro__):
        for name, member in vars(part).items() if part.__module__.startswith(tuple(PACKAGES)) else ():
            inner = getattr(member, "__func__", member)  # of a static method
            if name.startswith("_") or not (inspect.isfunction(inner) or isinstance(member, property)):
                continue
            found[name] = [n for n in arguments(inner) or [] if n != "self"] if inspect.isfunction(inner) else None
    return found


def arguments_of_network() -> list[str]:
    """Those of netx's Network, from the text of its file: netx needs Lava."""
    import lava.lib.dl.slayer

    file = Path(str(lava.lib.dl.slayer.__file__)).parents[1] / "netx" / "hdf5.py"
    (network,) = (node for node in ast.parse(file.read_text()).body if getattr(node, "name", "") == "Network")
    (start,) = (node for node in ast.walk(network) if getattr(node, "name", "") == "__init__")
    return [argument.arg for argument in start.args.args[1:]]


def main() -> None:
    names: Arguments = {}
    of_classes: Arguments = {}
    for package, start in PACKAGES.items():
        for path, module in modules(importlib.import_module(package)).items():
            names.setdefault(start + path, None)  # a function of that name may have come with the package
            for name, value in vars(module).items():
                if name.startswith("_") or inspect.ismodule(value) or not defines(module, name, value):
                    continue
                names[f"{start}{path}.{name}"] = arguments(value)
                if inspect.isclass(value) and value.__module__ == module.__name__:
                    of_classes |= {f"{start}{path}.{name}.{key}": args for key, args in members(value).items()}
    names["netx.hdf5.Network"] = arguments_of_network()
    Path(sys.argv[1]).write_text(json.dumps({"names": names, "members": of_classes}), encoding="utf-8")


if __name__ == "__main__":
    main()
