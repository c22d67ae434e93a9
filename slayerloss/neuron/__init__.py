"""Neurons as torch modules: parameters and state only; the mathematics is in `slayerloss.functional`."""

from slayerloss.neuron import alif, base, cuba, dynamics, norm
from slayerloss.neuron.dropout import Dropout

__all__ = ["Dropout", "alif", "base", "cuba", "dynamics", "norm"]
