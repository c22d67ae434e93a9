"""Filters of slayerloss, and the machine itself: how fast it copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from libraries.losses import TIME_CONSTANT, WINDOW
from libraries.operation import Operation, random_spikes


def _filter(shape: Sequence[int], function: Callable[[Tensor], Tensor]) -> Operation:
    x = random_spikes(shape).requires_grad_()
    return Operation(lambda: function(x), (x,), data=x)


def exponential_filter(shape: Sequence[int]) -> Operation:
    """slayerloss.functional.exponential_filter."""
    from slayerloss import functional

    return _filter(shape, lambda x: functional.exponential_filter(x, TIME_CONSTANT))


def moving_window(shape: Sequence[int]) -> Operation:
    """slayerloss.functional.moving_window."""
    from slayerloss import functional

    return _filter(shape, lambda x: functional.moving_window(x, WINDOW))


def delay(shape: Sequence[int]) -> Operation:
    """slayerloss.axon.Delay, with its delays to learn."""
    import slayerloss

    x = random_spikes(shape).requires_grad_()
    module = slayerloss.axon.Delay(channels=shape[1])
    return Operation(lambda: module(x), (x, *module.parameters()), data=x)


def dense(shape: Sequence[int]) -> Operation:
    """slayerloss.block.cuba.Dense, 512 neurons."""
    import slayerloss

    x = random_spikes(shape).requires_grad_()
    neuron = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}
    block = slayerloss.block.cuba.Dense(neuron, shape[1], 512)
    learnt = [parameter for parameter in block.parameters() if parameter.requires_grad]
    return Operation(lambda: block(x), (x, *learnt), data=x)


def copy(shape: Sequence[int]) -> Operation:
    """8 bytes an element: read, write."""
    source, target = torch.zeros(*shape), torch.zeros(*shape)
    return Operation(lambda: target.copy_(source)[:1, :1, :1])


def triad(shape: Sequence[int]) -> Operation:
    """12 bytes an element: read, read, write."""
    one, other, target = torch.zeros(*shape), torch.ones(*shape), torch.zeros(*shape)
    return Operation(lambda: torch.add(one, other, alpha=0.5, out=target)[:1, :1, :1])


OPERATIONS = {
    "exponential_filter": exponential_filter,
    "moving_window": moving_window,
    "axon.Delay": delay,
    "block.cuba.Dense": dense,
    "copy": copy,
    "triad": triad,
}
