"""Network files, and arguments, of which no blocks can be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from netx_layers import NEURON, conv, dense, entrance, weights
from netx_rebuilt import Layers

from slayerloss import netx
from slayerloss._check import ArgumentError, DtypeError, FormatError

RNG = np.random.default_rng(0)
GOOD = dense(weights(RNG, 5, 4))
IMAGE = [entrance(2, 3, 4), conv(weights(RNG, 3, 2, 1, 1), (3, 4))]


def changed(layer: dict[str, Any], **fields: Any) -> Layers:
    return [{**layer, **fields}]


def neuron(**fields: Any) -> Layers:
    return [dense(weights(RNG, 5, 4), fields)]


REFUSED: list[tuple[Layers, str]] = [
    (neuron(type="ALIF", thDecay=5000, refDecay=1, vThStep=1), r"layer/0/neuron/thDecay is no decay"),
    (neuron(type="ALIF", thDecay=1, refDecay=1, vThStep=-1), r"layer/0/neuron/vThStep is no rise of a threshold"),
    (neuron(vThMant=0), r"layer/0/neuron/vThMant is no threshold of a block; expected at least 1, got 0"),
    (neuron(iDecay=5000), r"layer/0/neuron/iDecay is no decay; expected 0 to 4096, got 5000 to 5000"),
    (changed(GOOD, delay=np.arange(20.0).reshape(5, 4)), r"layer/0/delay differs from input to input.*one delay for"),
    (changed(GOOD, delay=np.arange(4.0)), r"layer/0/delay differs from input to input.*\(4,\) of them"),
    (changed(GOOD, delay=np.full(5, 70.0)), r"layer/0/delay is out of range; expected 0 to 62 steps, got 70 to 70"),
    (changed(GOOD, weight=np.full((5, 4), np.nan)), "layer/0/weight"),
    (changed(GOOD, type="dense_rec", weight_rec=np.ones((5, 5)), delay=np.ones(5)), "recurrent layer.*Take the delays"),
    ([GOOD, GOOD], r"layer/1"),
    ([*IMAGE[:1], {**IMAGE[1], "bias": np.arange(36.0).reshape(4, 3, 3)}], "bias differs from place to place.*mean"),
    ([IMAGE[0], {k: v for k, v in IMAGE[1].items() if k != "neuron"}], "layer/1"),
    ([{**IMAGE[0], "neuron": NEURON, "weight": 75.0}], r"layer/0/weight is not held by a block.*even.*got 75\. Change"),
    ([{**IMAGE[0], "neuron": NEURON, "bias": 300.0}], r"layer/0/bias is not held by a block"),
    ([{"type": "concat", "shape": [8]}], "layer/0/type has no block.*got 'concat'"),
]


@pytest.mark.parametrize(("layers", "text"), REFUSED, ids=[text[:40] for _, text in REFUSED])
def test_what_has_no_block_is_refused_with_its_place(layers: Layers, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        netx.to_torch(netx.describe(layers, source="my.net"))


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    file = netx.describe([GOOD])
    with pytest.raises(ArgumentError, match=r"neuron key is unknown; .*Did you mean 'tau_grad'"):
        netx.to_torch(file, {"tau_gard": 1})
    with pytest.raises(ArgumentError, match=r"neuron has threshold; expected what the file does not say, got 1"):
        netx.to_torch(file, {"threshold": 1})
    with pytest.raises(DtypeError, match="neuron"):
        netx.to_torch(file, 0.3)
    with pytest.raises(DtypeError, match="weight_norm"):
        netx.to_torch(file, weight_norm="yes")
    assert isinstance(netx.to_torch(file, {"norm": torch.nn.Identity})[0].neuron.norm, torch.nn.Identity)
    with pytest.raises(FormatError, match=r"layer/0/bias has no place in the block.*MeanOnlyBatchNorm"):
        netx.to_torch(netx.describe(changed(GOOD, bias=np.ones(5))), {"norm": torch.nn.Identity})
    netx.write(tmp_path / "network.net", file)
    with h5py.File(tmp_path / "network.net", "r+") as handle:
        handle["layer/0/weight"][0, 0] += 2
    with pytest.raises(FormatError, match=r"checksum does not match.*pass netx.read\(file\)"):
        netx.to_torch(tmp_path / "network.net")
    netx.to_torch(netx.read(tmp_path / "network.net"))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"sinDecay": -20},
            r"layer/0/neuron/sinDecay is no turn of a block; expected from 1 to 4096, for a period of 4",
        ),
        ({"cosDecay": -20}, r"layer/0/neuron/cosDecay is no turn of a block"),
        ({"vThMant": 0}, r"layer/0/neuron/vThMant is no threshold of a block; expected at least 1"),
    ],
)
def test_resonators_without_blocks(changed: dict[str, int], text: str) -> None:
    neuron = {"type": "RF_PHASE", "sinDecay": 500, "cosDecay": 3000, "vThMant": 20, **changed}
    weight = {"real": [[2.0]], "imag": [[4.0]]}
    with pytest.raises(FormatError, match=text):
        netx.to_torch(netx.describe([{"type": "dense", "shape": [1], "weight": weight, "neuron": neuron}]))
