"""WgtScaleBatchNorm: lava-dl's values, padded batches, a range for its exponent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lava_dl_norms import CASES, run

from slayerloss import ArgumentError, ShapeError, netx
from slayerloss.block import cuba
from slayerloss.neuron import norm as norms
from slayerloss.neuron.norm import WgtScaleBatchNorm

PARAMS = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.1, "norm": WgtScaleBatchNorm}


@pytest.fixture(scope="module")
def golden(lava_dl, tmp_path_factory):
    """What lava-dl's norm answers."""
    path = tmp_path_factory.mktemp("lava_dl_norms") / "results.pt"
    lava_dl(Path(__file__).with_name("lava_dl_norms.py"), path)
    return torch.load(path, weights_only=True)


@pytest.mark.lava
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_lava_dls(golden, name):
    own, expected = run(norms, name), golden[name]
    bits = CASES[name][2].get("weight_exp_bits", 3)
    expected["exponent"] = expected["exponent"].clamp(-bits, bits)  # which lava-dl's property leaves out
    assert own.keys() == expected.keys()
    for key, value in own.items():
        torch.testing.assert_close(value, expected[key], msg=key)


@pytest.mark.parametrize(
    ("size", "exponent"), [(1e-9, -3), (0.12, -3), (0.2, -2), (0.9, 0), (1.1, 1), (7.0, 3), (99, 3)]
)
def test_the_scale_is_the_next_power_of_two_in_its_range(size, exponent):
    x = size * torch.tensor([[[1.0, -1.0] * 8]])  # whose deviation is size
    norm = WgtScaleBatchNorm(eps=1e-12, momentum=1.0)
    torch.testing.assert_close(norm(x), x / 2.0**exponent)
    norm(torch.cat([x] * 400))  # of as many values that n / (n + 1) is 1
    assert norm.weight_exp.tolist() == [exponent]


def test_a_padded_batch_is_that_of_its_samples():
    torch.manual_seed(0)
    x, lengths = 5 * torch.randn(2, 3, 10), torch.tensor([10, 4])
    padded, whole = WgtScaleBatchNorm(), WgtScaleBatchNorm()
    y = padded(x, lengths)
    expected = whole(torch.cat([x[:1], x[1:, :, :4]], -1))
    torch.testing.assert_close(torch.cat([y[:1], y[1:, :, :4]], -1), expected)
    for buffer, other in zip(padded.buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(buffer, other)


def test_an_empty_batch_leaves_what_is_running():
    norm = WgtScaleBatchNorm(3)
    norm(torch.randn(2, 3, 5))
    before = [buffer.clone() for buffer in norm.buffers()]
    norm(torch.zeros(0, 3, 5))
    assert all(torch.equal(*pair) for pair in zip(norm.buffers(), before, strict=True))
    norm.reset_parameters()
    assert not any(buffer.any() for buffer in norm.buffers())


def test_it_is_no_mean_only_norm_and_is_not_exported(tmp_path):
    block = cuba.Dense(PARAMS, 4, 3, weight_scale=4)
    assert isinstance(block.neuron.norm.bias, torch.Tensor)
    block((torch.rand(2, 4, 9) > 0.5).float())
    with pytest.raises(ArgumentError, match=r"Lava would ignore its norm.*got WgtScaleBatchNorm\. Use norm=.*MeanOnly"):
        netx.export(block, tmp_path / "network.net")
    with pytest.raises(ArgumentError, match="Recurrent: its norm is no constant of the run"):
        cuba.Recurrent(PARAMS, 4, 3)


def test_errors():
    with pytest.raises(ArgumentError, match="WgtScaleBatchNorm: weight_exp_bits"):
        WgtScaleBatchNorm(weight_exp_bits=-1)
    with pytest.raises(ArgumentError, match="WgtScaleBatchNorm: eps"):
        WgtScaleBatchNorm(eps=0)
    with pytest.raises(ShapeError, match="WgtScaleBatchNorm: inp has the wrong number of channels; expected 3 of them"):
        WgtScaleBatchNorm(3)(torch.zeros(1, 2, 4))
