"""Blocks with spikes and with rates: that the two agree, and what is sampled."""

from __future__ import annotations

import inspect

import h5py
import numpy as np
import pytest
import torch

import slayerloss as slayer
from slayerloss import ArgumentError, DtypeError, bootstrap, netx
from slayerloss.bootstrap import Mode
from slayerloss.bootstrap.block import cuba

NEURON = {"threshold": 1.25, "current_decay": 1, "voltage_decay": 0.03, "tau_grad": 0.1, "scale_grad": 1}
NORM = {**NEURON, "norm": slayer.neuron.norm.MeanOnlyBatchNorm}
STEPS = 64


def rates(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, 1, generator=torch.Generator().manual_seed(0))


def spikes(x: torch.Tensor, steps: int = STEPS) -> torch.Tensor:
    return torch.bernoulli(x.expand(*x.shape[:-1], steps), generator=torch.Generator().manual_seed(1))


def dense(neuron=NEURON, **arguments):
    torch.manual_seed(0)
    return cuba.Dense(neuron, 20, 12, weight_scale=2, **arguments)


@pytest.mark.parametrize("kind", ["Dense", "Conv", "Affine", "Input"])
def test_with_spikes_it_is_the_block_of_the_same_name(kind):
    arguments = {
        "Dense": (NEURON, 20, 12, 2),
        "Conv": (NEURON, 5, 4, 2),
        "Affine": (NEURON, 20, 12),
        "Input": (NEURON, 1),
    }
    torch.manual_seed(0)
    ours = getattr(cuba, kind)(*arguments[kind])
    plain = getattr(slayer.block.cuba, kind)(*arguments[kind], **({"dynamics": False} if kind == "Affine" else {}))
    plain.load_state_dict(ours.state_dict())
    assert isinstance(ours, getattr(slayer.block.cuba, kind))
    assert inspect.signature(type(ours)).parameters == inspect.signature(type(plain)).parameters
    x = spikes(rates(3, 5, 4, 4) if kind == "Conv" else rates(3, 20))
    for mode in (Mode.SNN, Mode.SAMPLE):
        assert torch.equal(ours(x, mode), plain(x))
    assert plain(x).any()


def test_a_block_can_be_subclassed():
    class Same(cuba.Dense):
        pass

    class Small(cuba.Dense):
        def __init__(self, size):
            super().__init__(NEURON, size, size)

    assert list(inspect.signature(Same).parameters) == list(inspect.signature(cuba.Dense).parameters)
    assert list(inspect.signature(Small).parameters) == ["size"]
    assert Small(3)(spikes(rates(2, 3)), Mode.SNN).shape == (2, 3, STEPS)


def test_sampling_changes_no_gradient():
    block, x = dense({**NEURON, "requires_grad": True}), spikes(rates(3, 20))
    grads = []
    for mode in (Mode.SNN, Mode.SAMPLE):
        block.zero_grad()
        block(x, mode).square().mul(torch.linspace(0, 1, STEPS)).sum().backward()
        grads.append([parameter.grad for parameter in block.parameters()])
    for sampled, plain in zip(*grads, strict=True):
        torch.testing.assert_close(sampled, plain)


@pytest.mark.parametrize("neuron", [NEURON, NORM, {**NORM, "current_decay": 0.25}], ids=["plain", "norm", "slow"])
def test_rates_follow_the_spikes(neuron):
    block, x = dense(neuron, delay_shift=True), rates(40, 20)
    block(spikes(x), Mode.SAMPLE)
    block.fit()
    for _ in range(30):  # until the norm, if there is one, knows the mean
        block(spikes(x), Mode.SNN)
    block.eval()
    with torch.no_grad():
        spiking = block(spikes(x), Mode.SNN)[..., 1:].mean(-1)
        computed = block(spikes(x), Mode.ANN)[..., 0]
    assert spiking.std() > 0.1
    assert (spiking - computed).abs().mean() < 0.04


def test_rates_are_the_same_in_every_step_and_of_the_whole_input():
    block, x = dense(), spikes(rates(3, 20))
    block(x, Mode.SAMPLE)
    y = block(x, Mode.FIT)
    assert y.shape == (3, 12, STEPS)
    assert (y == y[..., :1]).all()
    assert torch.equal(block(x.mean(-1, keepdim=True), Mode.ANN), y[..., :1])


def test_a_padded_batch_has_the_rates_of_its_samples():
    block, x = dense(), spikes(rates(3, 20))
    lengths = torch.tensor([64, 40, 24])
    block(x, Mode.SAMPLE, lengths)
    pairs = np.stack([block.f.z, block.f.a])
    block.f.clear()
    for sample, length in zip(x, lengths.tolist(), strict=True):
        block(sample[None, :, :length], Mode.SAMPLE)
    np.testing.assert_allclose(pairs, np.stack([block.f.z, block.f.a]), rtol=1e-6)
    padded = block(x, Mode.ANN, lengths)
    for i, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(padded[i : i + 1, :, :length], block(x[i : i + 1, :, :length], Mode.ANN))


