"""Neurons as torch modules: parameters and state only; the mathematics is in `slayerloss.functional`."""

from slayerloss.neuron import base, cuba, norm
from slayerloss.neuron.dropout import Dropout

__all__ = ["Dropout", "base", "cuba", "norm"]
