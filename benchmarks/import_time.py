"""How much longer `import slayerloss` takes than `import torch` alone, by the clock and in processor time.

Each is timed in fresh processes, taking turns; the smallest times count.

    python benchmarks/import_time.py [repetitions]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

IMPORTS = (
    "import torch",
    "import torch; import slayerloss",
    "import torch; import slayerloss; slayerloss.loss; slayerloss.classifier; slayerloss.block",
)


def measure(code: str) -> tuple[float, float]:
    """Seconds by the clock and of the processor that a new interpreter takes for `code`."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    clock, after = time.perf_counter() - start, os.times()
    return clock, after.children_user + after.children_system - before.children_user - before.children_system


def main(repetitions: int = 7) -> None:
    """Print one line for each import."""
    runs = [[measure(code) for code in IMPORTS] for _ in range(repetitions + 1)][1:]  # the first fills the file cache
    best = [[min(run[i][j] for run in runs) for j in range(2)] for i in range(len(IMPORTS))]
    print("   clock     more  ratio |     cpu     more  ratio")
    for code, times in zip(IMPORTS, best, strict=True):
        columns = (f"{t:6.3f} s {t - t0:+6.3f} s x{t / t0:.2f}" for t, t0 in zip(times, best[0], strict=True))
        print(" | ".join(columns) + " | " + code)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
