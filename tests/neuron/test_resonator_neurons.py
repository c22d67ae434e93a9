"""The neurons RF and RF_IZ: their parameters, state, properties, and what they refuse."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from resonator_model import integer_resonator

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import ResonatorState
from slayerloss.neuron import Dropout, rf, rf_iz
from slayerloss.neuron.norm import MeanOnlyBatchNorm

BOTH = pytest.mark.parametrize("kind", [rf, rf_iz])


def spikes(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Both parts of weighted spikes."""
    random = torch.Generator().manual_seed(seed)
    drive = torch.randn((2, *shape), generator=random) * (torch.rand((2, *shape), generator=random) < 0.4)
    real, imag = drive.mul(64).round().div(64)
    return real, imag


@settings(max_examples=200, deadline=None)
@given(period=st.floats(4, 1000), decay=st.floats(0, 0.9999))
def test_the_integers_are_those_of_lava_dl(period, decay):
    neuron = rf.Neuron(1.0, period, decay)
    parts = [np.float32(4096 * part(2 * np.pi / period) * (1 - decay)) for part in (np.sin, np.cos)]
    gain = np.hypot(*parts)
    sin, cos = (part * min(gain, 4095) / gain for part in parts)
    assert abs(neuron.cx_sin_decay - max(sin, 1)) <= 0.5 + 1e-3
    assert abs(neuron.cx_cos_decay - max(cos, 0)) <= 0.5 + 1e-3
    assert neuron.cx_sin_decay**2 + neuron.cx_cos_decay**2 < 4096**2


@settings(max_examples=200, deadline=None)
@given(sin=st.floats(1, 4095), cos=st.floats(0, 4095))
def test_turns_of_lava_dl_are_kept_to_the_integer(sin, cos):
    inside = min(1, 4095 / math.hypot(sin, cos))
    saved = {"sin_decay": torch.tensor([sin * inside]).clamp(1), "cos_decay": torch.tensor([cos * inside])}
    for learns in (False, True):
        neuron = rf_iz.Neuron(1.0, 10, 0.1, requires_grad=learns)
        neuron.load_state_dict(saved)
        assert neuron.cx_sin_decay == round(saved["sin_decay"].item())
        assert neuron.cx_cos_decay == round(saved["cos_decay"].item())
    again = rf_iz.Neuron(1.0, 20, 0.2)
    again.load_state_dict(neuron.state_dict())
    assert (again.cx_sin_decay, again.cx_cos_decay) == (neuron.cx_sin_decay, neuron.cx_cos_decay)


@BOTH
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("space", [(), (2, 3)])
def test_spikes_and_states_are_lavas_integers(kind, per_channel, space):
    options = {"period": (5, 30), "decay": (0.01, 0.2), "shared_param": False} if per_channel else {}
    neuron = kind.Neuron(**({"threshold": 0.5, "period": 9, "decay": 0.03} | options))
    x = spikes(2, 4, *space, 60)
    y = neuron(x)
    channel = (-1, *[1] * len(space))
    turn = (np.reshape(part, channel) for part in (neuron.cx_sin_decay, neuron.cx_cos_decay))
    drives = (np.moveaxis((part * 4096).long().numpy(), -1, 0) for part in x)
    re, im = integer_resonator(*drives, *turn, 32 * 64 if kind is rf_iz else None)
    before = np.concatenate([np.zeros_like(im[:1]), im[:-1]])
    expected = im >= 32 * 64 if kind is rf_iz else (re >= 32 * 64) & (im >= 0) & (before < 0)
    assert expected.any()
    assert np.array_equal(np.moveaxis(y.detach().numpy(), -1, 0), expected)
    if kind is rf_iz:
        re, im = np.where(expected, 0, re), np.where(expected, 32 * 64 - 1, im)
    states = neuron.chip_states(x)
    for name, part in (("real", re), ("imag", im)):
        assert np.array_equal(np.moveaxis(states[name].numpy(), -1, 0), part)


@BOTH
def test_a_dictionary_of_the_chip_makes_the_same_neuron(kind):
    neuron = kind.Neuron(threshold=1.3, period=11.3, decay=0.07, graded_spike=True)
    fields = neuron.device_params
    assert fields["type"] == {rf: "RF_PHASE", rf_iz: "RF_IZHIKEVICH"}[kind]
    assert (fields["vThMant"], fields["gradedSpike"]) == (83, True)
    assert kind.Neuron(**kind.neuron_params(fields)).device_params == fields | {"gradedSpike": False}
    sin, cos = fields["sinDecay"] / 4096, fields["cosDecay"] / 4096
    assert neuron.decay == pytest.approx(1 - math.hypot(sin, cos))
    assert neuron.lam == pytest.approx(-math.log(math.hypot(sin, cos)))
    assert neuron.period == pytest.approx(2 * math.pi / math.atan2(sin, cos))
    assert neuron.frequency * neuron.period == pytest.approx(1)
    assert neuron.file_params["sinDecay"] == fields["sinDecay"] + 0.5
    assert "period=11.3" in repr(neuron)


