"""Broken files are refused by name or read whole, soon, in little memory, whatever is broken in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from netx_mutations import mutate, write_seeds

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 1.0  # of the processor, for one file
MEGABYTES = 64 + 8  # more than before, for one file: what `read` allows a small file to hold, and its surroundings
PATIENCE = 30  # seconds of the clock, after which a reader counts as hanging

# Reads the files that it is told line by line, and prints what became of each. The first file warms up.
READER = """
import faulthandler, json, resource, signal, sys, time
from pathlib import Path
from slayerloss import FormatError, netx
from slayerloss._check import SlayerError
from slayerloss.netx.isolated import limit_memory
from slayerloss.netx.table import table

faulthandler.enable()
limit_memory(2 << 30)

def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def read(path):
    try:
        return netx.read(path), "read"
    except FormatError as error:
        text = str(error)
        named = text.startswith("netx: ") and path in text and "; expected " in text
        if isinstance(error.__cause__, MemoryError) or not named:
            return None, f"refused wrongly: {error.__cause__!r} {text}"
        return None, "refused"

def use(path, description):
    again = Path(path).with_suffix(".again")
    netx.write(again, description)
    if netx.read(again) != description:
        return "changed by write and read"
    again.unlink()
    table(description)
    netx.check(description)
    try:
        netx.Network(description)
    except SlayerError:
        pass
    return "read"

for line in sys.stdin:
    path = line.rstrip("\\n")
    before, began = megabytes(), time.process_time()
    seconds = more = 0.0
    signal.alarm(%d)
    try:
        description, said = read(path)
        seconds, more = time.process_time() - began, megabytes() - before
        if description is not None:
            said = use(path, description)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    signal.alarm(0)
    print(json.dumps({"said": said, "seconds": seconds, "megabytes": more}), flush=True)
"""


@dataclass
class Outcome:
    """What became of a file; `said` is "refused", "read", "crashed ..." or what is wrong."""

    number: int
    change: str
    said: str
    seconds: float = 0.0
    megabytes: float = 0.0

    def __str__(self) -> str:
        return f"{self.number} ({self.change}): {self.said}, {self.seconds:.2f} s, {self.megabytes:.0f} MB"


class Reader:
    """A child process that reads files until one of them kills it."""

    def __init__(self, log: Path) -> None:
        self.log = log
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", READER % PATIENCE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment,
            )

    def read(self, path: Path) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if answer:
            result: dict[str, Any] = json.loads(answer)
            return result
        status = self.process.wait()
        if status == -signal.SIGALRM:
            return {"said": f"hangs for {PATIENCE} s"}
        frames = [line.split("site-packages/")[-1].strip() for line in self.log.read_text().splitlines()]
        inside = next((frame for frame in frames if frame.startswith(("File", "h5py"))), "no frame")
        ended = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return {"said": f"crashed in {inside} with {ended}" if "h5py" in inside else f"ended with {ended} in {inside}"}

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def fuzz(folder: Path, shared: Path | None, numbers: range) -> list[Outcome]:
    """Break a seed for each number, and read it."""
    seeds = write_seeds(folder, shared)
    reader = Reader(folder / "stderr")
    for seed in seeds:
        assert reader.read(seed)["said"] == "read", seed
    outcomes = []
    for number in numbers:
        path = folder / f"{number}.net"
        seed = seeds[number // 2 % len(seeds)]
        outcome = Outcome(number, f"{seed.stem}: {mutate(seed, path, number)}", "")
        vars(outcome).update(reader.read(path))
        outcomes.append(outcome)
        if reader.process.poll() is not None:
            reader = Reader(folder / "stderr")
            assert reader.read(seeds[0])["said"] == "read"
        path.unlink()
    reader.close()
    return outcomes


def assert_refused_or_read(outcomes: list[Outcome]) -> None:
    crashed = [outcome for outcome in outcomes if outcome.said.startswith("crashed in ")]
    wrong = [outcome for outcome in outcomes if outcome not in crashed and outcome.said not in ("refused", "read")]
    slow = [outcome for outcome in outcomes if outcome.seconds > SECONDS]
    large = [outcome for outcome in outcomes if outcome.megabytes > MEGABYTES]
    for name, few in (("wrong", wrong), ("slow", slow), ("large", large)):
        assert not few, "\n".join([f"{len(few)} {name}:", *map(str, few[:20])])
    assert sum("failed: " in outcome.change for outcome in outcomes) < len(outcomes) / 20
    said = [outcome.said for outcome in outcomes]
    assert said.count("refused") > len(said) / 4
    assert said.count("read") > len(said) / 8
    if crashed:
        listed = "\n".join(map(str, crashed))
        warnings.warn(f"{len(crashed)} of {len(said)} files crashed the HDF5 library:\n{listed}", stacklevel=2)
    assert len(crashed) <= len(said) / 50  # more would mean that a crash can be avoided


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")


def test_a_hundred_broken_files(tmp_path: Path, shared: Path) -> None:
    assert_refused_or_read(fuzz(tmp_path, shared, range(100)))


@pytest.mark.slow
def test_thousands_of_broken_files(tmp_path: Path, shared: Path) -> None:
    assert_refused_or_read(fuzz(tmp_path, shared, range(100, 2500)))


CRASHES = {
    "h5py.File(path).attrs['checksum']": 'crashed in h5py/_hl/attrs.py", line',
    "os.kill(os.getpid(), signal.SIGSEGV)": 'ended with SIGSEGV in File "<string>"',
    "signal.alarm(1); time.sleep(20)": "hangs for ",
    "sys.exit(3)": "ended with exit status 3 in no frame",
}


@pytest.mark.parametrize("code", CRASHES)
def test_a_crash_of_the_library_is_told_from_other_ends(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read a text as a sequence without an element type, as a plain h5py does here, kills the process."""
    file = write_seeds(tmp_path, None)[0]
    whole = file.read_bytes()
    kind = whole.index(b"checksum") + 17
    file.write_bytes(whole[:kind] + b"\xe8" + whole[kind + 1 :])
    head = "import faulthandler, os, signal, sys, time, h5py; faulthandler.enable(); path = input(); seconds = %d\n"
    monkeypatch.setattr(sys.modules[__name__], "READER", head + code)
    said = Reader(tmp_path / "stderr").read(file)["said"]
    assert said.startswith(CRASHES[code])
