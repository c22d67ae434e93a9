"""Neurons that hear their own spikes: for those who build a recurrent layer by themselves, as lava-dl's code does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from slayerloss._check import check_events, check_type
from slayerloss.functional.synapse import dense
from slayerloss.kernels.recurrent import step_by_step
from slayerloss.neuron._recurrent import run_recurrent
from slayerloss.neuron.base import Neuron
from slayerloss.synapse import Dense

__all__ = ["custom_recurrent", "custom_recurrent_ground_truth_1", "custom_recurrent_ground_truth_2"]


def custom_recurrent(z: Tensor, neuron: Neuron, recurrent_synapse: Dense) -> Tensor:
    """Run neurons that hear their own spikes, one step later, beside their input.

    s[t] = neuron(z[t] + R s[t-1])

    Args:
        z: (N, C, T), the weighted input.
        neuron: goes on from its state, and keeps the new one, if it is persistent.
        recurrent_synapse: C to C, whose weight, normalised and quantised, is R.

    Returns:
        (N, C, T), the spikes. Differentiable with respect to z, the parameters of the neuron and the weight.

    Raises:
        ShapeError, DtypeError: an argument of the wrong shape or type.

    Example:
        >>> import torch
        >>> from slayerloss.neuron.cuba import Neuron
        >>> neuron, synapse = Neuron(threshold=1, current_decay=1, voltage_decay=1), Dense(2, 2)
        >>> synapse.weight.data = 2 * torch.eye(2)[:, [1, 0]].reshape(2, 2, 1, 1, 1)  # each excites the other
        >>> custom_recurrent(torch.tensor([[[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]), neuron, synapse).detach()
        tensor([[[1., 0., 1., 0.],
                 [0., 1., 0., 1.]]])

    Note:
        The gradient goes through the neuron's state, too; lava-dl cuts it off there at every step. A norm of the neuron
        acts on z alone. The block `Recurrent` brings the synapses along.
    """
    _check(z, neuron, recurrent_synapse)
    weight = recurrent_synapse.effective_weight().flatten(1)
    before = None if neuron.state is None else (neuron.state, z.new_zeros(z.shape[:-1]))
    spikes, (after, _) = run_recurrent(neuron, z, weight, before)
    neuron._keep(after)
    return spikes


def custom_recurrent_ground_truth_1(z: Tensor, neuron: Neuron, recurrent_synapse: Dense) -> Tensor:
    """The same as `custom_recurrent`, step by step through the synapse.

    Args:
        z, neuron, recurrent_synapse: as there; without norm and dropout.

    Returns:
        As there.

    Example:
        >>> import torch
        >>> from slayerloss.neuron.cuba import Neuron
        >>> custom_recurrent_ground_truth_1(torch.ones(1, 2, 3), Neuron(2.0, 1.0, 0.0), Dense(2, 2)).shape
        torch.Size([1, 2, 3])
    """
    _check(z, neuron, recurrent_synapse)
    return _stepwise(z, neuron, recurrent_synapse)


def custom_recurrent_ground_truth_2(z: Tensor, neuron: Neuron, recurrent_synapse: Dense) -> Tensor:
    """The same as `custom_recurrent`, step by step through the matrix.

    Args:
        z, neuron, recurrent_synapse: as there; without norm and dropout.

    Returns:
        As there.

    Example:
        >>> import torch
        >>> from slayerloss.neuron.cuba import Neuron
        >>> custom_recurrent_ground_truth_2(torch.ones(1, 2, 3), Neuron(2.0, 1.0, 0.0), Dense(2, 2)).shape
        torch.Size([1, 2, 3])
    """
    _check(z, neuron, recurrent_synapse)
    weight = recurrent_synapse.effective_weight().flatten(1)
    return _stepwise(z, neuron, lambda spikes: dense(spikes, weight))


def _stepwise(z: Tensor, neuron: Neuron, hears: Callable[[Tensor], Any]) -> Tensor:
    spikes, after = step_by_step(neuron.run, z, hears, z.new_zeros(*z.shape[:-1], 1), neuron.state)
    neuron._keep(after)
    return spikes


def _check(z: Tensor, neuron: Any, recurrent_synapse: Any) -> None:
    check_events("custom_recurrent", z, "z")
    check_type("custom_recurrent", "neuron", neuron, Neuron, "a neuron of slayerloss.neuron")
    check_type("custom_recurrent", "recurrent_synapse", recurrent_synapse, Dense, "a synapse.Dense")