@BOTH
def test_oscillations_per_channel(kind):
    neuron = kind.Neuron(0.5, (4, 64), (0.1, 0.2), shared_param=False)
    neuron(spikes(1, 5, 3))
    assert neuron.period == pytest.approx([64, 32, 16, 8, 4], rel=0.01)  # evenly by their logarithm
    assert ((neuron.decay > 0.099) & (neuron.decay < 0.201)).all()
    assert len(set(neuron.decay)) == 5
    torch.manual_seed(0)
    uniform = kind.Neuron(0.5, (4, 64), 0.1, shared_param=False, log_init=False, channels=2000)
    assert np.quantile(uniform.frequency, [0.01, 0.5, 0.99]) == pytest.approx([0.018, 0.133, 0.2477], abs=0.008)
    around = kind.Neuron(0.5, 10, 0.1, shared_param=False, channels=50)
    assert around.period == pytest.approx(10, rel=0.02)
    assert around.decay == pytest.approx(0.1, rel=0.03)
    assert kind.Neuron(0.5, 4, 0.1, shared_param=False, channels=5).period.min() >= 4


@BOTH
def test_parameters_learn_and_stay_in_their_range(kind):
    neuron = kind.Neuron(0.5, 12, 0.05, requires_grad=True)
    x = spikes(2, 3, 80)
    target = kind.Neuron(0.5, 9, 0.1).dynamics(x)
    optimizer = torch.optim.Adam(neuron.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = sum((a - b).square().mean() for a, b in zip(neuron.dynamics(x), target, strict=True))
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        neuron.log_decay.fill_(5.0)
        neuron.log_frequency.fill_(5.0)
    neuron(x)
    assert neuron.period == pytest.approx(4)
    assert (neuron.cx_sin_decay, neuron.cx_cos_decay) == (1, 0)
    with torch.no_grad():
        neuron.log_decay.fill_(-50.0)
        neuron.log_frequency.fill_(-50.0)
    neuron(x)
    assert (neuron.cx_sin_decay, neuron.cx_cos_decay) == (1, 4095)


@BOTH
def test_gradients_of_the_parameters_are_finite_differences(kind):
    neuron = kind.Neuron(100.0, 12, 0.05, requires_grad=True)
    x = tuple(part * 200 for part in spikes(1, 1, 15))

    def loss():
        real, imag = neuron.dynamics(x)
        return (real + 2 * imag).square().mean()

    gradients = torch.autograd.grad(loss(), (neuron.log_decay, neuron.log_frequency))
    for parameter, gradient in zip((neuron.log_decay, neuron.log_frequency), gradients, strict=True):
        ends = []
        for step in (0.06, -0.12):
            with torch.no_grad():
                parameter += step
            ends.append(loss().item())
        with torch.no_grad():
            parameter += 0.06
        assert (ends[0] - ends[1]) / 0.12 == pytest.approx(gradient.item(), rel=0.05)


@BOTH
@pytest.mark.parametrize("graded", [False, True])
def test_persistent_state(kind, graded):
    options = {"threshold": 0.4, "period": 9, "decay": 0.03, "graded_spike": graded}
    x = spikes(2, 3, 50)
    whole = kind.Neuron(**options)(x)
    assert whole.any()
    neuron = kind.Neuron(**options, persistent_state=True)
    parts = [tuple(part.split([17, 1, 32], -1)[i] for part in x) for i in range(3)]
    assert torch.equal(torch.cat([neuron(part) for part in parts], -1), whole)
    assert neuron.state.real.shape == (2, 3)
    neuron.reset_state()
    assert torch.equal(neuron.real_state, torch.zeros(1))
    assert torch.equal(torch.cat([neuron.spike(*neuron.dynamics(part)) for part in parts], -1), whole)
    neuron.real_state *= 0
    neuron.imag_state *= 0
    assert torch.equal(neuron(x), whole)
    state = None
    ran = []
    for part in parts:
        y, state = kind.Neuron(**options).run(part, state)
        ran.append(y)
    assert isinstance(state, ResonatorState)
    assert torch.equal(torch.cat(ran, -1), whole)


@BOTH
def test_norms_and_dropout(kind):
    x = spikes(4, 3, 40)
    neuron = kind.Neuron(0.4, 9, 0.03, norm=MeanOnlyBatchNorm)
    found = neuron.dynamics(x)
    means = (neuron.quantize_8bit(part.mean((0, 2), keepdim=True)) for part in x)
    expected = kind.Neuron(0.4, 9, 0.03).dynamics(tuple(part - mean for part, mean in zip(x, means, strict=True)))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    dropping = kind.Neuron(0.4, 9, 0.03, dropout=Dropout(0.5))
    y, plain = dropping(x), dropping.eval()(x)
    assert not torch.equal(y, plain)
    assert torch.equal(plain, kind.Neuron(0.4, 9, 0.03)(x))


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_dtypes(kind, dtype):
    x = tuple((part * 4).round() for part in spikes(2, 3, 30))
    neuron = kind.Neuron(2.0, 9, 0.03)
    expected, y = neuron(x), neuron(tuple(part.to(dtype) for part in x))
    assert torch.equal(y.float(), expected)
    assert y.dtype == (dtype if dtype.is_floating_point else torch.float32)


@BOTH
def test_copies(kind):
    neuron = kind.Neuron(0.5, (4, 64), 0.1, shared_param=False, requires_grad=True)
    x = spikes(2, 3, 30)
    for copied in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        copied(x)
    y = neuron(x)
    for copied in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert torch.equal(copied(x), y)
    assert torch.equal(neuron.half()(x), y)  # parameters stay as wide as they are


@BOTH
def test_channels_that_are_not_drawn_yet(kind):
    neuron = kind.Neuron(0.5, (4, 64), 0.1, shared_param=False)
    other = kind.Neuron(0.5, (4, 64), 0.1, shared_param=False)
    other.load_state_dict(neuron.state_dict())
    other(spikes(1, 7, 3))
    assert other.log_decay.shape == (7,)
    neuron.load_state_dict(other.state_dict())
    assert torch.equal(neuron.log_frequency, other.log_frequency)
    undrawn = {"sin_decay": torch.tensor([math.nan]), "cos_decay": torch.tensor([math.nan])}  # as lava-dl saves them
    other.load_state_dict(undrawn)
    other(spikes(1, 3, 3))
    assert other.log_decay.isfinite().all()
    assert other.log_decay.shape == (3,)


X = torch.zeros(2, 3, 5)
GOOD = {"threshold": 1.0, "period": 10, "decay": 0.1}


@BOTH
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"period": 3.9}, ArgumentError, r"Neuron: period is out of range; expected a number of at least 4, got 3.9"),
        ({"period": (3, 9), "shared_param": False}, ArgumentError, r"period is out of range.* at least 4, got 3"),
        ({"period": (9, 5), "shared_param": False}, ArgumentError, r"period is out of range.* at least 9, got 5"),
        ({"period": (5, 6, 7), "shared_param": False}, ArgumentError, r"period is no range; expected \(lowest, high"),
        ({"period": (5, 9)}, DtypeError, r"period is not a number.*shared_param=False takes \(lowest, highest\)"),
        ({"period": math.inf}, ArgumentError, r"period is out of range"),
        ({"decay": 1.1}, ArgumentError, r"Neuron: decay is out of range; expected a number in \[0, 1\], got 1.1"),
        ({"decay": -0.1}, ArgumentError, r"decay is out of range"),
        ({"decay": (0.1, 0.2)}, DtypeError, r"decay is not a number"),
        ({"decay": "slow"}, DtypeError, r"decay is not a number"),
        ({"log_init": "no"}, DtypeError, r"log_init is neither True nor False"),
        ({"threshold": 0.01}, ArgumentError, r"threshold is zero once cut to the chip's grid"),
    ],
)
def test_arguments_are_refused(kind, arguments, error, text):
    with pytest.raises(error, match=text):
        kind.Neuron(**(GOOD | arguments))


