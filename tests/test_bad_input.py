"""Every public function and constructor with arguments of the wrong type, shape and range.

Each argument of each call in GOOD is replaced by everything in JUNK: the call answers with finite numbers, or with one
of slayerloss's own errors, and never in the words of Python, numpy or torch. WRONG lists which error it is.
"""

from __future__ import annotations

import enum
import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from call_values import JUNK, REST, floats
from good_function_calls import FUNCTIONS
from good_module_calls import MODULES as OF_MODULES

from slayerloss import (
    ArgumentError,
    DtypeError,
    MissingFileError,
    ShapeError,
    SlayerError,
    data,
    utils,
)
from slayerloss import functional as f

GOOD = {**FUNCTIONS, **OF_MODULES}


@pytest.mark.parametrize("name", GOOD)
def test_junk_is_refused_in_our_words_or_gives_finite_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # "a" is a path as good as any
    call, good = GOOD[name]
    call(**good)
    views = (f.to_time_last, f.from_time_last, utils.time.shift, utils.time.replicate)  # NaN in, NaN out
    for argument in good:
        for junk in JUNK:
            try:
                answer = call(**{**good, argument: junk})
            except SlayerError:
                continue
            except Exception as error:
                raise AssertionError(f"{name}({argument}={junk!r}): {type(error).__name__}: {error}") from error
            if call not in views:
                assert all(tensor.isfinite().all() for tensor in floats(answer)), f"{name}({argument}={junk!r})"


WRONG: list[tuple[str, dict[str, Any], type[SlayerError]]] = [
    ("filter_bank", {"time_constants": 5.0}, DtypeError),
    ("filter_bank", {"time_constants": []}, ShapeError),
    ("filter_bank", {"stack": "yes"}, DtypeError),
    ("to_time_last", {"order": None}, DtypeError),
    ("to_time_last", {"order": "T N"}, ShapeError),
    ("cuba", {"scale": 0}, ArgumentError),
    ("cuba", {"scale": math.nan}, ArgumentError),
    ("cuba", {"state": 5}, DtypeError),
    ("cuba", {"state": f.CubaState(np.zeros((2, 3)), np.zeros((2, 3)))}, DtypeError),
    ("cuba", {"state": f.CubaState(torch.zeros(2, 2), torch.zeros(2, 3))}, ShapeError),
    ("cuba", {"state": f.CubaState(torch.full((2, 3), math.inf), torch.zeros(2, 3))}, ArgumentError),
    ("cuba", {"graded": "False"}, DtypeError),
    ("cuba", {"current_decay": np.array([0.1, 0.2, 0.3])}, DtypeError),
    ("recurrent_cuba", {"state": REST.current}, DtypeError),
    ("recurrent_cuba", {"feedback": np.eye(3)}, DtypeError),
    ("recurrent_cuba", {"feedback": torch.full((3, 3), math.nan)}, ArgumentError),
    ("moving_window", {"state": "a"}, DtypeError),
    ("moving_window", {"state": (torch.zeros(2, 3, 1), torch.zeros(7))}, ShapeError),
    ("moving_window", {"state": (torch.zeros(2, 3, 1), torch.tensor([-1]))}, ArgumentError),
    ("causal_conv", {"state": np.zeros((2, 3, 1))}, DtypeError),
    ("exponential_filter", {"state": np.zeros((2, 3, 2))}, DtypeError),
    ("exponential_filter", {"order": 10**6}, ArgumentError),
    ("exponential_filter", {"time_constant": [1.0, 2.0, 3.0]}, DtypeError),
    ("exponential_kernel", {"order": 400, "normalize": None, "length": 4000, "time_constant": 9.0}, ArgumentError),
    ("conv", {"stride": "1"}, DtypeError),
    ("conv", {"padding": (1, -1)}, ArgumentError),
    ("spike", {"threshold": "a"}, DtypeError),
    ("spike", {"threshold": math.nan}, ArgumentError),
    ("quantize", {"x": [1, 2]}, DtypeError),
    ("quantize_weight", {"num_bits": 64}, ArgumentError),
    ("sparsity", {"lam": math.inf}, ArgumentError),
    ("sparsity", {"max_rate": math.inf}, ArgumentError),
    ("spike_max", {"class_weights": "abc"}, DtypeError),
    ("spike_max", {"class_weights": ["a", 1, 1]}, DtypeError),
    ("spike_max", {"labels": torch.tensor([0, 3])}, ArgumentError),
    ("spike_moid", {"theta": math.inf}, ArgumentError),
    ("loss.SpikeRate", {"ignore_index": 0.5}, DtypeError),
    ("loss.SpikeTime", {"filter_order": 1001}, ArgumentError),
    ("loss.SparsityEnforcer", {"min_rate": ""}, DtypeError),
    ("filter.FIR, given", {"fir_response": ["a"]}, DtypeError),
    ("filter.ExponentialFilter", {"time_constant": "ab"}, DtypeError),
    ("filter.ExponentialFilter", {"time_constant": []}, ArgumentError),
    ("Neuron", {"norm": torch.nn.BatchNorm1d}, ArgumentError),
    ("Neuron", {"norm": dict}, DtypeError),
    ("Neuron", {"shared_param": "no"}, DtypeError),
    ("Neuron", {"through_reset": "no"}, DtypeError),
    ("Neuron, each its own", {"channels": 0}, ArgumentError),
    ("Dropout", {"p": 2}, ArgumentError),
    ("synapse.Dense()", {"mask": torch.ones(3, 4)}, ShapeError),
    ("axon.delay", {"delay_val": -1}, ArgumentError),
    ("axon.Delay", {"grad_scale": "a"}, DtypeError),
    ("cuba.Input", {"weight": "a"}, DtypeError),
    ("cuba.Dense", {"weight_scale": "a"}, DtypeError),
    ("cuba.Dense", {"pre_hook_fx": 3}, DtypeError),
    ("cuba.Dense", {"delay": "False"}, DtypeError),
    ("cuba.Conv", {"weight_norm": None}, DtypeError),
    ("cuba.Recurrent", {"requires_grad": "no"}, DtypeError),
    ("cuba.Dense.run", {"state": 5}, DtypeError),
    ("cuba.Dense.run", {"lengths": torch.tensor([0, 9])}, ArgumentError),
    ("utils.time.shift", {"shift_val": "a"}, DtypeError),
    ("Event.fill_tensor", {"rng": 5}, DtypeError),
    ("Event.fill_tensor", {"empty_tensor": None}, DtypeError),
    ("io.bins", {"t": np.array([math.nan])}, ArgumentError),
    ("io.to_frames", {"event": 5}, DtypeError),
    ("io.to_frames", {"shape": 5}, DtypeError),
    ("data.collate", {"samples": []}, ArgumentError),
    ("data.Digits", {"transform": data.augment.Shift}, DtypeError),
    ("data.stratified_split", {"labels": [[0], [1]]}, ShapeError),
    ("netx.Network", {"net_config": 5}, DtypeError),
    ("netx.Network", {"net_config": "none.net"}, MissingFileError),
    ("Network.encode", {"x": [math.nan]}, ArgumentError),
]


