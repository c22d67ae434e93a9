"""What lava-dl's tests of blocks use of Lava, for a process without it: a Lava in another process does the run."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from lava_process import LavaProcess


class Port:
    """Where something is connected; the test connects a source, a network and a sink."""

    shape = ()

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def connect(self, other: Port) -> None:
        """The data go from the owner of this port to the other's."""
        self.owner.to, other.owner.source = other.owner, self.owner


class Source:
    """`lava.proc.io.source.RingBuffer`: data, time last, in Lava's order of axes."""

    def __init__(self, data: Any) -> None:
        self.values = np.asarray(data)
        self.s_out = Port(self)


class Sink:
    """`lava.proc.io.sink.RingBuffer`."""

    def __init__(self, shape: tuple[int, ...], buffer: int) -> None:
        self.a_in, self.data = Port(self), self

    def get(self) -> np.ndarray:
        """What came, time last."""
        return self.values


class Network:
    """`lava.lib.dl.netx.hdf5.Network`, of a file with one layer."""

    lava: LavaProcess

    def __init__(self, net_config: str, **arguments: Any) -> None:
        self.file, self.arguments = Path(net_config), arguments
        self.inp, self.out = Port(self), Port(self)
        self.to: Any = None
        self.source: Any = None

    @property
    def net_config(self) -> dict[str, dict[int, dict[str, Any]]]:
        """The layers of the file."""
        with h5py.File(self.file) as file:
            return {"layer": {int(number): dict(layer.items()) for number, layer in file["layer"].items()}}

    def run(self, condition: Any, run_cfg: Any) -> None:
        """Run the file on Lava, with the source's data, to the sink."""
        data = np.moveaxis(self.source.values, -1, 0).T  # (W, H, C, T), as Lava has it, to (C, H, W, T)
        *_, layer = self.lava.run(self.file, data, **self.arguments)
        self.to.values = np.moveaxis(layer["spikes"].T, 0, -1)

    def stop(self) -> None:
        """Nothing is left running."""


def module(name: str, **names: Any) -> types.ModuleType:
    """A module with the names, in its place, and in that of its parents that are not there."""
    made = sys.modules.setdefault(name, types.ModuleType(name))
    vars(made).update(names)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(module(parent), last, made)
    return made


def put_in_place(lava: LavaProcess) -> None:
    """Let lava-dl's tests import what they use of Lava and of netx."""
    Network.lava = lava
    module("lava.lib.dl.netx.hdf5", Network=Network)
    module("lava.proc.conv.utils")
    module("lava.proc.io.source", RingBuffer=Source)
    module("lava.proc.io.sink", RingBuffer=Sink)
    for name, taken in (("run_configs", "Loihi1SimCfg"), ("run_conditions", "RunSteps")):
        module(f"lava.magma.core.{name}", **{taken: lambda **_: None})
