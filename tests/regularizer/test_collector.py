"""The collector: what it sees of every block and of foreign cells, that it changes nothing, and that it lets go."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
from block_zoo import COMPILES, READOUTS, ZOO, events, make
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError, block
from slayerloss.block import reset_state
from slayerloss.neuron import Dropout
from slayerloss.regularizer import ActivityCollector

NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "requires_grad": True}
TURNS = {"threshold": 0.5, "period": 8, "decay": 0.1}


def network(**options) -> torch.nn.Sequential:
    torch.manual_seed(0)
    params = {**NEURON, **options}
    return torch.nn.Sequential(
        block.cuba.Dense(params, 20, 8, weight_scale=3), block.cuba.Dense(params, 8, 3, weight_scale=3)
    )


def spikes_in(samples: int = 4, steps: int = 12) -> Tensor:
    return (torch.rand(samples, 20, steps, generator=torch.Generator().manual_seed(1)) > 0.5).float()


def spikes_and_gradients(model: torch.nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    torch.manual_seed(0)
    model.zero_grad()
    x = x.clone().requires_grad_()
    y = model(x)
    y.square().sum().backward()
    return y.detach(), [x.grad, *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("name", [*ZOO, *READOUTS])
@pytest.mark.parametrize("voltage", [False, True])
def test_every_block_stays_as_it_is(name: str, voltage: bool) -> None:
    plain, x = make(name), events(name)
    watched = copy.deepcopy(plain)
    y, gradients = spikes_and_gradients(plain, x)
    with ActivityCollector(watched, voltage=voltage) as collector:
        again, watched_gradients = spikes_and_gradients(watched, x)
        (activity,) = collector.activity.values()
    assert torch.equal(again, y)
    torch.testing.assert_close(watched_gradients, gradients, rtol=1e-4, atol=1e-6)
    assert activity.module is watched
    assert torch.equal(activity.spikes, y)
    assert torch.equal(activity.inputs, x)
    assert activity.lengths is None


@pytest.mark.parametrize("shift", [True, "lava-dl"])
@pytest.mark.parametrize("name", [*ZOO, "affine"])
def test_the_voltage_is_that_of_the_run(name: str, shift: bool | str) -> None:
    layer, x = make(name, delay_shift=shift), events(name)
    with ActivityCollector(layer, voltage=True) as collector:
        torch.manual_seed(0)
        y = layer(x)
        (activity,) = collector.activity.values()
    assert activity.voltage is not None
    assert activity.voltage.shape == y.shape
    if name == "affine":
        return
    with torch.no_grad():
        states = layer.chip_states(x)
        kept = states["v"] if "v" in states else states["imag" if "IZ" in name else "real"]
    voltage = (activity.voltage * layer.neuron.lsb).round().long()
    spiked = voltage > round(layer.neuron.threshold * layer.neuron.lsb)
    after = voltage.masked_fill(spiked, 0) if "v" in states and "ALIF" not in name else voltage
    assert torch.equal(after, kept)
    (grad,) = torch.autograd.grad(activity.voltage.square().sum(), next(layer.neuron.parameters()))
    assert grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [block.alif, block.rf, block.rf_iz, block.adrf, block.adrf_iz])
def test_neurons_that_hear_themselves_show_each_step(kind) -> None:
    rises = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.5}
    turning = {**TURNS, **rises} if "ad" in kind.__name__ else TURNS
    layer = kind.Recurrent({**NEURON, **rises} if kind is block.alif else turning, 20, 5, weight_scale=3)
    y = layer(spikes_in())
    with ActivityCollector(layer, voltage=True) as collector:
        assert torch.equal(layer(spikes_in()), y)
        (activity,) = collector.activity.values()
    assert activity.voltage is not None
    assert activity.voltage.shape == y.shape


def test_the_voltage_of_a_run_with_dropout_and_norm_is_that_of_the_same_run() -> None:
    from slayerloss.neuron.norm import MeanOnlyBatchNorm

    plain = network(dropout=Dropout(0.5), norm=MeanOnlyBatchNorm)
    watched = copy.deepcopy(plain)
    y, _ = spikes_and_gradients(plain, spikes_in())
    with ActivityCollector(watched, voltage=True) as collector:
        again, _ = spikes_and_gradients(watched, spikes_in())
        first = collector.activity["0"]
    assert torch.equal(again, y)
    for name, value in plain.state_dict().items():
        assert torch.equal(watched.state_dict()[name], value), name
    assert first.voltage is not None
    fires = (first.voltage > plain[0].neuron.threshold).float()
    assert torch.equal(first.spikes.detach() != 0, (fires * first.spikes.detach()) != 0)  # some are dropped


def test_a_network_with_names_lengths_logs_and_state() -> None:
    model = torch.nn.Module()
    model.first = block.cuba.Dense({**NEURON, "persistent_state": True}, 20, 8, weight_scale=3, count_log=True)
    model.second = block.cuba.Dense(NEURON, 8, 3, weight_scale=3)
    model.forward = lambda x, lengths=None: model.second(model.first(x, lengths=lengths)[0], lengths)
    x, lengths = spikes_in(), torch.tensor([12, 3, 5, 8])
    with ActivityCollector(model) as collector:
        model(x, lengths)
        reset_state(model)
        before = collector.activity
        y = model(x, lengths)
        activity = collector.activity
    assert list(activity) == ["first", "second"]
    assert all(layer.lengths is lengths for layer in activity.values())
    assert torch.equal(activity["second"].spikes, y)
    assert torch.equal(activity["first"].spikes, before["first"].spikes)  # of this pass, not of both
    assert activity["second"].inputs is activity["first"].spikes


def test_layers_are_chosen_by_patterns() -> None:
    model = network()
    assert list_of(model, "1") == ["1"]
    assert list_of(model, ["*.synapse"]) == ["0.synapse", "1.synapse"]
    assert list_of(model[0], None) == ["dense"]
    with pytest.raises(ArgumentError, match="ActivityCollector"):
        ActivityCollector(model, "hidden*")
    with pytest.raises(DtypeError, match="ActivityCollector: model is of the wrong type"):
        ActivityCollector([model])


def list_of(model: torch.nn.Module, layers) -> list[str]:
    with ActivityCollector(model, layers) as collector:
        model(spikes_in())
        return list(collector.activity)


class Cell(torch.nn.Module):
    """A leaky integrate-and-fire cell of someone else, one step a call."""

    def forward(self, x: Tensor, voltage: Tensor) -> tuple[Tensor, Tensor]:
        voltage = 0.9 * voltage + x
        return (voltage > 1).float(), voltage


class Stepwise(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.cell = torch.nn.Linear(20, 6), Cell()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        voltage, sent = torch.zeros(len(x), 6), []
        for step in x.unbind(-1):
            spikes, voltage = self.cell(self.linear(step), voltage)
            sent.append(spikes)
        return torch.stack(sent, -1)


def test_a_foreign_cell_that_is_called_for_each_step() -> None:
    model, lengths = Stepwise(), torch.tensor([12, 3, 5, 8])
    with ActivityCollector(model, "cell", voltage=True) as collector:
        y = model(spikes_in(), lengths)
        layer = collector.activity["cell"]
    assert torch.equal(layer.spikes, y)
    assert layer.voltage is not None
    assert torch.equal((layer.voltage > 1).float(), y)
    assert layer.inputs.shape == (4, 6, 12)
    assert layer.lengths is lengths  # the model's, since the cell takes none
    layer.voltage.sum().backward()
    assert model.linear.weight.grad is not None


def test_images_step_by_step_need_a_word() -> None:
    with ActivityCollector(cell := Cell(), "cell", stepwise=True) as collector:
        cell(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
        assert collector.activity["cell"].spikes.shape == (2, 3, 4, 4, 1)
    with ActivityCollector(cell, "cell") as collector:
        cell(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
        assert collector.activity["cell"].spikes.shape == (2, 3, 4, 4)


class Twice(torch.nn.Module):
    """One layer in two places, on samples of different length."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = block.cuba.Dense(NEURON, 20, 3, weight_scale=3)

    def forward(self, x: Tensor, first: Tensor | None = None, second: Tensor | None = None) -> None:
        self.layer(x, first)
        self.layer(x.narrow(-1, 2, 7), second)


