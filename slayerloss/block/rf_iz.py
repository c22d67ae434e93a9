"""Blocks of RF_IZ neurons; `slayerloss.block` describes what they share."""

from __future__ import annotations

from slayerloss.block import _ends, _feedforward, _recurrent, _windowed
from slayerloss.block._shape import Average, Flatten, TimeDecimation
from slayerloss.neuron.rf_iz import Neuron

__all__ = [
    "KWTA",
    "Affine",
    "Average",
    "Conv",
    "ConvT",
    "Dense",
    "Flatten",
    "Input",
    "Pool",
    "Recurrent",
    "TimeDecimation",
    "Unpool",
]


class Input(_ends.Input):
    neuron_type = Neuron


class Dense(_feedforward.Dense):
    neuron_type = Neuron


class Conv(_windowed.Conv):
    neuron_type = Neuron


class ConvT(_windowed.ConvT):
    neuron_type = Neuron


class Pool(_windowed.Pool):
    neuron_type = Neuron


class Unpool(_windowed.Unpool):
    neuron_type = Neuron


class Recurrent(_recurrent.Recurrent):
    neuron_type = Neuron


class Affine(_ends.Affine):
    neuron_type = Neuron


class KWTA(_recurrent.KWTA):
    neuron_type = Neuron
