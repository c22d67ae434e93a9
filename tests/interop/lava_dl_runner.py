"""Runs files of lava-dl's own unit tests, unchanged, with slayerloss in the place of lava-dl.

python lava_dl_runner.py RESULT.json FOLDER SEED FILE ...  writes {file: {test: None or the traceback}}.
With LAVA_PYTHON and LAVA_TOOLS in the environment, what the files run on Lava runs there.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import os
import pkgutil
import sys
import traceback
import types
import unittest
from pathlib import Path

import lava_stand_in
import numpy as np
import torch
from lava_process import LavaProcess

import slayerloss

PLACES = {"slayerloss": "lava.lib.dl.slayer", "slayerloss.bootstrap": "lava.lib.dl.bootstrap"}
"""Package here -> its name there."""
LAVA_DLS = {
    *("auto", "axon", "block", "bootstrap", "classifier", "dendrite"),
    *("io", "loss", "neuron", "spike", "synapse", "utils"),
}


SECONDS_OF_LAVA = 120
"""To wait for a network."""


def put_in_place() -> None:
    """Give every module of slayerloss its name in lava-dl; the objects stay the same."""
    for name in ("lava", "lava.lib", "lava.lib.dl"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []  # a package, with nothing on the disk
    names = [info.name for info in pkgutil.iter_modules(slayerloss.__path__) if info.name in LAVA_DLS]
    tops = [importlib.import_module(f"slayerloss.{name}") for name in names]
    inner = [
        importlib.import_module(info.name)
        for top in tops
        for info in pkgutil.walk_packages(getattr(top, "__path__", []), f"{top.__name__}.")
    ]
    for module in [slayerloss, *tops, *inner]:
        for ours, theirs in PLACES.items():
            if f"{module.__name__}.".startswith(f"{ours}."):
                sys.modules[theirs + module.__name__.removeprefix(ours)] = module
    for ours, theirs in PLACES.items():
        parent, _, last = theirs.rpartition(".")
        setattr(sys.modules[parent], last, sys.modules[ours])


class Outcome(unittest.TestResult):
    """What went wrong in each test that was run, or None."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str | None] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.found[test.id().partition(".")[2]] = None

    def addError(self, test: unittest.TestCase, err: object) -> None:
        super().addError(test, err)
        self.found[test.id().partition(".")[2]] = self.errors[-1][1]

    def addFailure(self, test: unittest.TestCase, err: object) -> None:
        super().addFailure(test, err)
        self.found[test.id().partition(".")[2]] = self.failures[-1][1]


def run(path: Path, seed: int) -> dict[str, str | None]:
    """Import a file of tests and run them; the file draws what it tests from numpy's global seed."""
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    spec = importlib.util.spec_from_file_location("lava_dls", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception:
        return {"import": traceback.format_exc()}
    outcome = Outcome()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(outcome)
    return outcome.found


def main() -> None:
    result, folder, seed, *files = sys.argv[1:]
    del sys.argv[1:]  # lava-dl's files look for -v there
    put_in_place()
    python, tools = (Path(os.environ.get(name, ".")) for name in ("LAVA_PYTHON", "LAVA_TOOLS"))
    with LavaProcess(python, tools, Path(result).parent, SECONDS_OF_LAVA) as lava:
        lava_stand_in.put_in_place(lava)
        with contextlib.redirect_stdout(io.StringIO()):
            found = {file: run(Path(folder, file), int(seed)) for file in files}
    Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