@pytest.mark.parametrize(("name", "bad", "error"), WRONG, ids=[f"{name} {[*bad]}" for name, bad, _ in WRONG])
def test_what_is_wrong_is_said(name: str, bad: dict[str, Any], error: type[SlayerError]) -> None:
    call, good = GOOD[name]
    with pytest.raises(error) as caught:
        call(**{**good, **bad})
    assert type(caught.value) is error
    assert "; expected " in str(caught.value)
    assert ", got " in str(caught.value)


MODULES = """auto axon block block.cuba classifier data dendrite filter functional io loss netx neuron neuron.adrf
    neuron.adrf_iz neuron.alif neuron.cuba neuron.norm neuron.rf neuron.rf_iz neuron.sigma_delta
    neuron.dynamics.adaptive_phase_th
    neuron.dynamics.adaptive_resonator neuron.dynamics.adaptive_threshold neuron.dynamics.leaky_integrator
    neuron.dynamics.resonator spike spike.complex synapse synapse.complex utils utils.filter utils.int_utils
    utils.recurrent utils.time"""

ELSEWHERE = {
    # plot: a test of errors in each of tests/plot; train: train/test_wrong_recipes.py; cli: cli/test_cli.py
    "block.SpikingBlock": "what block.cuba is made of",
    "data.EventDataset": "tests/data/test_datasets.py",
    "data.NMNIST": "tests/data/test_datasets.py",
    "data.Oxford": "tests/data/test_datasets.py",
    "data.check": "tests/data/test_data_check.py",
    "io.replacing": "tests/io/test_replacing.py",
    "spike.Spike": "lava-dl's, as it is there; tests/spike/test_lava_dl_spike.py",
    "spike.complex.Spike": "likewise; tests/spike/test_lava_dl_complex_spike.py",
    "utils.dotdict": "a dictionary",
    "utils.staticproperty": "a decorator",
    "synapse.Synapse": "what the other synapses are made of",
    "synapse.complex.ComplexSynapse": "what the other complex synapses are made of",
}


def is_record(value: Any) -> bool:
    """Whether a class only holds or names values."""
    if isinstance(value, enum.EnumMeta):
        return True
    return isinstance(value, type) and (hasattr(value, "_fields") or hasattr(value, "__dataclass_fields__"))


def test_every_function_is_here() -> None:
    tested = {key.partition(",")[0].removesuffix("()") for key in GOOD}
    tested |= {key.rpartition(".")[0] for key in tested}  # a method
    missing = set()
    for module in MODULES.split():
        for name in importlib.import_module(f"slayerloss.{module}").__all__:
            value = getattr(importlib.import_module(f"slayerloss.{module}"), name)
            keys = {f"{module}.{name}", f"{module.rpartition('.')[2]}.{name}"}
            keys |= {name} if module.startswith(("functional", "neuron")) else set()
            if callable(value) and not is_record(value) and not tested & keys:
                missing.add(f"{module}.{name}")
    assert missing == set(ELSEWHERE)
