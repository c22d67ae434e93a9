"""Real Lava in one process that runs many networks, for the price of starting it once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

WORKER = Path(__file__).with_name("lava_worker.py")
NAMES = {"spk": "spikes"}


class LavaError(Exception):
    """Lava refused the network, or gave no answer."""


class LavaProcess:
    """A process with Lava, started at the first network, and again after one on which it hung.

    Args:
        python: the Python of an environment with Lava.
        tools: the folder of `run_on_lava.py`.
        folder: for the files that go to and fro.
        seconds: to wait for a network.
    """

    def __init__(self, python: Path, tools: Path, folder: Path, seconds: float = 60) -> None:
        self.command = [str(python), str(WORKER), str(tools)]
        self.folder = folder
        self.seconds = seconds
        self.worker: subprocess.Popen[str] | None = None
        self.log = folder / "lava.log"

    def __enter__(self) -> LavaProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, file: Path, x: np.ndarray, **network: Any) -> list[dict[str, np.ndarray]]:
        """Run a network from rest.

        Args:
            file: the network file.
            x: (C, T) or (C, H, W, T), integers.
            network: arguments of netx's Network.

        Returns:
            For each layer its "spikes" and its states, (C, T) or (C, H, W, T).

        Raises:
            LavaError: Lava refused the network, or gave no answer in time.
        """
        given, result = self.folder / "lava_in.npz", self.folder / "lava_out.npz"
        np.savez(given, input=np.asarray(x).T.astype(np.int32))  # Lava's order is (T, W, H, C)
        job = {"net": str(file), "input": str(given), "out": str(result), "network": network, "seconds": self.seconds}
        answer = self._ask(job)
        if answer != "ok":
            raise LavaError(answer)
        with np.load(result) as out:
            layers: list[dict[str, np.ndarray]] = []
            for key in out.files:
                if key[0] == "L":
                    index, name = key[1:].split("_", 1)
                    layers += [{} for _ in range(int(index) + 1 - len(layers))]
                    layers[int(index)][NAMES.get(name, name)] = out[key].T
            return layers

    def _ask(self, job: dict[str, Any]) -> str:
        if self.worker is None:
            with self.log.open("w") as log:
                self.worker = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,  # a process group of its own
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.worker.stdin.write(json.dumps(job) + "\n")
            self.worker.stdin.flush()
        answer = self.worker.stdout.readline().strip()
        if answer != "ok":  # some of Lava's processes may still be there
            self.stop()
            answer = answer or f"no answer within {self.seconds} s; it printed:\n{self.log.read_text()[-3000:]}"
        return answer

    def stop(self) -> None:
        """End the process and all that it started: they are one group."""
        if self.worker is None:
            return
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self.worker.communicate(timeout=5)  # at the end of its input it ends
        for sent in (signal.SIGTERM, signal.SIGKILL):  # the first one lets Lava's shared memory be tidied up
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.worker.pid, sent)
                time.sleep(0.5)
        self.worker.wait()
        self.worker = None