def test_several_calls_follow_each_other_in_time_without_the_padding_between() -> None:
    model, x = Twice(), spikes_in(2)
    with ActivityCollector(model, voltage=True) as collector:
        model(x)
        whole = collector.activity["layer"]
        model(x, torch.tensor([12, 3]))
        layer = collector.activity["layer"]
    assert whole.lengths is None
    assert torch.equal(whole.inputs, torch.cat([x, x[..., 2:9]], -1))
    assert layer.lengths is not None
    assert layer.lengths.tolist() == [19, 10]
    assert torch.equal(layer.spikes[0], whole.spikes[0])
    assert torch.equal(layer.spikes[1, :, :10], whole.spikes[1][:, [0, 1, 2, *range(12, 19)]])
    assert layer.voltage is not None
    assert whole.voltage is not None
    assert torch.equal(layer.voltage[1, :, :10], whole.voltage[1][:, [0, 1, 2, *range(12, 19)]])


def test_batches_of_different_shapes_in_one_pass_are_refused() -> None:
    model = torch.nn.Module()
    model.layer = block.cuba.Dense(NEURON, 20, 3)
    model.forward = lambda x: (model.layer(x), model.layer(x[:1]))
    with ActivityCollector(model) as collector:
        model(spikes_in())
        with pytest.raises(ShapeError, match="layer was called with batches of different shapes"):
            _ = collector.activity


