"""lava-dl's `auto.SequentialNetwork`: the blocks of a file under its name and arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from netx_layers import conv, dense, entrance, flatten, weights

import slayerloss as slayer
from slayerloss import ArgumentError, netx

RNG = np.random.default_rng(0)
FIRST = conv(weights(RNG, 3, 2, 3, 3), (6, 5), bias=weights(RNG, 3, low=-4, high=6))
FILE = netx.describe([entrance(2, 6, 5), FIRST, flatten(FIRST), dense(weights(RNG, 4, 36))])
X = (torch.rand(3, 2, 6, 5, 30, generator=torch.Generator().manual_seed(0)) < 0.4).float()


def test_it_sends_what_the_file_sends(tmp_path: Path) -> None:
    netx.write(tmp_path / "network.net", FILE)
    network = slayer.auto.SequentialNetwork(tmp_path / "network.net")
    assert [type(block).__name__ for block in network.blocks] == ["Input", "Conv", "Flatten", "Dense"]
    y = network(X)
    np.testing.assert_array_equal(y.detach().numpy(), netx.Network(FILE).run(X.numpy()).output)
    assert y.any()
    for reduction in ("sum", "mean"):
        reduced = slayer.auto.SequentialNetwork(FILE, reduction=reduction)(X)
        torch.testing.assert_close(reduced, getattr(y, reduction)(-1))
    assert netx.compare(network, FILE, X).identical


def test_its_options() -> None:
    network = slayer.auto.SequentialNetwork(FILE, weight_norm=True, count_log=True, persistent_state=True)
    y, counts = network(X)
    assert counts[2] is None
    assert counts[3] == pytest.approx(y.mean().item())
    assert network.blocks[1].synapse.weight_norm_enabled
    again, _ = network(X)
    assert not torch.equal(again, y)  # it went on
    slayer.block.reset_state(network)
    torch.testing.assert_close(network(X)[0], y, rtol=0, atol=0)
    with pytest.raises(ArgumentError, match="reduction is unknown; expected one of 'sum', 'mean', got 'men'"):
        slayer.auto.SequentialNetwork(FILE, reduction="men")
