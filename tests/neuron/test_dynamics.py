"""`neuron.dynamics` gives lava-dl's values bit by bit, and true gradients."""

from __future__ import annotations

import lava_dl_dynamics as lava_dls
import pytest
import torch

from slayerloss import ArgumentError, DtypeError
from slayerloss.neuron import dynamics


@pytest.fixture(scope="module")
def golden(lava_dl, tmp_path_factory):
    """What lava-dl makes of every case."""
    path = tmp_path_factory.mktemp("dynamics") / "results.pt"
    lava_dl(lava_dls.__file__, path)
    return torch.load(path, weights_only=True)


@pytest.mark.lava
@pytest.mark.parametrize("name", lava_dls.NAMES)
def test_states_are_lava_dls(name, golden):
    raised = 0
    for seed, expected in zip(lava_dls.CASES, golden[name], strict=True):
        found = lava_dls.run(dynamics, name, lava_dls.case(seed), seed)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours, theirs), seed
        raised += int(expected[-1].unique().numel() > 1)
    assert raised > len(lava_dls.CASES) / 2


@pytest.mark.lava
def test_what_a_spike_does_is_lava_dls(golden):
    for seed, expected in zip(lava_dls.CASES, golden["after_spike"], strict=True):
        for ours, theirs in zip(lava_dls.after_spike(dynamics, seed), expected, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", lava_dls.NAMES)
def test_decays_and_inputs_have_gradients(name):
    values = {key: value.double() for key, value in lava_dls.case(1).items()}
    decays = ("decay",) if name in ("leaky_integrator", "reset") else ("ref_decay", "th_decay")
    if "reson" in name or name == "izhikevich":
        decays = ("sin", "cos")
    learned = [values[key].requires_grad_() for key in decays]
    outputs = lava_dls.run(dynamics, name, values, 1)
    gradients = torch.autograd.grad(sum(output.square().sum() for output in outputs), learned)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_a_decays_gradient_points_where_the_loss_falls():
    x, decay = torch.ones(1, 1, 20, dtype=torch.float64), torch.tensor([400.0], dtype=torch.float64)

    def loss(decay):
        return dynamics.leaky_integrator.dynamics(x, decay, torch.zeros(1), 4096).square().sum()

    slope = (loss(decay + 40) - loss(decay - 40)) / 80
    (gradient,) = torch.autograd.grad(loss(decay.requires_grad_()), decay)
    assert gradient.item() == pytest.approx(slope.item(), rel=0.01)


def test_wrong_arguments_are_refused():
    x, zero = torch.ones(1, 1, 4), torch.zeros(1)
    with pytest.raises(ArgumentError, match="decay"):
        dynamics.leaky_integrator.dynamics(x, torch.tensor([5000.0]), zero, 4096)
    with pytest.raises(DtypeError, match="decay"):
        dynamics.leaky_integrator.dynamics(x, 0.5, zero, 4096)
    with pytest.raises(ArgumentError, match="w_scale"):
        dynamics.leaky_integrator.dynamics(x, zero, zero, 0)
