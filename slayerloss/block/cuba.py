"""Blocks of CUBA neurons; `slayerloss.block` describes what they share."""

from __future__ import annotations

from slayerloss.block import _ends, _feedforward, _recurrent
from slayerloss.block._shape import Average, Flatten
from slayerloss.neuron.cuba import Neuron

__all__ = ["Affine", "Average", "Conv", "Dense", "Flatten", "Input", "Pool", "Recurrent"]


class Input(_ends.Input):
    neuron_type = Neuron


class Dense(_feedforward.Dense):
    neuron_type = Neuron


class Conv(_feedforward.Conv):
    neuron_type = Neuron


class Pool(_feedforward.Pool):
    neuron_type = Neuron


class Recurrent(_recurrent.Recurrent):
    neuron_type = Neuron


class Affine(_ends.Affine):
    neuron_type = Neuron
