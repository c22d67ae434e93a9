"""What `load_state_dict` says of values that no neuron can have saved, and which forms of a value it takes."""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.neuron import alif, cuba, rf
from slayerloss.neuron._decay import from_state_dict, to_decay

LEAK = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.5}


def of_lava_dl(**values):
    """A state dict with lava-dl's version."""
    state = OrderedDict((name, torch.as_tensor(value)) for name, value in values.items())
    state._metadata = {"": {"version": 1}}
    return state


def test_values_of_another_kind_are_refused_by_their_key():
    for value, error, text in (
        (torch.tensor([1j]), DtypeError, "current_decay is complex"),
        (torch.tensor([True]), DtypeError, "current_decay is no number"),
        (torch.tensor([1.0]).to_sparse(), DtypeError, "current_decay is not dense"),
        (torch.zeros(0), ShapeError, r"current_decay has the wrong shape; expected \(1,\), or .*, got \(0,\)"),
        (torch.zeros(1, 1), ShapeError, "current_decay has the wrong shape"),
    ):
        for state in (of_lava_dl(current_decay=value), {**cuba.Neuron(**LEAK).state_dict(), "current_decay": value}):
            with pytest.raises(error, match=text):
                cuba.Neuron(**LEAK).load_state_dict(state, strict=False)


def test_lava_dls_turns_are_refused_where_they_are_none():
    neuron, two = rf.Neuron(1.0, 8, 0.1), torch.tensor([9.0, 9.0])
    with pytest.raises(ShapeError, match=r"sin_decay and cos_decay are no turn; .* got \(2,\) and \(3,\)"):
        neuron.load_state_dict({"sin_decay": two, "cos_decay": torch.ones(3)})
    with pytest.raises(DtypeError, match="cos_decay is complex"):
        neuron.load_state_dict({"sin_decay": two, "cos_decay": 1j * two})
    for sin, cos, text in (
        (3000.0, 3000.0, r"magnitudes in \[0, 4096\], got \[4242.6"),
        (8000.0, 0.0, "sin_decay is not of a lava-dl resonator"),
        (100.0, -20.0, r"cos_decay is not of a lava-dl resonator; expected values in \[0, 4096\], got \[-20.0\]"),
        (math.nan, 10.0, "sin_decay is not of"),
    ):
        with pytest.raises(ArgumentError, match=text):
            neuron.load_state_dict({"sin_decay": torch.tensor([sin]), "cos_decay": torch.tensor([cos])})
    with pytest.raises(ArgumentError, match="sin_decay is not of"):
        neuron.load_state_dict({"sin_decay": torch.tensor([1.0, math.nan]), "cos_decay": two})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("angle", [0.001, 0.3, math.pi / 4, 1.5])
def test_a_turn_on_the_circle_loads_however_it_was_rounded(dtype, angle):
    sin, cos = (torch.tensor([4096 * part(angle)]).to(dtype) for part in (math.sin, math.cos))
    neuron = rf.Neuron(1.0, 8, 0.1)
    neuron.load_state_dict({"sin_decay": sin, "cos_decay": cos})
    outside = max(1, math.hypot(sin, cos) / 4096)  # what rounding to the dtype put there is brought back to the circle
    assert neuron.cx_sin_decay == pytest.approx(float(sin) / outside, abs=1)
    assert neuron.cx_cos_decay == pytest.approx(float(cos) / outside, abs=1)


def test_lava_dls_decays_may_stray_by_a_step_only():
    neuron = cuba.Neuron(**LEAK)
    neuron.load_state_dict(of_lava_dl(current_decay=[4096.04], voltage_decay=[-0.04]))
    assert (neuron.cx_current_decay, neuron.cx_voltage_decay) == (4096, 0)
    for value in (4100.0, 8000.0, -1.0, math.inf):
        with pytest.raises(ArgumentError, match=r"not a lava-dl decay; expected values in \[0, 4096\], got"):
            neuron.load_state_dict(of_lava_dl(current_decay=[value], voltage_decay=[0.0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_the_dtype_of_lava_dls_decays_does_not_round_them(dtype):
    decays = torch.arange(4097).to(dtype)
    stored = from_state_dict("current_decay", decays, 1)
    assert stored.dtype in (torch.float32, torch.float64)
    assert torch.equal(to_decay(stored).mul(4096).round().double(), decays.double())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_lava_dl_had_not_drawn_yet_is_known_in_half_precision(dtype):
    neuron = cuba.Neuron(1.0, (0.1, 0.5), 0.5, shared_param=False)
    lowest = torch.tensor([4096 * 0.1]).to(dtype), torch.tensor([4096 * 0.495]).to(dtype)
    neuron.load_state_dict(of_lava_dl(current_decay=lowest[0], voltage_decay=lowest[1]))
    neuron(torch.zeros(1, 50, 2))
    assert neuron.current_decay.unique().numel() > 40


@pytest.mark.parametrize("value", [5.0, -40.0, math.nan, math.inf, -math.inf])
def test_our_own_form_is_refused_out_of_its_range(value):
    leak, adapts = {**LEAK}, {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.1}
    for neuron in (cuba.Neuron(**leak), alif.Neuron(**leak, **adapts), rf.Neuron(1.0, 8, 0.1)):
        for name in neuron.state_dict():
            state = neuron.state_dict()
            state[name] = torch.tensor([value])
            with pytest.raises(ArgumentError, match=rf"{name} is out of range; expected values in \[.*\], as slayer"):
                neuron.load_state_dict(state)


def test_our_own_form_may_stray_by_a_step_which_is_taken_back():
    neuron = cuba.Neuron(**LEAK)  # one that does not learn, so that no run clamps it
    state = neuron.state_dict()
    state["current_decay"] = torch.tensor([0.3])
    neuron.load_state_dict(state)
    assert neuron.current_decay.item() == 0
