"""Run by lava-dl's own Python: its filters and classifiers on one input, written as an npz file to the path given."""

from __future__ import annotations

import sys

import numpy as np
import torch

STEPS = 60


def example() -> torch.Tensor:
    """(2, 3, 2, 2, STEPS) binary spikes, the same on every machine."""
    index = torch.arange(2 * 3 * 4 * STEPS)
    return ((index * index * 7 + index * 13) % 11 < 4).float().reshape(2, 3, 2, 2, STEPS)


def main(path: str) -> None:
    import lava.lib.dl.slayer as slayer
    from lava.lib.dl.slayer.utils.filter import FIR, FIRBank, conv, corr

    x = example()
    values = {}
    values["fir"] = FIR(time_constant=5, length=20)(x)
    values["fir_response"] = FIR(fir_response=[1.0, -0.5, 0.25], sampling_time=2)(x)
    bank = FIRBank(num_filter=2, filter_length=7)
    values["bank_weight"] = bank.weight.detach()
    values["bank"] = bank(x[:, :, 0, 0]).detach()
    values["bank_space"] = bank(x).detach()
    values["bank_impulse"] = torch.tensor(np.ascontiguousarray(bank.impulse_response))
    kernel = torch.linspace(1, -1, 9)
    for name, function in (("conv", conv), ("corr", corr)):
        leaf = x.clone().requires_grad_()
        y = function(leaf, kernel, 3)
        values[name] = y.detach()
        values[name + "_grad"] = torch.autograd.grad((y**2).sum(), leaf)[0]
    for order in (1, 2, 3):
        values[f"spike_time_{order}"] = slayer.loss.SpikeTime(time_constant=5, length=100, filter_order=order).filter(x)
    rate = slayer.classifier.Rate
    values["rate"], values["predict"] = rate.rate(x), rate.predict(x)
    window = slayer.classifier.MovingWindow(20)
    values["window_rate"], values["window_predict"] = window.rate(x), window.predict(x[:, :, 0, 0])
    for mode in ("probability", "softmax", "logsoftmax"):
        values["confidence_" + mode] = rate.confidence(x, mode)
        values["window_confidence_" + mode] = window.confidence(x, mode)
    for name, value in window.state_dict().items():
        values["state_" + name] = value
    np.savez(path, **{name: value.numpy() for name, value in values.items()})


if __name__ == "__main__":
    main(sys.argv[1])
