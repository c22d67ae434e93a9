"""Milliseconds per step of a network file: Lava's simulation on the CPU, and `netx.Network`, on the same machine.

    python benchmarks/netx_speed.py [--files DIR] [--repeat N]

The files are recordings of Lava and the networks they are of, by default those of `../shared/golden/netx`:
pilotnet_lif, pilotnet_sdnn, oxford. Lava runs where SLAYERLOSS_LAVA_ENV, or `.venv-lava` beside this folder, holds an
environment with it. Here and there the input of the recording is fed, over and over; what is printed is the median
of some rounds, those of Lava before and after ours. What Lava takes to start is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from slayerloss import netx

ROOT = Path(__file__).resolve().parent.parent
LAVA = Path(os.environ.get("SLAYERLOSS_LAVA_ENV", ROOT / ".venv-lava")) / "bin" / "python"
BATCH = 32
STEPS = {"pilotnet_lif": 6, "pilotnet_sdnn": 12, "oxford": 300}
GOALS = {"pilotnet_lif": (100, 30, 500), "pilotnet_sdnn": (100, 30, 200), "oxford": (20, 5, None)}
SECONDS = 300

# Lava in a process of its own: each line that it reads makes it run some steps, and print their milliseconds.
SERVER = """
import sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np
import netx_without_torch
from lava.lib.dl import netx
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io

file, recording, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = np.load(recording)["input"]
network = netx.hdf5.Network(net_config=file)
source = io.source.RingBuffer(data=np.moveaxis(data, 0, -1).astype(np.int32))
entrance = network.in_layer
source.s_out.connect(entrance.neuron.a_in if type(entrance).__name__ == "Input" else network.inp)
sink = io.sink.RingBuffer(shape=network.out_layer.shape, buffer=steps)
network.out_layer.neuron.s_out.connect(sink.a_in)

def run():
    seconds = time.perf_counter()
    network.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    return time.perf_counter() - seconds

run()
print("READY", flush=True)
for line in sys.stdin:
    print("MS", run() / steps * 1000, flush=True)
network.stop()
"""


class LavaServer:
    """Lava with a network file loaded and started."""

    def __init__(self, file: Path, recording: Path, steps: int) -> None:
        command = [str(LAVA), "-c", SERVER, str(file), str(recording), str(steps)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._read("READY")

    def milliseconds(self) -> float:
        """Of a step, now."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._read("MS"))

    def stop(self) -> None:
        """End it."""
        self.process.communicate("", timeout=SECONDS)

    def _read(self, word: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise RuntimeError("Lava ended without an answer")


def milliseconds(function: Callable[[], object], steps: int) -> float:
    """Of a step of `function`, which does so many."""
    seconds = time.perf_counter()
    function()
    return (time.perf_counter() - seconds) / steps * 1000


def measure(name: str, files: Path, repeat: int) -> None:
    """Print a line of ratios for one network."""
    with np.load(files / f"{name}.npz") as recording:
        file = files / json.loads(str(recording["meta"]))["net"]
        x = recording["input"].T  # (T, W, H, C) -> (C, H, W, T)
    network, num_steps = netx.Network(file), x.shape[-1]
    frames = [np.ascontiguousarray(x[..., t]) for t in range(num_steps)]
    batch = np.ascontiguousarray(np.broadcast_to(x, (BATCH, *x.shape)))
    sides = {
        "run": lambda: milliseconds(lambda: network.run(x), num_steps),
        "step": lambda: milliseconds(lambda: [network.step(frame) for frame in frames], num_steps),
        f"batch of {BATCH}": lambda: milliseconds(lambda: network.run(batch), num_steps * BATCH),
    }
    ours: dict[str, list[float]] = {side: [] for side in sides}
    theirs = lava_milliseconds(file, files / f"{name}.npz", STEPS[name], repeat)
    for _ in range(repeat):
        for side, function in sides.items():
            ours[side].append(function())
    theirs += lava_milliseconds(file, files / f"{name}.npz", STEPS[name], repeat)
    lava = median(theirs) if theirs else 0.0
    span = f"{lava:.3g} ms a step ({min(theirs):.3g} to {max(theirs):.3g})" if theirs else f"none at {LAVA}"
    print(f"{name}: Lava {span}")
    for (side, times), goal in zip(ours.items(), GOALS[name], strict=True):
        ratio = f"{lava / median(times):8.0f} times as fast" if theirs else ""
        print(f"  {side:12} {median(times):8.4f} ms {ratio}" + (f" (to reach: {goal})" if goal else ""), flush=True)


def lava_milliseconds(file: Path, recording: Path, steps: int, repeat: int) -> list[float]:
    """Of a step of Lava, some times; it is ended then, as its processes keep the cores busy while they wait."""
    if not LAVA.exists():
        return []
    server = LavaServer(file, recording, steps)
    times = [server.milliseconds() for _ in range(repeat)]
    server.stop()
    return times


def main() -> None:
    """Measure the three networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, default=ROOT.parent / "shared" / "golden" / "netx")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    if not options.files.is_dir():
        sys.exit(f"no recordings at {options.files}")
    for name in GOALS:
        measure(name, options.files, options.repeat)


if __name__ == "__main__":
    main()
