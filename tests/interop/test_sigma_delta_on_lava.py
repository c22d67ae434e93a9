"""Sigma-delta: exported files on real Lava, message by message, and neurons against lava-dl's, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import Sequential

from slayerloss import netx
from slayerloss.block import sigma_delta
from slayerloss.neuron.norm import MeanOnlyBatchNorm
from slayerloss.neuron.sigma_delta import Neuron

PARAMS = {"threshold": 0.1, "activation": torch.relu}
STEPS = 15


@pytest.mark.lava
@pytest.mark.parametrize(("norm", "shift"), [(MeanOnlyBatchNorm, True), (None, True), (None, False)])
def test_lava_sends_what_the_blocks_send(run_on_lava, tmp_path, norm, shift):
    """With the default of no step between layers each layer is early by as many steps as it has layers before."""
    torch.manual_seed(0)
    params = {**PARAMS, "norm": norm}
    model = Sequential(
        sigma_delta.Input(PARAMS),
        sigma_delta.Conv(params, 2, 4, 3, weight_scale=2, delay_shift=shift),
        sigma_delta.Flatten(),
        sigma_delta.Dense(params, 4 * 6 * 8, 12, weight_scale=2, delay_shift=shift),
        sigma_delta.Output(PARAMS, 12, 3, weight_scale=2, delay_shift=shift),
    )
    x = torch.rand(1, 2, 8, 10, 1) + 0.1 * torch.rand(1, 2, 8, 10, STEPS)
    for _ in range(5):
        model(x)
    model.eval()
    netx.export(model, tmp_path / "a.net")
    lava = run_on_lava(tmp_path / "a.net", netx.Network(tmp_path / "a.net").encode(x)[0])
    early, given, layer = 0, x, 0
    for block in model:
        given = block(given).detach()
        if not hasattr(block, "neuron"):
            continue
        early += not block.is_shifted
        sent = np.rint((given[0] * block.sent_lsb).double().numpy())
        expected = lava[layer]["spikes"]
        assert expected.any()
        np.testing.assert_array_equal(
            sent[..., : STEPS - early], expected[..., early:].reshape(sent[..., early:].shape)
        )
        assert not expected[..., :early].any()
        layer += 1


PROGRAM = """
import sys, warnings, torch
warnings.filterwarnings("ignore")
from lava.lib.dl.slayer.neuron.sigma_delta import Neuron
from lava.lib.dl.slayer.neuron.norm import MeanOnlyBatchNorm
cases, results = torch.load(sys.argv[1], weights_only=False), []
for x, arguments, activation, mean, bias, weight in cases:
    norm = {} if mean is None else {"norm": MeanOnlyBatchNorm}
    neuron = Neuron(**arguments, activation=getattr(torch, activation), **norm).eval()
    if mean is not None:
        neuron.norm.running_mean = mean
    if bias is not None:
        neuron.set_bias(bias)
    x.requires_grad_()
    y = neuron(x)
    (y * weight).sum().backward()
    results.append((y.detach(), x.grad, neuron.delta.threshold.grad))
torch.save(results, sys.argv[2])
"""


def cases(count: int):
    """Inputs on the chip's grid and off it, vectors and images, activations, norms and biases."""
    for seed in range(count):
        torch.manual_seed(seed)
        size, threshold, tau, height = (torch.rand(4, dtype=torch.float64) + 0.05).tolist()
        shape = (2, 5, 20 + seed % 30) if seed % 2 else (2, 3, 4, 5, 5 + seed % 20)
        x = torch.randn(shape) * 10 ** (2 * size - 1)
        x = x if seed % 3 else (x * 64 * 4096).round() / (64 * 4096)
        arguments = {"threshold": threshold, "tau_grad": tau, "scale_grad": height, "requires_grad": True}
        mean = torch.randn(shape[1]) if seed % 4 == 1 else None
        bias = (torch.randn(shape[1:-1]) * 64).round() / 64 if seed % 4 == 2 else None
        yield x, arguments, "tanh" if seed % 7 == 0 else "relu", mean, bias, torch.randn(shape)


def test_neurons_are_lava_dls_bit_by_bit(lava_dl: Callable[..., None], tmp_path: Path) -> None:
    given = list(cases(100))
    torch.save(given, tmp_path / "given.pt")
    lava_dl("-c", PROGRAM, tmp_path / "given.pt", tmp_path / "found.pt")
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    for (x, arguments, activation, mean, bias, weight), (messages, grad, grad_threshold) in zip(
        given, found, strict=True
    ):
        neuron = Neuron(
            **arguments, activation=getattr(torch, activation), norm=None if mean is None else MeanOnlyBatchNorm
        ).eval()
        if mean is not None:
            neuron.norm.load_state_dict({"running_mean": mean})
        if bias is not None:
            neuron.set_bias(bias)
        x.requires_grad_()
        y = neuron(x)
        (y * weight).sum().backward()
        assert torch.equal(y, messages)
        torch.testing.assert_close(x.grad, grad, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(neuron.threshold.grad, grad_threshold, rtol=1e-3, atol=1e-3)
