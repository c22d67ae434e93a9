"""The CUBA neuron module: its parameters, state and lava-dl's names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slayerloss import SlayerError
from slayerloss.block.cuba import Recurrent
from slayerloss.functional import cuba
from slayerloss.neuron import Dropout
from slayerloss.neuron.cuba import Neuron
from slayerloss.neuron.norm import MeanOnlyBatchNorm

PARAMS = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}


def drive(*shape: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.rand(shape, generator=random).sub(0.3).mul(64).round().div(64)


@pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 4, 5, 20)])
def test_it_is_the_function_with_its_parameters(shape):
    neuron = Neuron(**PARAMS, tau_grad=0.3, scale_grad=2, requires_grad=True)
    x = drive(*shape).requires_grad_()
    spikes = neuron(x)
    expected = cuba(x, 0.25, 0.03, 1.25, tau=0.3 * 1.25 * 100, grad_scale=0.2)[0]
    assert spikes.any()
    assert torch.equal(spikes, expected)
    grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in (spikes, expected)]
    assert torch.equal(*grads)


def test_decays_learn_through_their_logarithm():
    neuron = Neuron(**PARAMS, requires_grad=True)
    x = drive(2, 3, 40)
    decays = torch.tensor([0.25]).requires_grad_(), torch.tensor([0.03]).requires_grad_()
    neuron(x).sum().backward()
    cuba(x, *decays, 1.25, tau=125.0, grad_scale=0.1)[0].sum().backward()
    torch.testing.assert_close(neuron.current_decay.grad, decays[0].grad * 0.25)
    torch.testing.assert_close(neuron.voltage_decay.grad, decays[1].grad * 0.03)
    fixed = Neuron(**PARAMS)
    assert not fixed.current_decay.requires_grad


def test_a_step_of_adam_changes_decays_by_a_fraction_of_themselves():
    neuron = Neuron(**PARAMS, requires_grad=True)
    optimizer = torch.optim.Adam(neuron.parameters(), lr=1e-2)
    before = torch.stack(neuron.decays).detach()
    neuron(drive(2, 3, 40)).sum().backward()
    optimizer.step()
    change = (torch.stack(neuron.decays).detach() / before).log().abs()
    torch.testing.assert_close(change, torch.full_like(change, 0.01), rtol=1e-3, atol=0)


def test_gradient_descent_finds_the_decay_that_made_the_target():
    """lava-dl goes the other way."""
    x = drive(4, 3, 60) * 0.2
    neuron = Neuron(100.0, 0.1, 0.0, requires_grad=True)
    neuron.voltage_decay.requires_grad_(False)
    target = Neuron(100.0, 0.2, 0.0).dynamics(x)[1]
    optimizer = torch.optim.Adam(neuron.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        (neuron.dynamics(x)[1] - target).square().mean().backward()
        optimizer.step()
    assert abs(neuron.decays[0].item() - 0.2) < 0.01


def test_threshold_and_decays_as_the_chip_holds_them():
    neuron = Neuron(0.1, 0.25, 0.03)
    assert neuron.threshold == 6 / 64
    assert neuron.v_th_mant == 6
    assert neuron.device_params == {
        "type": "CUBA",
        "iDecay": 1024,
        "vDecay": 123,
        "vThMant": 6,
        "refDelay": 1,
        "gradedSpike": False,
    }
    each = Neuron(1.0, (0.1, 0.2), 0.5, shared_param=False, channels=4, graded_spike=True).device_params
    assert each["iDecay"].shape == each["vDecay"].shape == (4,)
    assert np.all((each["iDecay"] >= 409) & (each["iDecay"] <= 820))
    assert np.all(abs(each["vDecay"] - 2048) <= 21)
    assert each["gradedSpike"] is True


def test_decays_of_zero_and_one():
    neuron = Neuron(1.0, 0.0, 1.0)
    assert (neuron.cx_current_decay, neuron.cx_voltage_decay) == (0, 4096)
    x = torch.full((1, 1, 4), 0.3)
    u, v = neuron.dynamics(x)
    assert torch.equal(u, v)  # the voltage forgets everything, the current nothing
    torch.testing.assert_close(u[0, 0], torch.tensor([0.3, 0.6, 0.9, 1.2]), atol=4 / 4096, rtol=0)


def test_decays_of_their_own_are_drawn_for_the_channels_at_the_first_run():
    torch.manual_seed(0)
    neuron = Neuron(1.0, (0.1, 0.3), 0.05, shared_param=False, requires_grad=True)
    optimizer = torch.optim.SGD(neuron.parameters(), lr=0.1)  # made before the shape is known
    x = drive(2, 6, 3, 3, 30)
    spikes = neuron(x)
    current, voltage = neuron.decays
    assert current.shape == voltage.shape == (6,)
    assert current.min() >= 0.1
    assert current.max() <= 0.3
    assert current.unique().numel() == 6
    assert torch.equal(neuron(x), spikes)
    spikes.sum().backward()
    before = neuron.current_decay.detach().clone()
    optimizer.step()
    assert not torch.equal(neuron.current_decay, before)
    expected = torch.cat([cuba(x[:, c : c + 1], current[c], voltage[c], 1.0)[0] for c in range(6)], 1)
    assert torch.equal(spikes, expected)


def test_dynamics_and_spike_are_the_two_halves():
    neuron = Neuron(**PARAMS)
    x = drive(2, 3, 40)
    current, voltage = neuron.dynamics(x)
    assert torch.equal(neuron.spike(voltage), neuron(x))
    assert torch.equal(neuron.spike(voltage) > 0, voltage > 1.25)
    assert current.shape == voltage.shape == x.shape


def test_the_norm_works_on_the_current_in_the_neurons_scale():
    neuron = Neuron(**PARAMS, norm=MeanOnlyBatchNorm, scale=32)
    x = drive(2, 3, 40)
    current = neuron.dynamics(x)[0]
    plain = Neuron(**PARAMS, scale=32).dynamics(x)[0]
    mean = plain.mean((0, 2)).mul(16).round().div(16)
    torch.testing.assert_close(current, plain - mean[:, None])
    torch.testing.assert_close(neuron.norm.running_mean, 0.1 * plain.mean((0, 2)))
    assert torch.equal(neuron.norm.bias, -(neuron.norm.running_mean * 16).round() * 2)


def test_a_norm_keeps_a_quantisation_of_its_own():
    def coarse(mean, descale=False):
        return mean.round() * (64 if descale else 1)

    neuron = Neuron(**PARAMS, norm=lambda: MeanOnlyBatchNorm(pre_hook_fx=coarse))
    assert neuron.norm.pre_hook_fx is coarse


@pytest.mark.parametrize("norm", [None, MeanOnlyBatchNorm])
def test_where_nothing_flows_back_through_a_reset_the_spikes_are_the_same(norm):
    x, results = drive(2, 3, 40).requires_grad_(), []
    for through_reset in (True, False):
        neuron = Neuron(**PARAMS, norm=norm, through_reset=through_reset, requires_grad=True).eval()
        spikes, state = neuron.run(x)
        grads = torch.autograd.grad(state.voltage.sum(), (x, neuron.voltage_decay))
        results.append((spikes, grads))
    (spikes, grads), (same, cut) = results
    assert spikes.any()
    assert torch.equal(spikes, same)
    assert not torch.allclose(grads[1], cut[1])


def test_a_population_that_hears_itself_has_gradients_through_resets_only():
    block = Recurrent({**PARAMS, "through_reset": False}, 3, 2)
    with pytest.raises(SlayerError, match="through_reset is False; expected True where a population hears itself"):
        block(torch.ones(1, 3, 4))


def test_persistent_state_alone_and_its_reset():
    neuron = Neuron(**PARAMS, persistent_state=True)
    x = drive(2, 3, 40)
    whole = Neuron(**PARAMS)(x)
    assert torch.equal(torch.cat([neuron(x[..., :17]), neuron(x[..., 17:])], -1), whole)
    assert not torch.equal(neuron(x), whole)
    neuron.reset_state()
    assert torch.equal(neuron(x), whole)
    neuron.reset_state()
    parts = [neuron.spike(neuron.dynamics(part)[1]) for part in x.split(13, -1)]
    assert torch.equal(torch.cat(parts, -1), whole)
    x.requires_grad_()
    for part in x.split(13, -1):
        neuron(part).sum().backward()  # not into the part before


def test_dropout_is_not_part_of_the_state():
    neuron = Neuron(**PARAMS, dropout=Dropout(1.0), persistent_state=True)
    x = drive(2, 3, 40)
    assert not neuron(x).any()
    assert torch.equal(neuron.state.voltage, Neuron(**PARAMS).run(x)[1].voltage)


def test_repr_names_the_decays():
    assert "threshold=1.25, current_decay=0.25, voltage_decay=0.03" in repr(Neuron(**PARAMS))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"threshold": 0}, r"Neuron: threshold is zero once cut to the chip's grid; expected at least 1/64, got 0"),
        ({"threshold": -1}, r"threshold is out of range"),
        ({"current_decay": 2}, r"current_decay is out of range; expected a number in \[0, 1\], got 2\.$"),
        ({"current_decay": [0.1, 0.2]}, r"expected a number, got list\. shared_param=False takes \(lowest, highest\)"),
        ({"current_decay": (0.5, 1.5), "shared_param": False}, r"current_decay is out of range"),
        ({"tau_grad": -1}, r"tau_grad is out of range"),
    ],
)
def test_errors(changes, text):
    with pytest.raises(SlayerError, match=text):
        Neuron(**{**PARAMS, **changes})


def test_the_highest_threshold_can_be_passed():
    highest = Neuron(131071 / 64, 1.0, 0.0)
    assert highest.v_th_mant == 131071
    assert highest(torch.full((1, 1, 3), 1000.0)).tolist() == [[[0, 0, 1]]]
    with pytest.raises(SlayerError, match="No state of the chip can pass a higher one"):
        Neuron(2048, 1.0, 0.0)
