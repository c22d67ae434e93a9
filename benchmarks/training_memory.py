"""Peak memory of a training step of the N-MNIST tutorial's network, here and in lava-dl.

The network is 2312-512-512-10 with weight norm and delays on the first two layers; the batch has 32 samples of 300
steps; the optimiser is Adam. What counts is VmHWM of a child process, imports included.

    python benchmarks/training_memory.py

lava-dl runs where SLAYERLOSS_SLAYER_ENV, or `.venv-slayer` beside this folder, holds an environment with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = Path(os.environ.get("SLAYERLOSS_SLAYER_ENV", Path(__file__).resolve().parent.parent / ".venv-slayer"))

STEP = """
import sys, time
import torch
{imports}

torch.manual_seed(0)
neuron = dict(
    threshold=1.25, current_decay=0.25, voltage_decay=0.03, tau_grad=0.03, scale_grad=3, requires_grad=True,
    dropout=slayer.neuron.Dropout(p=0.05),
)
network = torch.nn.Sequential(
    slayer.block.cuba.Dense(neuron, 2312, 512, weight_norm=True, delay=True),
    slayer.block.cuba.Dense(neuron, 512, 512, weight_norm=True, delay=True),
    slayer.block.cuba.Dense({{**neuron, "dropout": None}}, 512, 10, weight_norm=True),
)
loss = slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03, reduction="sum")
labels = torch.arange(32) % 10
# About 4100 events in 2312 x 300 bins, in the memory order that the library's own loader uses.
events = {events}
network(events[:1])
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
for _ in range(2):  # the second finds the optimiser's own memory in place
    seconds = time.perf_counter()
    optimizer.zero_grad()
    loss(network(events), labels).backward()
    optimizer.step()
    seconds = time.perf_counter() - seconds
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print("RESULT", int(peak) * 1024 / 1e9, seconds)
"""

LIBRARIES = {
    "slayerloss": (
        sys.executable,
        "import slayerloss as slayer",
        "torch.zeros(300, 32, 2312).bernoulli_(0.006).movedim(0, -1)",
    ),
    "lava-dl": (
        str(ENVIRONMENT / "bin" / "python"),
        "import lava.lib.dl.slayer as slayer",
        "torch.zeros(32, 2312, 300).bernoulli_(0.006)",
    ),
}


def measure(python: str, imports: str, events: str) -> tuple[float, float]:
    """Peak GB and the seconds of one step."""
    code = STEP.format(imports=imports, events=events)
    run = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr)
    result = next(line for line in run.stdout.splitlines() if line.startswith("RESULT"))
    _, peak, seconds = result.split()
    return float(peak), float(seconds)


def main() -> None:
    """Print one line for each library."""
    for name, arguments in LIBRARIES.items():
        if not Path(arguments[0]).exists():
            print(f"{name:10}  no environment at {ENVIRONMENT}")
            continue
        peak, seconds = measure(*arguments)
        print(f"{name:10}  {peak:.2f} GB at the peak, {seconds:.1f} s a step")


if __name__ == "__main__":
    main()