@BOTH
@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (X, DtypeError, r"Neuron: x is no sequence; expected a real and an imaginary part, got Tensor"),
        ((X,), ArgumentError, r"x has the wrong length"),
        (None, DtypeError, r"x is no sequence; expected a real and an imaginary part"),
        ((X, X[:1]), ShapeError, r"imaginary x does not match real x"),
        ((X[0], X[0]), ShapeError, r"x has too few dimensions"),
        ((X, X / 0), ArgumentError, r"holds 30 NaN"),
    ],
)
def test_input_is_refused(kind, x, error, text):
    with pytest.raises(error, match=text):
        kind.Neuron(**GOOD)(x)


@BOTH
def test_state_dicts_are_refused(kind):
    neuron = kind.Neuron(**GOOD)
    with pytest.raises(ArgumentError, match=r"sin_decay is not of a lava-dl resonator; expected values in \[0, 4096\]"):
        neuron.load_state_dict({"sin_decay": torch.tensor([9000.0]), "cos_decay": torch.tensor([1.0])})
    with pytest.raises(RuntimeError, match=r"Missing key.*log_decay.*log_frequency"):
        neuron.load_state_dict({})
    saved = neuron.state_dict()
    saved._metadata[""]["version"] = 99
    with pytest.raises(ArgumentError, match=r"log_decay is of a newer slayerloss"):
        neuron.load_state_dict(saved)
