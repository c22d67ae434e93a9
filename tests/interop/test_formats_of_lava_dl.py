"""Every kind of layer that lava-dl writes, against the schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slayerloss import netx
from slayerloss.netx import schema
from slayerloss.netx.field import KINDS

# Writes a file for each kind of block and neuron that lava-dl can build, run and export.
ON_LAVA_DL = """
import os, sys, h5py, torch
from lava.lib.dl import slayer
lif, resonator = dict(current_decay=0.25, voltage_decay=0.03), dict(period=10, decay=0.03)
adaptive = dict(threshold_step=0.1, threshold_decay=0.1, refractory_decay=0.2)
neurons = dict(
    cuba=dict(threshold=1.25, **lif),
    sigma_delta=dict(threshold=0.1, activation=torch.relu),
    rf=dict(threshold=1, **resonator),
    rf_iz=dict(threshold=1, **resonator),
    alif=dict(threshold=1.25, **lif, **adaptive),
    adrf=dict(threshold=1, **resonator, **adaptive),
)
norms = slayer.neuron.norm.WgtScaleBatchNorm, slayer.neuron.norm.MeanOnlyBatchNorm
row, image = (5,), (2, 6, 8)
kinds = dict(
    input=(lambda block, p: block.Input(p), image),
    dense=(lambda block, p: block.Dense(p, 5, 3, delay=True), row),
    dense_per_channel=(lambda block, p: block.Dense({**p, "shared_param": False}, 5, 3), row),
    dense_scaled=(lambda block, p: block.Dense({**p, "norm": norms[0]}, 5, 3), row),
    dense_rec=(lambda block, p: block.Recurrent(p, 5, 3), row),
    affine=(lambda block, p: block.Affine(p, 5, 3), row),
    readout=(lambda block, p: block.Affine(p, 5, 3, dynamics=False), row),
    conv=(lambda block, p: block.Conv(p, 2, 4, 3, stride=2, padding=(1, 0), groups=2, delay=True), image),
    conv_norm=(lambda block, p: block.Conv({**p, "norm": norms[1]}, 2, 4, 3), image),
    pool=(lambda block, p: block.Pool(p, 2, delay=True), image),
    unpool=(lambda block, p: block.Unpool(p, 2), image),
    convT=(lambda block, p: block.ConvT(p, 2, 4, 3, stride=2), image),
    flatten=(lambda block, p: block.Flatten(), image),
)
for neuron, parameters in neurons.items():
    for kind, (build, shape) in kinds.items():
        path = f"{sys.argv[1]}/{neuron}_{kind}.net"
        try:
            block = build(getattr(slayer.block, neuron), dict(parameters)).eval()
            with torch.no_grad():
                block((torch.rand(1, *shape, 4) > 0.5).float())
            with h5py.File(path, "w") as file:
                block.export_hdf5(file.create_group("layer/0"))
        except Exception:  # lava-dl has not every block for every neuron, and some that it cannot export
            if os.path.exists(path):
                os.remove(path)
"""


@pytest.mark.lava
def test_what_lava_dl_writes_is_as_the_schema_says(lava_dl, tmp_path: Path) -> None:
    lava_dl("-c", ON_LAVA_DL, tmp_path)
    kinds, neurons = set(), set()
    for file in tmp_path.glob("*.net"):
        description = netx.read(file)
        (layer,) = description.layers
        assert not any(finding.scope == "file" for finding in netx.check(description)), file.name
        kinds.add(layer.type)
        groups = [(layer.fields, schema.LAYERS[layer.type])]
        if layer.neuron is not None:
            neurons.add(layer.neuron["type"])
            groups.append((layer.neuron, schema.NEURONS[layer.neuron["type"]]))
        for fields, rules in groups:
            assert fields.keys() <= rules.keys(), file.name
            for name, value in fields.items():
                for part in value.values() if isinstance(value, dict) and name != "neuron" else [value]:
                    if rules[name].kind not in ("text", "group"):
                        kind = "integer" if rules[name].kind == "turn" else rules[name].kind
                        assert np.asarray(part).dtype == KINDS[kind].dtype, (file.name, name)
        netx.write(tmp_path / "again", description)
        assert netx.read(tmp_path / "again") == description
    assert kinds == schema.LAYERS.keys() - {"average", "concat"}
    assert neurons == schema.NEURONS.keys() - {"LOIHI", "ADRF_IZHIKEVICH"}
