"""Processes that take turns: each library in its own, all alive, one call at a time, so that no two run at once."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SLAYER = Path(os.environ.get("SLAYERLOSS_SLAYER_ENV", ROOT / ".venv-slayer")) / "bin" / "python"
PATIENCE = 10
"""Seconds after which a side is not called again in a case."""
PEERS = Path(os.environ.get("SLAYERLOSS_PEERS_ENV", ROOT / ".venv-peers")) / "bin" / "python"


@dataclass(frozen=True)
class Library:
    """Where a library runs, and what has to be importable there."""

    python: Path
    imports: str
    distributions: tuple[str, ...]


LIBRARIES = {
    "slayerloss": Library(Path(sys.executable), "slayerloss", ("slayerloss", "torch")),
    "lava-dl": Library(SLAYER, "lava.lib.dl.slayer", ("lava-dl", "torch")),
    "spikingjelly": Library(PEERS, "spikingjelly.activation_based.neuron", ("spikingjelly", "torch")),
    "snntorch": Library(PEERS, "snntorch", ("snntorch", "torch")),
    "norse": Library(PEERS, "norse.torch", ("norse", "torch")),
    "sinabs": Library(PEERS, "sinabs.layers", ("sinabs", "torch")),
}


class WorkerError(RuntimeError):
    """A worker could not do what it was told to."""


class Worker:
    """A process of `worker.py`. It waits without using the processor while others are at work."""

    def __init__(self, python: Path, threads: int) -> None:
        command = [str(python), str(HERE / "worker.py"), str(threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def __call__(self, command: str, **arguments: Any) -> Any:
        """What the worker answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps([command, arguments]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the process ended with code {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["answer"]

    def close(self) -> None:
        """End the process."""
        self.process.communicate("")


def missing(library: Library) -> str:
    """Why a library cannot be measured; empty if it can."""
    if not library.python.exists():
        return f"no environment at {library.python.parent.parent.name}"
    command = [str(library.python), "-c", f"import {library.imports}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


@dataclass(frozen=True)
class Side:
    """An operation of a library, with a name for the table."""

    name: str
    library: str
    operation: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Times:
    """The seconds of every call."""

    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)

    def add(self, calls: Sequence[Sequence[float]]) -> None:
        """Those of a turn."""
        for forward, backward in calls:
            self.forward.append(forward)
            self.backward.append(backward)

    def summary(self) -> dict[str, list[float]]:
        """The smallest and the median: of the forward, of the backward, and of both together."""
        both = [sum(pair) for pair in zip(self.forward, self.backward, strict=True)]
        parts = {"forward": self.forward, "backward": self.backward, "both": both}
        return {name: [min(seconds), median(seconds)] for name, seconds in parts.items()}


@dataclass
class Comparison:
    """One case: what every side took, by the name of the side."""

    shape: tuple[int, ...]
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    """The mean of the output."""
    totals: dict[str, float] = field(default_factory=dict)
    """The sum of the input."""
    failed: dict[str, str] = field(default_factory=dict)


class Bench:
    """The workers of the libraries that are there, started when they are first needed."""

    def __init__(self, threads: int, rounds: int, seconds: float) -> None:
        self.threads, self.rounds, self.seconds = threads, rounds, seconds
        self.missing = {name: why for name, library in LIBRARIES.items() if (why := missing(library))}
        self._workers: dict[str, Worker] = {}

    def worker(self, library: str) -> Worker:
        """That of a library."""
        if library not in self._workers:
            self._workers[library] = Worker(LIBRARIES[library].python, self.threads)
        return self._workers[library]

    @contextmanager
    def fresh(self, library: str) -> Iterator[Worker]:
        """A new one, for one question."""
        worker = Worker(LIBRARIES[library].python, self.threads)
        try:
            yield worker
        finally:
            worker.close()

    def close(self) -> None:
        """End all."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def versions(self) -> dict[str, dict[str, str]]:
        """Of the libraries that are there."""
        present = [name for name in LIBRARIES if name not in self.missing]
        found = {name: self.worker(name)("versions", names=LIBRARIES[name].distributions) for name in present}
        found["slayerloss"]["kernels"] = self.worker("slayerloss")("kernels")
        return found

    def compare(self, sides: Sequence[Side], shape: Sequence[int]) -> Comparison:
        """Time the sides in turns, on the same numbers."""
        result = Comparison(tuple(shape))
        numbers: dict[str, int] = {}
        rounds: dict[str, int] = {}
        sides = [side for side in sides if side.library not in self.missing]
        for side in sides:
            arguments = {"operation": side.operation, "shape": list(shape), "options": dict(side.options)}
            try:
                answer = self.worker(side.library)("load", **arguments)
            except WorkerError as error:
                result.failed[side.name] = str(error)
                continue
            numbers[side.name] = answer["number"]
            rounds[side.name] = min(self.rounds, max(1, int(PATIENCE / answer["seconds"])))
            result.totals[side.name], result.values[side.name] = answer["total"], answer["value"]
        check_equal("input", result.totals, 1e-9)
        times = {name: Times() for name in numbers}
        for turn_number in range(self.rounds):
            for side in sides:
                if turn_number < rounds.get(side.name, 0):
                    turn = self.worker(side.library)("turn", number=numbers[side.name], seconds=self.seconds)
                    times[side.name].add(turn)
        for library in {side.library for side in sides}:
            self.worker(library)("drop")
        result.times = {name: each.summary() for name, each in times.items()}
        return result

    def ask(self, command: str, side: Side, shape: Sequence[int]) -> Any:
        """What a fresh process answers to a question about an operation."""
        with self.fresh(side.library) as worker:
            return worker(command, operation=side.operation, shape=list(shape), options=dict(side.options))


def check_equal(what: str, numbers: Mapping[str, float], tolerance: float) -> None:
    """Refuse to compare what is not the same."""
    if not numbers:
        return
    reference = next(iter(numbers.values()))
    wrong = {name: number for name, number in numbers.items() if abs(number - reference) > tolerance * abs(reference)}
    if wrong:
        raise ValueError(f"the {what} differs: {wrong} from {dict(numbers)}")


def machine(threads: int) -> dict[str, Any]:
    """What the times were taken on."""
    name = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        name = next(line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"processor": name, "cores": os.cpu_count(), "threads": threads, "system": platform.system()}
