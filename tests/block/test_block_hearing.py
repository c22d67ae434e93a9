"""Populations that hear themselves, of neurons other than CUBA: step by step, with gradients through time."""

from __future__ import annotations

import pytest
import torch
from block_zoo import COMPILES

from slayerloss.block import alif
from slayerloss.functional import shift
from slayerloss.neuron import Dropout
from slayerloss.neuron._recurrent import run_recurrent
from slayerloss.neuron.alif import Neuron as Alif
from slayerloss.neuron.base import Neuron as Base
from slayerloss.neuron.cuba import Neuron as Cuba
from slayerloss.neuron.norm import MeanOnlyBatchNorm

DECAYS = {"current_decay": 0.3, "voltage_decay": 0.1, "threshold_decay": 0.05, "refractory_decay": 0.2}
ALIF = {"threshold": 1.0, "threshold_step": 0.25, **DECAYS, "tau_grad": 0.05, "scale_grad": 2, "requires_grad": True}
EACH = {**ALIF, "shared_param": False, "current_decay": (0.1, 0.5), "voltage_decay": (0.05, 0.3)}

BLOCKS = {
    "recurrent": lambda p, **k: alif.Recurrent(p, 6, 5, weight_scale=3, **k),
    "recurrent with everything": lambda p, **k: alif.Recurrent(
        {**p, **EACH}, 6, 5, weight_scale=3, weight_norm=True, delay=True, **k
    ),
    "winners": lambda p, **k: alif.KWTA(p, 6, 5, 2, weight_scale=5, **k),
}


def make(name, params=ALIF, **options):
    torch.manual_seed(0)
    return BLOCKS[name](params, **options)


def events(seed=1, steps=24):
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(2, 6, steps, generator=random) > 0.6).float()


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("place", [True, "lava-dl"])
def test_two_runs_are_one_with_gradients(name, place):
    block, x = make(name, delay_shift=place).double(), events().double().requires_grad_()
    whole, _ = block.run(x)
    assert 0.01 < (whole != 0).double().mean() < 0.7
    state, parts = None, []
    for part in x.tensor_split([1, 10], -1):
        y, state = block.run(part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts, -1), whole)
    weights = torch.randn(whole.shape, generator=torch.Generator().manual_seed(2), dtype=whole.dtype)
    learned = [x, *(parameter for parameter in block.parameters() if parameter.requires_grad)]
    grads = [torch.autograd.grad((y * weights).sum(), learned) for y in (torch.cat(parts, -1), whole)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
        assert one.any()


def test_knowing_what_they_heard_one_run_says_the_same():
    for name in ("recurrent", "winners"):
        block, x = make(name), events()
        spikes = block(x)
        heard = torch.einsum("oc,nct->not", block.feedback(), shift(spikes))
        assert heard.any()
        z = shift(block.drive(x)) + block.constant() + heard
        assert torch.equal(block.neuron(z), spikes)
        states, expected = block.chip_states(x), block.neuron.chip_states(z)
        for key, value in expected.items():
            assert torch.equal(states[key], value)


class Stepping(Cuba):
    """CUBA neurons that the loop runs, as it runs any other."""

    run_recurrent = property()  # without a getter: hasattr says no
    respond = Cuba.run

    def _drive(self, x, lengths):
        return x


def test_the_loop_gives_the_spikes_and_gradients_of_the_fused_path():
    params = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.1, "tau_grad": 0.1, "requires_grad": True}
    torch.manual_seed(0)
    x = (2 * torch.rand(3, 5, 30) - 0.5).double()
    feedback = torch.randn(5, 5).double()
    results = []
    for kind in (Cuba, Stepping):
        neuron = kind(**params).double()
        assert hasattr(neuron, "run_recurrent") == (kind is Cuba)
        inputs = [x.clone().requires_grad_(), feedback.clone().requires_grad_()]
        first, state = run_recurrent(neuron, inputs[0][..., :11], inputs[1])
        y = torch.cat([first, run_recurrent(neuron, inputs[0][..., 11:], inputs[1], state)[0]], -1)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype)
        grads = torch.autograd.grad((y * weights).sum(), [*inputs, *neuron.parameters()])
        results.append((y, *grads))
    assert results[0][0].any()
    assert torch.equal(results[0][0], results[1][0])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_a_norm_subtracts_the_mean_of_what_x_causes():
    block, x = make("recurrent", {**ALIF, "norm": MeanOnlyBatchNorm}), events()
    block(x)
    mean = shift(block.drive(x)).mean((0, 2))
    torch.testing.assert_close(block.neuron.norm.running_mean, 0.1 * mean)
    block.eval()
    whole, _ = block.run(x)
    first, state = block.run(x[..., :9])
    assert torch.equal(torch.cat([first, block.run(x[..., 9:], state)[0]], -1), whole)
    assert isinstance(block.neuron, Base)
    assert block.neuron.norm is not None  # the loop leaves it where it is


def test_dropout_acts_on_what_the_population_sends_to_others():
    plain, x = make("recurrent"), events()
    block = make("recurrent", {**ALIF, "dropout": Dropout(0.5)})
    block.load_state_dict(plain.state_dict())
    torch.manual_seed(3)
    sent, whole = block(x), plain(x)
    kept = sent.any(-1)
    assert 0 < kept.sum() < whole.any(-1).sum()
    assert torch.equal(sent != 0, (whole != 0) & kept[..., None])


def test_learned_decays_out_of_range_come_back():
    block = make("recurrent")
    with torch.no_grad():
        block.neuron.current_decay.fill_(1.0)  # a logarithm: the decay would be above 1
    block(events()).sum().backward()
    assert block.neuron.decays[0].tolist() == [1]


def test_cuba_neurons_keep_their_fused_path():
    assert hasattr(Cuba(1.0, 1.0, 1.0), "run_recurrent")
    assert not hasattr(Alif(1.0, 0.25, **DECAYS), "run_recurrent")


@COMPILES
@pytest.mark.parametrize("params", [ALIF, {**ALIF, "norm": MeanOnlyBatchNorm, "dropout": Dropout(0.0)}])
@pytest.mark.parametrize("name", ["recurrent", "winners"])
def test_the_loop_compiles_into_one_graph(name, params):
    torch.compiler.reset()
    block, x = make(name, params), events(steps=4)
    block(x)  # the norm takes its size from the first batch
    block.eval()
    assert torch.equal(torch.compile(block, backend="eager", fullgraph=True)(x), block(x))
