"""Transposed convolutions and unpooling: blocks to fields and back, though Lava has no such layers."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from block_zoo import IMAGE, NEURON, NORM, events

from slayerloss import ArgumentError, FormatError, netx
from slayerloss.block import cuba, rf

RF = {"threshold": 0.5, "period": 8, "decay": 0.05}

BLOCKS = {
    "convT": lambda: cuba.ConvT(NEURON, 2, 3, 2, 2, weight_scale=4),
    "convT with everything": lambda: cuba.ConvT(
        {**NORM, "shared_param": False}, 2, 4, (3, 2), (2, 1), (1, 0), 1, 2, weight_scale=6, delay=True
    ),
    "complex convT": lambda: rf.ConvT(RF, 2, 4, (3, 2), (2, 1), groups=2, weight_scale=6),
    "unpool": lambda: cuba.Unpool(NEURON, 2, weight_scale=0.75),
    "unpool with everything": lambda: cuba.Unpool(NEURON, (2, 3), (3, 4), (1, 0), weight_scale=0.75, delay=True),
    "complex unpool": lambda: rf.Unpool(RF, 2, weight_scale=0.5),
}


def make(name):
    torch.manual_seed(0)
    block = BLOCKS[name]()
    block(events("conv", seed=3))
    if block.delay is not None:
        block.delay.delay.data.mul_(6)
    return block.eval()


@pytest.mark.parametrize("name", BLOCKS)
def test_fields_make_the_block_again(name):
    block, x = make(name), events("conv")
    entrance = {"type": "input", "shape": IMAGE}
    description = netx.describe([entrance, block.layer_fields()])
    model = netx.to_torch(description, neuron={"requires_grad": True}).eval()
    assert type(model[1]) is type(block)
    assert block(x).any()
    assert torch.equal(model(x), block(x))
    assert model[1].shape == block.shape


@pytest.mark.parametrize("name", BLOCKS)
def test_export_hdf5_writes_the_fields_of_lava_dl(name, tmp_path):
    block = make(name)
    with h5py.File(tmp_path / "layer.h5", "w") as file:
        block.export_hdf5(file)
        assert file["type"][0].decode() == name.removeprefix("complex ").split()[0]
        for field in ("kernelSize", "stride", "padding", "dilation"):
            assert file[field][()].tolist() == list(getattr(block.synapse, field.replace("S", "_s")))
        if "convT" in name:
            assert file["inChannels"][()] == 2
            assert file["outChannels"][()] == block.shape[0]
            weight = file["weight/real"] if "complex" in name else file["weight"]
            assert weight.shape[0] == 2
            assert np.array_equal(weight[()], np.round(weight[()] / 2) * 2)


@pytest.mark.parametrize("kind", ["convT", "unpool"])
def test_export_refuses_and_says_the_way_out(kind, tmp_path):
    told = rf"layer ConvT|Unpool.*'{kind}'; Lava cannot load it.*Use a Dense block in its place, or leave it"
    with pytest.raises(ArgumentError, match=told):
        netx.export(make(kind), tmp_path / "network.net")
    assert not (tmp_path / "network.net").exists()


def test_time_decimation_is_no_layer(tmp_path):
    model = torch.nn.Sequential(cuba.Dense(NEURON, 4, 3), cuba.TimeDecimation(2))
    model(torch.ones(1, 4, 6))
    with pytest.raises(ArgumentError, match="TimeDecimation has no layer in a network file; expected another block"):
        netx.export(model, tmp_path / "network.net")


def test_groups_that_do_not_divide_are_refused():
    fields = make("convT").layer_fields() | {"groups": 3}
    with pytest.raises(FormatError, match="do not divide"):
        netx.to_torch(netx.describe([{"type": "input", "shape": IMAGE}, fields]))
