"""Sigma-delta neurons and resonators against the equations of the specification, in plain Python integers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import netx
from slayerloss.netx.runtime import resonate
from slayerloss.netx.runtime.resonate import turn

LIMIT = (1 << 23) - 1
INPUTS = st.lists(st.integers(-40_000, 40_000), min_size=1, max_size=15)


def wrap(x: int) -> int:
    """In 32 bits."""
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


def toward_zero(x: int) -> int:
    return abs(x) // 4096 * (1 if x >= 0 else -1)


def delta(values: list[int], threshold: int) -> list[tuple[int, int, int]]:
    """(sent, act, residue) of one neuron, of its values x."""
    act = residue = 0
    record = []
    for x in values:
        d = wrap(x - act + residue)
        y = d if abs(d) >= threshold else 0
        residue, act = d - y, x
        record.append((y >> 6, act, residue))
    return record


def one_neuron(fields: dict[str, Any], neuron: dict[str, Any]) -> netx.Description:
    return netx.describe([{"shape": [1], **fields, "neuron": {"activation": "relu", **neuron}}])


def columns(recording: netx.Recording, *names: str) -> list[tuple[int, ...]]:
    states = [recording.states[0][name][0].tolist() for name in names]
    return list(zip(recording.output[0].tolist(), *states, strict=True))


@settings(deadline=None, max_examples=60)
@given(inputs=INPUTS, threshold=st.integers(0, 200), spike_exp=st.integers(0, 9))
def test_delta(inputs: list[int], threshold: int, spike_exp: int) -> None:
    description = one_neuron({"type": "input"}, {"type": "SDNN", "vThMant": threshold})
    recording = netx.Network(description, spike_exp=spike_exp).run(np.array([inputs]), states=True)
    shift = spike_exp + 6
    assert columns(recording, "act", "residue") == delta([wrap(x << shift) for x in inputs], wrap(threshold << shift))
    assert recording.output.dtype == np.int32


@settings(deadline=None, max_examples=60)
@given(inputs=INPUTS, threshold=st.integers(0, 60), bias=st.integers(-90, 90), spike_exp=st.integers(0, 9))
def test_sigma_delta(inputs: list[int], threshold: int, bias: int, spike_exp: int) -> None:
    fields = {"type": "dense", "weight": [[3]], "bias": np.array([bias], np.float32)}
    description = one_neuron(fields, {"type": "SDNN", "vThMant": threshold})
    network = netx.Network(description, spike_exp=spike_exp, input_message_bits=24)
    recording = network.run(np.array([[*inputs, 0]]), states=True)
    sigma = np.cumsum([0, *(3 * x for x in inputs)]).tolist()
    shift = spike_exp + 6
    book = delta([max(wrap(s + (bias << shift)), 0) for s in sigma], threshold << shift)
    expected = [(sent, s, act, residue) for s, (sent, act, residue) in zip(sigma, book, strict=True)]
    assert columns(recording, "sigma", "act", "residue") == expected


@settings(deadline=None, max_examples=30)
@given(inputs=INPUTS)
def test_sigma(inputs: list[int]) -> None:
    neuron = {"type": "SDNN", "vThMant": 7, "sigma_output": True}
    description = one_neuron({"type": "dense", "weight": [[3]]}, neuron)
    recording = netx.Network(description, input_message_bits=24).run(np.array([[*inputs, 0]]), states=True)
    sums = np.cumsum([0, *(3 * x for x in inputs)]).tolist()
    assert columns(recording, "sigma") == [(s, s) for s in sums]


@settings(deadline=None, max_examples=60)
@given(
    inputs=st.lists(st.integers(-200, 200), min_size=1, max_size=15),
    sin=st.integers(1, 4000),
    cos=st.integers(-4000, 4000),
    threshold=st.integers(-5, 300),
    kind=st.sampled_from(["RF_PHASE", "RF_IZHIKEVICH"]),
    arithmetic=st.sampled_from(["lava", "ideal"]),
)
def test_resonators(inputs: list[int], sin: int, cos: int, threshold: int, kind: str, arithmetic: Any) -> None:
    weight = {"real": np.array([[5.0]]), "imag": np.array([[-7.0]])}
    neuron = {"type": kind, "sinDecay": sin, "cosDecay": cos, "vThMant": threshold}
    layer = {"type": "dense", "shape": [1], "weight": weight, "neuron": neuron}
    network = netx.Network(netx.describe([layer]), input_message_bits=16, arithmetic=arithmetic)
    recording = network.run(np.array([[*inputs, 0]]), states=True)
    if arithmetic == "lava":
        (sin,), (cos,) = (values.tolist() for values in turn(np.array([sin]), np.array([cos])))
    real = imag = 0
    expected = []
    for x in [0, *inputs]:
        before = imag
        turned = toward_zero(cos * real) - toward_zero(sin * imag) + 5 * x * 64
        imag = toward_zero(sin * real) + toward_zero(cos * imag) - 7 * x * 64
        real, imag = (max(-LIMIT, min(LIMIT, part)) for part in (turned, imag))
        if kind == "RF_PHASE":
            fired = real >= threshold * 64 and imag >= 0 and before < 0
        else:
            fired = imag >= threshold * 64
            real, imag = (0, threshold * 64 - 1) if fired else (real, imag)
        expected.append((int(fired), real, imag))
    assert columns(recording, "real", "imag") == expected


def test_lavas_turn_loses_at_most_one() -> None:
    rng = np.random.default_rng(0)
    sin, cos = rng.integers(1, 4000, 2000), rng.integers(-4000, 4000, 2000)
    kept = sin**2 + cos**2 <= 4096**2
    turned = turn(sin[kept], cos[kept])
    for own, exact in zip(turned, (sin[kept], cos[kept]), strict=True):
        assert np.abs(own - exact).max() == 1


@pytest.mark.parametrize(("sin", "cos", "expected"), [(0, 0, (0, 0)), (0, 4000, (0, 4000)), (1848, 3425, (1847, 3424))])
def test_turn_of_special_angles(sin: int, cos: int, expected: tuple[int, int]) -> None:
    turned = turn(np.array([sin]), np.array([cos]))
    assert tuple(int(part[0]) for part in turned) == expected
    assert math.hypot(*expected) <= math.hypot(sin, cos)


@pytest.mark.parametrize("arctan2", [resonate.arctan2, math.atan2])
def test_lava_takes_n_of_n_and_a_half_on_every_processor(arctan2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    angle, left = rng.uniform(0, math.pi / 2, 1000), 4095 * rng.uniform(0, 1, 1000) ** 0.3
    sin, cos = (np.floor(left * part(angle)).astype(int) for part in (np.sin, np.cos))
    sin[:4], cos[:4] = [0, 0, 1, 4094], [0, 4094, 0, 0]
    monkeypatch.setattr(resonate, "arctan2", arctan2)
    resonate._turn.cache_clear()
    for wanted, taken in zip((sin, cos), turn(sin + 0.5, cos + 0.5), strict=True):
        assert np.array_equal(wanted, taken)
    for slip in (-1e-9, 1e-9):  # far more than anything rounds
        for wanted, taken in zip((sin, cos), turn(sin + 0.5 + slip, cos + 0.5 - slip), strict=True):
            assert np.array_equal(wanted, taken)
    resonate._turn.cache_clear()
