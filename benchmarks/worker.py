"""A process that times one library's operations when it is told to: a line of JSON in, a line of JSON out.

    python benchmarks/worker.py THREADS

`harness.Worker` starts it with the Python of the library's environment.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from libraries.operation import Operation

MODULES = ("neurons", "losses", "compositions", "filters", "training", "pilotnet", "regularizers")
OPERATIONS = {
    name: make for module in MODULES for name, make in importlib.import_module(f"libraries.{module}").OPERATIONS.items()
}
TINY = (2, 8, 16)


class Worker:
    """The operations that are loaded, by the number of the request that loaded them."""

    def __init__(self) -> None:
        self.loaded: list[Operation] = []

    def versions(self, names: list[str]) -> dict[str, str]:
        """Of distributions, and of Python; an empty text for those that are not installed."""
        found = {"Python": sys.version.split()[0]}
        for name in names:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = ""
        return found

    def kernels(self) -> str:
        """What slayerloss computes with."""
        from slayerloss.kernels.cpu import library

        return library.description()

    def load(self, operation: str, shape: list[int], options: dict[str, Any]) -> dict[str, Any]:
        """Make an operation and call it once, so that what is made at a first call exists."""
        made = OPERATIONS[operation](shape, **options)
        seconds = sum(made.call())
        self.loaded.append(made)
        total = 0.0 if made.data is None else made.data.detach().double().sum().item()
        return {"number": len(self.loaded) - 1, "total": total, "value": made.value, "seconds": seconds}

    def drop(self) -> None:
        """Forget what is loaded."""
        self.loaded.clear()

    def turn(self, number: int, seconds: float) -> list[tuple[float, float]]:
        """Call an operation once, and on while the seconds last; the seconds of each forward and backward."""
        operation = self.loaded[number]
        gc.collect()
        gc.disable()
        end = time.perf_counter() + seconds
        calls = [operation.call()]
        while time.perf_counter() < end:
            calls.append(operation.call())
        gc.enable()
        return calls

    def rise(self, operation: str, shape: list[int], options: dict[str, Any]) -> int:
        """Bytes by which one call raises the peak of this process: output, what is saved, both gradients."""
        OPERATIONS[operation](TINY, **options).call()
        made = OPERATIONS[operation](shape, **options)
        gc.collect()
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak is what it is now
        before = _status("VmHWM")
        made.call()
        return _status("VmHWM") - before

    def peak(self, operation: str, shape: list[int], options: dict[str, Any]) -> int:
        """Bytes of the peak of this process after two calls, all that it has imported included."""
        made = OPERATIONS[operation](shape, **options)
        made.call()
        made.call()  # finds the optimiser's own memory in place
        return _status("VmHWM")

    def first(self, operation: str, shape: list[int], options: dict[str, Any]) -> list[float]:
        """Seconds of the first call and of the second, after a forward and backward that have nothing to do with it."""
        layer = torch.nn.Linear(8, 8)
        output = layer(torch.ones(8, 8))
        # With a gradient given, as in a call: torch imports a second's worth of modules the first time that it is.
        torch.autograd.grad(output, list(layer.parameters()), torch.ones_like(output))
        made = OPERATIONS[operation](shape, **options)
        return [sum(made.call()), sum(made.call())]


def _status(field: str) -> int:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024


def main(threads: int) -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    worker = Worker()
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer = {"answer": getattr(worker, command)(**arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
