"""Values of the arguments in calls that work, and what does not: the junk that is put in their place."""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slayerloss import (
    bootstrap,
    io,
    netx,
    synapse,
)
from slayerloss import functional as f
from slayerloss.block import cuba
from slayerloss.neuron.cuba import Neuron

X = (torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0)) > 0.5).float()
IMAGE = torch.ones(2, 2, 6, 6, 5)
LENGTHS, LABELS = torch.tensor([5, 3]), torch.tensor([0, 2])
REST = f.CubaState(torch.zeros(2, 3), torch.zeros(2, 3))
RISES = {"threshold_decay": 0.5, "refractory_decay": 0.5}
ADRF = {"threshold": 1.0, "threshold_step": 0.5, "period": 9.0, "decay": 0.1, **RISES}
RF = {"threshold": 1.0, "period": 9.0, "decay": 0.1}
RELU = {"threshold": 0.5, "activation": torch.relu}
MESSAGES = {"threshold": 0.5, "tau_grad": 1.0, "scale_grad": 1.0, "scale": 64}
KEPT = {"shared_param": True, "persistent_state": False, "requires_grad": False}
P = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.5}
EVENT = io.Event([1, 2], [1, 0], [0, 1], [0.5, 1.5])
LIF = {"type": "CUBA", "iDecay": 1, "vDecay": 1, "vThMant": 9}
ALIF = {**LIF, "thDecay": 1, "refDecay": 1, "vThStep": 9, "type": "ALIF"}
BINARY = io.Event([1, 2], [1, 0], [0, 1], [0.5, 1.5])
LINE = io.Event([1, 2], None, [0, 1], [0.5, 1.5])
NET = netx.describe([{"type": "dense", "shape": [1], "weight": [[2]], "neuron": LIF}])
MODEL = cuba.Dense(P, 3, 4)
HALF = torch.tensor([2048.0])
HEARS_ITSELF = {"z": X, "neuron": Neuron(**P), "recurrent_synapse": synapse.Dense(3, 3)}
ADAPTS = {"ref_state": REST.current, "ref_decay": HALF, "th_state": REST.voltage, "th_decay": HALF, "th_scale": 0.5}
ADAPTS = {**ADAPTS, "th0": 1.0, "w_scale": 4096, "debug": False}
TURNS = {"real_input": X, "imag_input": X, "sin_decay": HALF, "cos_decay": HALF, "real_state": REST.current}
TURNS = {**TURNS, "imag_state": REST.voltage}
FOLDER = Path(tempfile.mkdtemp(prefix="slayerloss_bad_input_"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
for name, event in {"2d.npz": EVENT, "2d.npy": BINARY, "2d.bin": BINARY, "1d.bs1": LINE}.items():
    io.write(FOLDER / name, event)
netx.write(FOLDER / "network.net", NET)
netx.export(MODEL, FOLDER / "model.net")
(FOLDER / "stats_loss.txt").write_text("# Train\n1.0\n")
CLASSES: dict[str, Any] = {"moving_window": 2, "reduction": "sum", "ignore_index": -1, "start": "zero"}
CLASSES["class_weights"] = [1.0, 1.0, 1.0]
SYNAPSE: dict[str, Any] = {"weight_scale": 1.0, "weight_norm": False, "pre_hook_fx": f.quantize_weight}
IMAGES: dict[str, Any] = {"kernel_size": 3, "stride": 1, "padding": 1, "dilation": 1}
BLOCK: dict[str, Any] = {"neuron_params": P, **SYNAPSE, "count_log": False}
DELAYS: dict[str, Any] = {"delay": True, "delay_shift": True}
FILTER: dict[str, Any] = {"order": 2, "normalize": "peak"}


def method(make: Any, name: str = "__call__") -> Any:
    """A method as a function: its object is made anew for each call."""
    return lambda **arguments: getattr(make(), name)(**arguments)


def fitted_sampler(z: Any) -> torch.Tensor:
    sampler = bootstrap.ann_sampler.AnnSampler()
    sampler.append(X, X)
    return sampler(z)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch means to change them
    NESTED = torch.nested.nested_tensor([X[0], X[1]])
    QUANTIZED = torch.quantize_per_tensor(X, 1.0, 0, torch.quint8)

JUNK: list[Any] = [
    None, "a", ["a", "b"], object(), torch.nn.BatchNorm1d, 1j, -1.5, math.nan, math.inf, 10**30, 10**12,
    np.ones((2, 3, 5)), np.array("a"), torch.ones(7), torch.ones(2, 3, 5, dtype=torch.complex64), torch.zeros(0, 3, 5),
    torch.zeros(2, 0, 5), torch.zeros(2, 3, 0), torch.full((2, 3, 5), math.nan), torch.tensor([-3, 9]), (5, 5),
    torch.ones(2, 3, 5).to_sparse(), NESTED, X.to(torch.float8_e4m3fn),
    QUANTIZED, X.to(torch.uint16), torch.tensor([4, 2], dtype=torch.uint16),
    f.CubaState(torch.full((2, 3), math.nan), torch.zeros(2, 3)),
]  # fmt: skip


def floats(value: Any) -> list[torch.Tensor]:
    """The floating-point tensors in an answer."""
    if isinstance(value, torch.nn.Module):
        return floats(tuple(value.state_dict().values()))
    if isinstance(value, tuple):
        return [tensor for part in value for tensor in floats(part)]
    return [value] if isinstance(value, torch.Tensor) and value.is_floating_point() else []
