"""The modules on activity: each is its function, and synaptic operations are those of the network file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError, block, functional, netx
from slayerloss.block import SpikingBlock
from slayerloss.loss import SpikeRate
from slayerloss.regularizer import (
    ActivityCollector,
    Hoyer,
    LayerActivity,
    MembraneExcursion,
    Penalty,
    RateBand,
    Regularized,
    SynapticOperations,
    TemporalSmoothness,
    TotalEvents,
    TrevesRolls,
)

loss_alone = SpikeRate(true_rate=0.5, false_rate=0.1)
NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}


def random_spikes(*shape: int, seed: int = 0) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def activity(voltage: bool = True) -> LayerActivity:
    values = torch.randn(2, 3, 2, 2, 8, generator=torch.Generator().manual_seed(1)) if voltage else None
    inputs, spikes = random_spikes(2, 4, 8), random_spikes(2, 3, 2, 2, 8, seed=2)
    return LayerActivity("hidden", torch.nn.Linear(4, 12), inputs, spikes, values, torch.tensor([8, 5]))


PENALTIES = {
    "RateBand": (
        RateBand(0.45, 0.5),
        lambda a: functional.rate_band(a.spikes, 0.45, 0.5, lengths=a.lengths),
    ),
    "RateBand, neuron": (
        RateBand(0.45, 0.5, per="neuron"),
        lambda a: functional.rate_band(a.spikes.flatten(1, -2), 0.45, 0.5, lengths=a.lengths),
    ),
    "TotalEvents": (TotalEvents(9), lambda a: functional.total_events(a.spikes, 9, lengths=a.lengths)),
    "SynapticOperations": (
        SynapticOperations(50),
        lambda a: functional.synaptic_operations(a.inputs, 12.0, 50, lengths=a.lengths),
    ),
    "SynapticOperations, fan_out": (
        SynapticOperations(fan_out=torch.tensor([1.0, 0.0, 2.0, 5.0])),
        lambda a: functional.synaptic_operations(a.inputs, torch.tensor([1, 0, 2, 5]), lengths=a.lengths),
    ),
    "MembraneExcursion": (
        MembraneExcursion(torch.tensor([-1.0, 0.0, 0.5]).reshape(3, 1, 1), 0.7),
        lambda a: functional.membrane_excursion(
            a.voltage, torch.tensor([-1.0, 0.0, 0.5]).reshape(3, 1, 1), 0.7, lengths=a.lengths
        ),
    ),
    "TemporalSmoothness": (
        TemporalSmoothness(3),
        lambda a: functional.temporal_smoothness(a.spikes, 3.0, lengths=a.lengths),
    ),
    "Hoyer": (Hoyer(), lambda a: functional.hoyer_penalty(a.spikes, lengths=a.lengths)),
    "TrevesRolls": (TrevesRolls(), lambda a: functional.treves_rolls(a.spikes, lengths=a.lengths)),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_each_is_its_function_and_is_followed_back(name: str) -> None:
    penalty, function = PENALTIES[name]
    given = activity()
    value = penalty(given)
    torch.testing.assert_close(value, function(given))
    assert value.ndim == 0
    assert value.item() > 0
    value.backward()  # although nothing has a gradient
    assert not list(penalty.parameters())
    assert not penalty.state_dict()
    followed = given._replace(
        inputs=given.inputs.requires_grad_(),
        spikes=given.spikes.requires_grad_(),
        voltage=given.voltage.requires_grad_(),
    )
    penalty(followed).backward()
    grads = [part.grad for part in (followed.inputs, followed.spikes, followed.voltage) if part.grad is not None]
    assert len(grads) == 1
    assert grads[0].abs().sum() > 0
    with pytest.raises(DtypeError, match="activity is of the wrong type"):
        penalty(given.spikes)


def networks() -> dict[str, tuple[torch.nn.Module, tuple[int, ...]]]:
    mask = (torch.rand(6, 20) < 0.5).float()
    norm = {**NEURON, "norm": None}
    return {
        "dense": (
            torch.nn.Sequential(
                block.cuba.Dense(NEURON, 20, 8, weight_scale=3, mask=None),
                block.cuba.Dense(NEURON, 8, 5, weight_scale=3, weight_norm=True, delay=True),
            ),
            (20,),
        ),
        "mask": (torch.nn.Sequential(block.cuba.Dense(norm, 20, 6, weight_scale=3, mask=mask)), (20,)),
        "images": (
            torch.nn.Sequential(
                block.cuba.Input(),
                block.cuba.Conv(NEURON, 2, 4, (3, 2), (2, 1), (1, 0), 1, 2, weight_scale=3),
                block.cuba.Pool(NEURON, 3, 2, 1, weight_scale=0.5),
                block.cuba.Conv(NEURON, 4, 3, 2, dilation=2, weight_scale=3),
                block.cuba.Flatten(),
                block.cuba.Dense(NEURON, 6, 5, weight_scale=3),
            ),
            (2, 11, 8),
        ),
        "recurrent": (
            torch.nn.Sequential(
                block.cuba.Dense(NEURON, 20, 8, weight_scale=3),
                block.cuba.Recurrent(NEURON, 8, 6, weight_scale=3),
                block.cuba.KWTA(NEURON, 6, 5, 2, weight_scale=3),
            ),
            (20,),
        ),
        "complex": (
            torch.nn.Sequential(
                block.rf.Dense({"threshold": 0.2, "period": 8, "decay": 0.1}, 20, 8, weight_scale=3),
                block.rf_iz.Dense({"threshold": 0.2, "period": 8, "decay": 0.1}, 8, 6, weight_scale=3),
            ),
            (20,),
        ),
    }


@pytest.mark.parametrize("name", ["dense", "mask", "images", "recurrent", "complex"])
def test_operations_are_those_of_the_network_file(name: str) -> None:
    torch.manual_seed(0)
    model, shape = networks()[name]
    for module in model.modules():  # so that the chip's integers have zeros among them
        if isinstance(getattr(module, "weight", None), torch.nn.Parameter) and module.weight.ndim == 5:
            module.weight.data *= torch.rand_like(module.weight) < 0.7
    x, lengths = random_spikes(3, *shape, 30), torch.tensor([30, 12, 7])
    with torch.no_grad(), ActivityCollector(model.eval()) as collector:
        model(x)
        sent = [layer._replace(lengths=lengths) for layer in collector.activity.values()]
        layers = [layer for layer in sent if not isinstance(layer.module, block.cuba.Input)]
    network = netx.Network(netx.describe([layer.layer_fields() for layer in model]), arithmetic="ideal")
    expected = netx.operations(network, x.numpy(), lengths=lengths.numpy())
    counted = [layer for layer in expected.layers if layer.type not in ("input", "flatten")]
    assert len(counted) == len(layers)
    for layer, theirs in zip(layers, counted, strict=True):
        assert SynapticOperations()(layer).item() == pytest.approx(theirs.synaptic.mean()), theirs.name
        assert TotalEvents()(layer).item() == pytest.approx(theirs.spikes.mean()), theirs.name
        assert theirs.synaptic.mean() > 0


@pytest.mark.parametrize("kind", [block.cuba, block.sigma_delta])
def test_the_fan_out_of_what_no_chip_has_is_counted_by_trying(kind) -> None:
    """An impulse at each place of the input, and how many outputs hear it."""
    torch.manual_seed(0)
    params = NEURON if kind is block.cuba else {"threshold": 0.1, "activation": torch.relu}
    for layer in (kind.ConvT(params, 2, 4, (3, 2), (2, 1), (1, 0), 1, 2), kind.Unpool(params, 3, 2, 1)):
        reached = layer.synapse(torch.eye(2 * 5 * 4).reshape(40, 2, 5, 4, 1))
        expected = (reached != 0).flatten(1).sum(1)
        torch.testing.assert_close(layer.fan_out((2, 5, 4)).flatten(), expected.float())
    with pytest.raises(ArgumentError, match="fan_out: Unpool does not know its input"):
        layer.fan_out()


CONVS = [
    torch.nn.Conv1d(2, 4, 3, stride=2, padding=1),
    torch.nn.Conv2d(2, 4, (3, 2), padding="same", dilation=(1, 3)),
    torch.nn.Conv2d(2, 4, 3, padding="valid", groups=2),
    torch.nn.Conv3d(2, 3, 2, stride=(1, 2, 1), padding=(0, 1, 0)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("conv", CONVS, ids=str)
def test_foreign_convolutions_are_counted_by_trying(conv: torch.nn.Module) -> None:
    conv.weight.data *= torch.rand_like(conv.weight) < 0.7
    shape = (2, 6, 5, 4)[: conv.weight.ndim - 1]
    size = int(np.prod(shape))
    reached = conv(torch.eye(size).reshape(size, *shape)) - conv(torch.zeros(1, *shape))
    fan_out = (reached.abs() > 1e-6).flatten(1).sum(1).float()
    events = random_spikes(3, *shape, 7)
    given = LayerActivity("conv", conv, events, events)
    expected = functional.synaptic_operations(events.flatten(1, -2), fan_out)
    torch.testing.assert_close(SynapticOperations()(given), expected)


def test_any_module_may_count_itself_or_be_told() -> None:
    class Sparse(torch.nn.Module):
        def fan_out(self, shape: tuple[int, ...]) -> Tensor:
            return torch.full(shape, 7.0)

    events = torch.ones(1, 2, 3)
    assert SynapticOperations()(LayerActivity("own", Sparse(), events, events)).item() == 42
    unknown = LayerActivity("own", torch.nn.LSTM(2, 2), events, events)
    assert SynapticOperations(fan_out=2)(unknown).item() == 12
    with pytest.raises(ArgumentError, match="nothing is known of the synapses of LSTM"):
        SynapticOperations()(unknown)
    with pytest.raises(ShapeError, match="fan_out does not broadcast"):
        SynapticOperations(fan_out=torch.ones(3))(unknown)


@pytest.mark.parametrize("kind", [block.cuba, block.rf])
def test_an_input_has_no_synapses(kind) -> None:
    params = NEURON if kind is block.cuba else {"threshold": 0.2, "period": 8, "decay": 0.1}
    x = random_spikes(2, 20, 9)
    with ActivityCollector(layer := kind.Input(params)) as collector:
        layer(x if kind is block.cuba else (x, x))
        value = SynapticOperations()(collector.activity["input"])
    assert value.item() == 0
    value.backward()


def test_sparse_inputs_are_events_too() -> None:
    layer, x = block.cuba.Dense(NEURON, 20, 8, weight_scale=3), random_spikes(2, 20, 9)
    values = []
    for given in (x, x.to_sparse()):
        with ActivityCollector(layer) as collector:
            layer(given)
            values.append(SynapticOperations()(collector.activity["dense"]))
    assert values[0] == values[1] > 0


def test_a_trained_layer_obeys() -> None:
    torch.manual_seed(0)
    params = {**NEURON, "tau_grad": 0.3, "scale_grad": 3}
    layer, x = block.cuba.Dense(params, 20, 8, weight_scale=3), random_spikes(4, 20, 20)
    optimizer, penalty = torch.optim.Adam(layer.parameters(), 0.02), RateBand(0.1, 0.15)
    losses = []
    with ActivityCollector(layer) as collector:
        for _ in range(40):
            layer(x)
            losses.append(penalty(collector.activity["dense"]))
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
    assert losses[-1] < 0.05 * losses[0]


def test_a_regularized_loss_collects_what_its_penalties_need() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        block.cuba.Dense(NEURON, 20, 8, weight_scale=3), block.cuba.Dense(NEURON, 8, 3, weight_scale=3)
    )
    terms = {"voltage": Penalty(MembraneExcursion(-1.0, 1.25), 0.5), "work": Penalty(SynapticOperations(), 1e-3)}
    loss = Regularized(loss_alone, terms, model)
    labels = torch.tensor([0, 2, 1])
    total = loss(model(random_spikes(3, 20, 9)), labels)
    with ActivityCollector(model, voltage=True) as collector:
        alone = loss_alone(model(random_spikes(3, 20, 9)), labels)
        hidden, last = collector.activity["0"], collector.activity["1"]
    expected = alone + 0.5 * MembraneExcursion(-1.0, 1.25)(hidden) + 1e-3 * SynapticOperations()(last)
    torch.testing.assert_close(total, expected)
    total.backward()


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ArgumentError, match=r"MembraneExcursion: hidden has no voltage; .*voltage=True"):
        MembraneExcursion(0.0)(activity(voltage=False))
    with pytest.raises(ArgumentError, match="there is no bound"):
        MembraneExcursion()
    with pytest.raises(ArgumentError, match="upper - lower is out of range"):
        MembraneExcursion(1.0, torch.tensor([2.0, 0.0]))(activity())
    with pytest.raises(ArgumentError, match="MembraneExcursion: lower is out of range"):
        MembraneExcursion(float("nan"))
    with pytest.raises(ShapeError, match=r"Conv: shape is no input of this layer; expected \(2, height, width\)"):
        block.cuba.Conv(NEURON, 2, 3, 3).fan_out((3, 6, 6))
    with pytest.raises(ShapeError, match="Dense: shape is no input of this layer; expected 20 neurons"):
        block.cuba.Dense(NEURON, 20, 8).fan_out((3, 6))
    with pytest.raises(ArgumentError, match="Conv: the kernel is larger than the image"):
        block.cuba.Conv(NEURON, 2, 3, 3).fan_out((2, 2, 6))
    with pytest.raises(ArgumentError, match="RateBand: max_rate is out of range"):
        RateBand(0.3, 0.2)
    with pytest.raises(ArgumentError, match="RateBand: per is unknown"):
        RateBand(per="pixel")
    with pytest.raises(ArgumentError, match="TotalEvents: allowance is out of range"):
        TotalEvents(-1)
    with pytest.raises(ArgumentError, match="SynapticOperations: fan_out is out of range"):
        SynapticOperations(fan_out=-1)
    with pytest.raises(ArgumentError, match="TemporalSmoothness: time_constant is out of range"):
        TemporalSmoothness(-1)


def test_every_block_counts_its_synapses() -> None:
    from block_zoo import READOUTS, ZOO, events, make

    for name in {**ZOO, **READOUTS}:
        layer: SpikingBlock = make(name)
        x = events(name)
        layer(x)
        counts = layer.fan_out()
        assert counts.shape == x.shape[1:-1], name
        assert (counts > 0).any() == ("input" not in name), name
