"""A block in the fields of a network file, and lava-dl's `export_hdf5`."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from block_zoo import IMAGE, NEURON, NORM, events, make

from slayerloss import ArgumentError
from slayerloss.block import cuba

CUBA = {"type": "CUBA", "iDecay": 1024, "vDecay": 512, "vThMant": 80, "refDelay": 1, "gradedSpike": False}

FIELDS = {
    "dense": {"type", "shape", "weight", "neuron", "inFeatures", "outFeatures"},
    "dense with delay": {"type", "shape", "weight", "neuron", "inFeatures", "outFeatures", "delay"},
    "conv": {
        "type", "shape", "weight", "neuron", "inChannels", "outChannels",
        "kernelSize", "stride", "padding", "dilation", "groups",
    },
    "transposed conv": {
        "type", "shape", "weight", "neuron", "inChannels", "outChannels",
        "kernelSize", "stride", "padding", "dilation", "groups",
    },
    "pool": {"type", "shape", "weight", "neuron", "kernelSize", "stride", "padding", "dilation"},
    "unpool": {"type", "shape", "weight", "neuron", "kernelSize", "stride", "padding", "dilation", "delay"},
    "winners": {"type", "shape", "weight", "weight_rec", "neuron", "inFeatures", "outFeatures"},
    "input": {"type", "shape", "weight", "bias", "neuron"},
    "recurrent": {"type", "shape", "weight", "weight_rec", "neuron", "inFeatures", "outFeatures"},
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name):
    block = make(name)
    block(events(name))
    fields = block.layer_fields()
    assert set(fields) == FIELDS[name]
    assert fields["neuron"] == CUBA
    assert fields["shape"].tolist() == list(block.shape)
    weight = fields["weight"]
    assert weight.dtype == np.float32
    assert np.array_equal(weight, np.round(weight / 2) * 2)  # even integers
    assert np.abs(weight).max() <= 256


def test_values():
    block = make("dense with delay", NORM)
    block.synapse.weight.data[0, :3, 0, 0, 0] = torch.tensor([0.11, 9.0, -9.0])
    block.delay.delay.data = torch.tensor([0.0, 0.99, 1.0, 61.7, 70.0])
    block.neuron.norm.running_mean = torch.tensor([0.5, -0.5, 0.0, 9.0, -9.0])
    fields = block.layer_fields()
    assert fields["weight"].shape == (5, 6)
    assert fields["weight"][0, :3].tolist() == [8, 254, -256]
    assert fields["delay"].tolist() == [0, 0, 1, 61, 62]
    assert fields["bias"].tolist() == [-32, 32, 0, -254, 256]
    assert (fields["inFeatures"], fields["outFeatures"]) == (6, 5)


def test_dense_of_images_is_flat_and_a_mask_is_in_the_weight():
    block = make("dense of images")
    weight = block.layer_fields()["weight"]
    assert weight.shape == (5, 72)
    assert np.array_equal(weight, block.synapse.effective_weight().detach().flatten(1).numpy() * 64)
    masked = make("dense with mask").layer_fields()["weight"]
    assert not masked[~np.eye(5, 6, dtype=bool)].any()
    assert masked[np.eye(5, 6, dtype=bool)].all()


def test_flatten_and_average():
    flatten, average = cuba.Flatten(), cuba.Average(3)
    with pytest.raises(ArgumentError, match=r"Flatten does not know its shape; expected a block that has run"):
        flatten.layer_fields()
    flatten(torch.zeros(1, *IMAGE, 2))
    assert flatten.layer_fields()["shape"].tolist() == [72, 1, 1]
    assert average.layer_fields()["shape"].tolist() == [3, 1, 1]
    assert set(cuba.Input().run(torch.zeros(1, *IMAGE, 2))[0].shape) >= set(IMAGE)


def test_a_block_that_has_not_run_says_so():
    with pytest.raises(ArgumentError, match=r"Conv does not know its shape; expected a block that has run"):
        make("conv").layer_fields()


def test_a_readout_is_a_layer_that_cannot_spike():
    fields = make("affine").layer_fields()
    assert fields["type"] == "dense"
    assert fields["neuron"]["vThMant"] == 2**18 - 1
    assert make("affine without dynamics").layer_fields().keys() == fields.keys() - {"neuron"}


def test_export_changes_nothing_and_keeps_the_weight_norm():
    block = make("dense with weight norm")
    before = block.state_dict()
    block.layer_fields()
    assert block.synapse.weight_norm_enabled
    assert all(torch.equal(before[key], value) for key, value in block.state_dict().items())


def test_export_hdf5_has_lava_dls_layout(tmp_path):
    blocks = [make("conv", NORM), cuba.Flatten(), cuba.Dense({**NEURON, "shared_param": False}, 144, 3, delay=True)]
    x = events("conv")
    for block in blocks:
        x = block(x)
    with h5py.File(tmp_path / "my neuron.net", "w") as file:
        layers = file.create_group("neuron/layer")  # a path that could be taken for a neuron's
        for i, block in enumerate(blocks):
            block.export_hdf5(layers.create_group(str(i)))
    with h5py.File(tmp_path / "my neuron.net") as file:
        conv, flatten, dense = (file[f"neuron/layer/{i}"] for i in range(3))
        for group, kind in ((conv, b"conv"), (flatten, b"flatten"), (dense, b"dense")):
            assert group["type"].dtype == "S10"
            assert group["type"][0] == kind
        assert conv["weight"].shape == (4, 2, 3, 3)
        assert conv["groups"].shape == ()
        assert conv["shape"][()].tolist() == [4, 6, 6]
        assert conv["neuron/type"][()] == b"CUBA"
        assert conv["neuron/vThMant"][()] == 80
        assert conv["bias"].shape == (4,)
        assert dense["neuron/iDecay"].shape == dense["delay"].shape == (3,)
