"""Runs one network after the other on Lava; started by `lava_process.py`, with the Python that has Lava.

usage: python lava_worker.py FOLDER, with `run_on_lava.py` in FOLDER

Reads one job a line from the standard input, {"net": file, "input": npz, "out": npz, "network": {...}, "seconds": 60},
and answers each with one line: "ok", or "error: ..." where Lava refuses the network. Lava does not report all that goes
wrong in the processes that it starts, it may hang: after these seconds this ends itself and all that it started, its
process group.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import warnings


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what Lava prints is no answer
    sys.path.insert(0, sys.argv[1])
    warnings.filterwarnings("ignore")
    import numpy as np
    from run_on_lava import run

    for line in sys.stdin:
        job = json.loads(line)
        with np.load(job["input"]) as given:
            data = given["input"]
        watchdog = threading.Timer(job["seconds"], os.killpg, (0, signal.SIGTERM))
        watchdog.daemon = True
        watchdog.start()
        network = {name: tuple(value) if isinstance(value, list) else value for name, value in job["network"].items()}
        try:
            with contextlib.redirect_stdout(sys.stderr), np.errstate(all="ignore"):
                result = run(job["net"], data, network, states=True)
        except Exception as error:
            answers.write(f"error: {type(error).__name__}: {error}".replace("\n", " ") + "\n")
        else:
            np.savez(job["out"], **result)
            answers.write("ok\n")
        finally:
            watchdog.cancel()


if __name__ == "__main__":
    main()