def test_what_is_sampled_knows_no_dropout():
    plain, dropped = dense(), dense({**NEURON, "dropout": slayer.neuron.Dropout(0.5)})
    x = spikes(rates(3, 20))
    for block in (plain, dropped):
        block(x, Mode.SAMPLE)
    assert (dropped.f.a == plain.f.a).all()
    torch.manual_seed(0)
    assert (dropped(x, Mode.ANN) == 0).any(-1).float().mean() > 0.3


def test_graded_spikes_are_sampled_with_their_value():
    block = dense({**NEURON, "graded_spike": True}, delay_shift=False)
    y = block(spikes(rates(3, 20)), Mode.SAMPLE)
    np.testing.assert_allclose(block.f.a, y.detach().mean(-1).flatten(), rtol=1e-5)


def test_a_network_learns_with_the_schedule():
    """Rates of two kinds of patterns: trained with rates, tested with spikes."""
    torch.manual_seed(0)
    labels = torch.arange(60) % 2
    x = (0.35 + 0.3 * labels[:, None, None] * torch.linspace(-1, 1, 16)[:, None] + 0.1 * torch.randn(60, 16, 1)).clamp(
        0, 1
    )
    network = torch.nn.ModuleList(
        [cuba.Input(NEURON, weight=1, bias=0), cuba.Dense(NEURON, 16, 16, 2, True), cuba.Affine(NEURON, 16, 2)]
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    scheduler = bootstrap.routine.Scheduler(num_sample_iter=2, sample_period=5)
    losses, right = [], {}
    for epoch in range(11):
        for i, batch in enumerate(torch.arange(60).split(15)):
            mode = scheduler.mode(epoch, i)
            spiking = mode.base_mode in (Mode.SAMPLE, Mode.SNN)
            y = slayer.utils.time.replicate(x[batch, :, 0], 32) if spiking else x[batch]
            for block, layer in zip(network, mode, strict=False):
                y = block(y, mode=layer)
            loss = torch.nn.functional.cross_entropy(y.mean(-1), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        mode = scheduler.mode(epoch, 0, train=False)
        y = slayer.utils.time.replicate(x[..., 0], 32)
        for block, layer in zip(network, mode, strict=False):
            y = block(y, mode=layer)
        right[epoch] = float((y.mean(-1).argmax(1) == labels).float().mean())
    assert losses[-1] < 0.5 * losses[0]
    assert mode.base_mode is Mode.SNN
    assert right[10] > 0.9


def test_layers_after_the_crossover_take_the_rates_of_spikes():
    network = [dense(), cuba.Dense(NEURON, 12, 5, 3)]
    x = spikes(rates(3, 20))
    y = network[0](x, Mode.SAMPLE)
    network[1](y, Mode.SAMPLE)
    mixed = network[1](network[0](x, Mode.SNN), Mode.FIT)
    assert torch.equal(mixed[..., :1], network[1](y.mean(-1, keepdim=True), Mode.ANN))


def test_state_dicts_are_those_of_plain_blocks():
    block = dense(weight_norm=True)
    block(spikes(rates(3, 20)), Mode.SAMPLE)
    block.fit()
    plain = slayer.block.cuba.Dense(NEURON, 20, 12, weight_norm=True)
    assert set(block.state_dict()) == set(plain.state_dict())
    plain.load_state_dict(block.state_dict())
    other = dense(weight_norm=True)
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(rates(3, 20), Mode.ANN), block(rates(3, 20), Mode.ANN))


def test_a_network_is_written_as_lava_dl_writes_it(tmp_path):
    blocks = [cuba.Input(NEURON, weight=1, bias=0), dense(), cuba.Affine(NEURON, 12, 4)]
    y = spikes(rates(1, 20))
    with h5py.File(tmp_path / "network.net", "w") as file:
        for i, block in enumerate(blocks):
            y = block(y, Mode.SNN)
            block.export_hdf5(file.create_group(f"layer/{i}"))
        assert file["layer/2/neuron/vThMant"][()] == 2**18 - 1
        assert file["layer/2/weight"].shape == (4, 12)
    findings = netx.export(torch.nn.Sequential(*blocks[:2]), tmp_path / "spiking.net")
    assert [finding.severity for finding in findings] == ["note"]  # Lava does not apply an input's weight


def test_events_are_counted_in_every_mode():
    block, readout = dense(count_log=True), cuba.Affine(NEURON, 12, 3, count_log=True)
    for mode in (Mode.SNN, Mode.SAMPLE, Mode.FIT, Mode.ANN):
        y, events = block(spikes(rates(3, 20)), mode)
        assert events == pytest.approx((y > 0).float().mean().item())
        assert readout(y, mode)[1] is None
    flat, nothing = cuba.Flatten(count_log=True)(torch.ones(1, 2, 3, 3, 4), Mode.SNN)
    assert flat.shape == (1, 18, 4)
    assert nothing is None


def test_what_rates_cannot_do_is_refused():
    with pytest.raises(ArgumentError, match="Dense: rates know no axonal delay"):
        dense(delay=True)
    with pytest.raises(ArgumentError, match="Input: there is no neuron"):
        cuba.Input()
    with pytest.raises(DtypeError, match="mode"):
        dense()(rates(1, 20), "ANN")
    with pytest.raises(ArgumentError, match="there is no fit"):
        dense()(rates(1, 20), Mode.ANN)
