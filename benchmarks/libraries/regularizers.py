"""Penalties: Dale's law of a matrix in three ways, and a training step with and without penalties."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from libraries.operation import Operation
from libraries.training import TrainingStep, events_of

ALPHA = 0.8
SIZES = (2048, 2048, 10)
WEIGHT = 1e-5
"""Of each penalty beside the loss."""


def _weight_and_signs(shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight, reference = (torch.empty(*shape).normal_(generator=generator) for _ in range(2))
    return weight.requires_grad_(), reference.sign()


def dale(shape: Sequence[int]) -> Operation:
    """slayerloss, with the signs as its module keeps them."""
    from slayerloss.functional import dale_law_l2

    weight, signs = _weight_and_signs(shape)
    kept = signs.to(torch.int8)
    return Operation(lambda: dale_law_l2(weight, kept, ALPHA), (weight,), data=weight)


def dale_as_trace(shape: Sequence[int]) -> Operation:
    """tr(W^T (alpha W - (1 - alpha) sign(R))), as NeuroTorch has it."""
    weight, signs = _weight_and_signs(shape)
    return Operation(lambda: torch.trace(weight.T @ (ALPHA * weight - (1 - ALPHA) * signs)), (weight,), data=weight)


def dale_by_element(shape: Sequence[int]) -> Operation:
    """The same sum, in plain torch."""
    weight, signs = _weight_and_signs(shape)
    return Operation(lambda: (ALPHA * weight.square() - (1 - ALPHA) * weight * signs).sum(), (weight,), data=weight)


def step(shape: Sequence[int], penalties: bool, weight_norm: bool = False) -> TrainingStep:
    """A network of three dense layers, (N, C, T); bounds, L2 and Dale's law of all weights, and a band of the rates."""
    import slayerloss

    torch.manual_seed(0)
    neuron = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "tau_grad": 0.03, "scale_grad": 3}
    neuron["requires_grad"] = True
    sizes = [shape[1], *SIZES]
    layers = [slayerloss.block.cuba.Dense(neuron, *pair, weight_norm=weight_norm) for pair in pairwise(sizes)]
    network = torch.nn.Sequential(*layers)
    loss: Any = slayerloss.loss.SpikeRate(true_rate=0.2, false_rate=0.03, reduction="sum")
    if penalties:
        of = slayerloss.regularizer
        terms = {
            "bounds": of.Bounds(network, -1.0, 1.0, names="*.weight"),
            "squares": of.L2(network, names="*.weight", squared=True),
            "dale": of.DaleLawL2(network, ALPHA, names="*.weight"),
            "rates": of.RateBand(0.001, 0.1),
        }
        loss = of.Regularized(loss, {name: of.Penalty(term, WEIGHT) for name, term in terms.items()}, network)
    return TrainingStep(network, loss, events_of(shape, time_first=True), rate=0.0)  # all steps have the same spikes


OPERATIONS = {
    "dale": dale,
    "torch dale: trace": dale_as_trace,
    "torch dale: by element": dale_by_element,
    "step": step,
}