@pytest.mark.parametrize("end", ["clear", "close", "exit", "forget"])
def test_nothing_is_kept_alive(end: str) -> None:
    model = network()
    collector = ActivityCollector(model, voltage=True)
    model(spikes_in()).sum().backward()
    tensors = [part for layer in collector.activity.values() for part in (layer.spikes, layer.voltage)]
    alive, itself = [weakref.ref(tensor) for tensor in tensors], weakref.ref(collector)
    tensors.clear()
    hooks = [model._forward_pre_hooks, model[0]._forward_hooks, model[1].neuron._voltage_hooks]
    assert all(hooks)
    gc.disable()  # counting references is enough
    try:
        if end == "clear":
            collector.clear()
        elif end == "close":
            collector.close()
        elif end == "exit":
            with collector:
                pass
        else:
            del collector
        assert [each() for each in alive] == [None] * 4
    finally:
        gc.enable()
    assert any(map(bool, hooks)) == (end == "clear")
    if end == "forget":
        assert itself() is None
    else:
        assert collector.activity == {}


def test_the_model_is_not_kept_alive() -> None:
    model = network()
    collector = ActivityCollector(model)
    model(spikes_in())
    itself = weakref.ref(model[0])
    del model
    collector.clear()
    gc.collect()
    assert itself() is None
    collector.close()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_model_are_not_collected(copied) -> None:
    model = network()
    with ActivityCollector(model, voltage=True) as collector:
        model(spikes_in()).sum().backward()  # a graph is alive in the collector
        other = copied(model)
        assert not any(layer.neuron._voltage_hooks for layer in other)  # which would make it slow
        assert all(layer.neuron._voltage_hooks for layer in model)
        before = {name: layer.spikes for name, layer in collector.activity.items()}
        assert torch.equal(other(spikes_in()), model(spikes_in()))
        collector.clear()
        other(spikes_in())
        assert collector.activity == {}
        assert list(before) == ["0", "1"]
    assert list(other.state_dict()) == list(model.state_dict())
    with ActivityCollector(other, voltage=True) as collector:
        other(spikes_in())
        assert all(layer.voltage is not None for layer in collector.activity.values())


def test_two_collectors_do_not_see_each_other() -> None:
    model = network()
    with ActivityCollector(model, voltage=True) as one:
        with ActivityCollector(model, "0", voltage=True) as other:
            model(spikes_in())
            assert torch.equal(one.activity["0"].voltage, other.activity["0"].voltage)
        model(spikes_in())
        assert other.activity == {}
        assert one.activity["1"].voltage is not None


def test_what_has_no_voltage() -> None:
    model = torch.nn.Sequential(block.sigma_delta.Dense({"threshold": 0.1, "activation": torch.relu}, 20, 3))
    with ActivityCollector(model, voltage=True) as collector:
        model(spikes_in())
        assert collector.activity["0"].voltage is None
    with pytest.raises(ArgumentError, match="register_voltage_hook: through_reset is False"):
        ActivityCollector(network(through_reset=False), voltage=True)
    assert not model._forward_pre_hooks


@COMPILES
@pytest.mark.parametrize("voltage", [False, True])
def test_a_compiled_model_is_one_graph_with_its_activity(voltage: bool) -> None:
    plain, model = network(), network()
    with ActivityCollector(plain, voltage=voltage) as expected, ActivityCollector(model, voltage=voltage) as collector:
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        for seed in range(2):
            x = spikes_in().roll(seed, -1)
            losses = []
            for run, seen in ((plain, expected), (compiled, collector)):
                run(x)
                hidden = seen.activity["0"]
                losses.append(hidden.spikes.sum() + (hidden.voltage.square().sum() if voltage else 0))
                losses[-1].backward()
            torch.testing.assert_close(losses[1], losses[0])
        torch.testing.assert_close(model[0].synapse.weight.grad, plain[0].synapse.weight.grad)
        with ActivityCollector(compiled) as outside:
            assert [hook.name for hook in model[0]._forward_hooks.values()] == ["0", "0"]
        outside.close()
