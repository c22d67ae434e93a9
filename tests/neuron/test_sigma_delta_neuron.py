"""The sigma-delta neuron and its two units as modules: thresholds on the chip's grid, biases, states, checkpoints."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import slayerloss as slayer
from slayerloss.axon import Delta
from slayerloss.dendrite import Sigma
from slayerloss.functional import DeltaState, delta, sigma
from slayerloss.neuron.norm import MeanOnlyBatchNorm
from slayerloss.neuron.sigma_delta import Neuron


def make(threshold: float = 0.1, **options) -> Neuron:
    return Neuron(threshold, **{"activation": torch.relu, **options})


def messages(*shape: int) -> torch.Tensor:
    torch.manual_seed(sum(shape))
    return (torch.randn(*shape) * 4096).round() / 4096


def test_the_threshold_is_on_the_chips_grid_at_use():
    neuron, x = make(requires_grad=True), messages(2, 3, 20)
    with torch.no_grad():
        neuron.threshold.fill_(0.107)  # as an optimiser leaves it
    assert neuron.v_th_mant == 6
    y = neuron(x)
    assert torch.equal(y, delta(sigma(x).relu(), 6 / 64)[0])
    y.square().sum().backward()
    assert neuron.threshold.grad.abs() > 0
    assert neuron.threshold.item() == pytest.approx(0.107)


def test_a_threshold_can_be_set_later():
    neuron, x = make(shared_param=False, requires_grad=True), messages(2, 3, 20)
    neuron.threshold = 0.51
    assert (neuron.threshold.tolist(), neuron.v_th_mant) == ([0.5], 32)
    neuron(x)
    neuron.threshold = 0.25
    assert neuron.threshold.tolist() == [0.25] * 3
    assert torch.equal(neuron(x), make(0.25)(x))
    with pytest.raises(slayer.ArgumentError, match="threshold is out of range"):
        neuron.threshold = -1


def test_a_bias_set_before_the_first_run_has_to_fit_it():
    neuron = make()
    neuron.set_bias(torch.ones(7))
    with pytest.raises(slayer.ShapeError, match=r"bias does not fit the neurons; expected one number, \(3,\) or"):
        neuron(messages(2, 3, 20))
    images = make()
    images.set_bias(torch.arange(24.0))
    assert images(messages(2, 3, 2, 4, 5)).shape == (2, 3, 2, 4, 5)
    assert images.bias.shape == (3, 2, 4)


def test_a_threshold_that_learns_stays_at_least_one_weight_lsb():
    neuron = make(requires_grad=True)
    with torch.no_grad():
        neuron.threshold.fill_(-1.0)
    neuron(messages(1, 2, 5))
    assert neuron.threshold.item() == 1 / 64
    with pytest.raises(slayer.ArgumentError, match="threshold is zero once cut"):
        make(0.01)


@pytest.mark.parametrize("activation", [torch.nn.functional.relu, torch.nn.ReLU(), torch.tanh, torch.abs])
def test_any_activation(activation):
    x = messages(2, 3, 4, 4, 15)
    neuron = make(activation=activation)
    assert torch.equal(neuron(x), delta(activation(sigma(x)), 6 / 64)[0])
    assert neuron.device_params["activation"] in ("relu", "tanh", "abs")


@pytest.mark.parametrize("shape", [(1,), (3,), (3, 4, 4)])
def test_biases(shape):
    x, bias = messages(2, 3, 4, 4, 15), torch.randn(shape)
    neuron = make(requires_grad=True)
    neuron.set_bias(bias)
    whole = ((bias * 64).round() / 64).reshape(*shape, *[1] * (4 - len(shape)))
    y = neuron(x)
    assert torch.equal(y, delta((sigma(x) + whole).relu(), 6 / 64)[0])
    y.square().sum().backward()
    assert neuron.bias.grad.shape == neuron.bias.shape
    assert neuron.bias.grad.any()
    fresh = make()
    fresh.load_state_dict(neuron.state_dict())
    assert torch.equal(fresh(x), y)


@pytest.mark.parametrize("training", [True, False])
def test_the_norm_is_that_of_the_sums(training):
    x, neuron = messages(2, 3, 4, 4, 15).double(), make(norm=MeanOnlyBatchNorm, requires_grad=True).double()
    for _ in range(3):
        neuron(x + 1)
    neuron.train(training)
    reference = copy.deepcopy(neuron)
    grads = []
    for each, run in ((neuron, neuron), (reference, lambda x: composed(reference, x))):
        leaf = x.clone().requires_grad_()
        y = run(leaf)
        grads.append((y, *torch.autograd.grad(y.square().sum(), (leaf, each.threshold))))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(neuron.norm.running_mean, reference.norm.running_mean)


def composed(neuron: Neuron, x: torch.Tensor) -> torch.Tensor:
    return neuron.changes(neuron.activated(sigma(x)))[0]


def test_lengths_count_for_the_norm():
    x, lengths = messages(2, 3, 15), torch.tensor([15, 6])
    neuron = make(norm=MeanOnlyBatchNorm)
    neuron(x, lengths)
    sums = sigma(x)
    mean = (sums[0].sum(-1) + sums[1, :, :6].sum(-1)) / 21
    torch.testing.assert_close(neuron.norm.running_mean, mean * neuron.norm.momentum)


@pytest.mark.parametrize("options", [{}, {"cum_error": True}, {"activation": torch.tanh}])
def test_persistent_state(options):
    x = messages(2, 3, 30)
    whole = make(**options)(x)
    neuron = make(persistent_state=True, **options)
    assert neuron.state is None
    parts = torch.cat([neuron(part) for part in x.split([7, 1, 22], -1)], -1)
    assert torch.equal(parts, whole)
    assert torch.equal(neuron.sigma.pre_state, sigma(x).select(-1, -1))
    assert torch.equal(neuron.delta.pre_state, neuron.activation(neuron.sigma.pre_state))
    assert neuron.delta.residual_state.shape == (2, 3)
    assert neuron.delta.error_state.shape == ((2, 3) if options.get("cum_error") else (1,))
    state = neuron.state
    neuron.reset_state()
    assert neuron.sigma.pre_state.tolist() == neuron.delta.pre_state.tolist() == [0]
    neuron.state = state
    assert neuron.double().state.sigma.dtype == torch.float32 or neuron.state.sigma.dtype == torch.float64


def test_states_can_be_set():
    unit = Delta(0.5, persistent_state=True)
    unit.pre_state = torch.ones(1, 2)
    unit.residual_state = torch.full((1, 2), 0.25)
    expected, _ = delta(torch.ones(1, 2, 3), 0.5, state=DeltaState(torch.ones(1, 2), torch.full((1, 2), 0.25)), scale=1)
    assert torch.equal(unit(torch.ones(1, 2, 3)), expected)
    total = Sigma(persistent_state=True)
    total.pre_state = torch.ones(1, 2)
    assert (total(torch.ones(1, 2, 3)).select(-1, -1) == 4).all()
    total.reset_state()
    assert total.pre_state.tolist() == [0]


def test_nothing_is_kept_without_persistent_state():
    x = messages(2, 3, 9)
    for unit in (make(), make(cum_error=True), Delta(0.1, cum_error=True), Sigma()):
        assert torch.equal(unit(x), unit(x))


def test_thresholds_per_channel():
    x, neuron = messages(2, 3, 4, 4, 15), make(shared_param=False, requires_grad=True)
    neuron(x)
    assert neuron.threshold.shape == (3,)
    with torch.no_grad():
        neuron.threshold.copy_(torch.tensor([0.1, 0.5, 1.0]))
    y = neuron(x)
    assert torch.equal(y[:, 2:], delta(sigma(x).relu(), 1.0)[0][:, 2:])
    y.square().sum().backward()
    assert neuron.threshold.grad.count_nonzero() == 3
    assert neuron.v_th_mant.tolist() == [6, 32, 64]
    fresh = make(shared_param=False)
    fresh.load_state_dict(neuron.state_dict())
    assert torch.equal(fresh(x), y)


def test_state_dicts_of_lava_dl():
    neuron = make(shared_param=False)
    neuron.load_state_dict({"bias": torch.zeros(1), "delta.threshold": torch.tensor([0.25, 0.5]).reshape(2, 1, 1)})
    assert neuron.v_th_mant.tolist() == [16, 32]
    assert not neuron.bias_is_set
    shared = make()
    shared.load_state_dict({"bias": torch.ones(3), "delta.threshold": torch.tensor([0.25])})
    assert shared.bias_is_set
    with pytest.raises(slayer.ArgumentError, match="is no threshold"):
        make().load_state_dict({"bias": torch.zeros(1), "delta.threshold": torch.tensor([float("nan")])})


def test_dropout_silences_whole_neurons():
    torch.manual_seed(0)
    x, neuron = messages(4, 8, 20), make(dropout=slayer.neuron.Dropout(0.5))
    y = neuron(x)
    expected = make()(x)
    silent = (y == 0).all(-1)
    assert silent.any()
    assert torch.equal(y[~silent], 2 * expected[~silent])


def test_copies_and_pickles():
    neuron, x = make(persistent_state=True, norm=MeanOnlyBatchNorm), messages(2, 3, 9)
    neuron(x)
    for other in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert torch.equal(other.delta.pre_state, neuron.delta.pre_state)


def test_half_precision_stays_exact():
    x, neuron = messages(2, 3, 9), make()
    assert torch.equal(neuron.half()(x), make()(x))


def test_wrong_arguments():
    with pytest.raises(slayer.DtypeError, match="activation is no function"):
        make(activation="relu")
    neuron = make()
    neuron(messages(1, 3, 4))
    with pytest.raises(slayer.ShapeError, match="bias does not fit the neurons"):
        neuron.set_bias(torch.zeros(4))
