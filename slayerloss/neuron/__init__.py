"""Neurons as torch modules: parameters and state only; the mathematics is in `slayerloss.functional`."""

from slayerloss.neuron import alif, base, cuba, dynamics, norm, rf, rf_iz
from slayerloss.neuron.dropout import Dropout

__all__ = ["Dropout", "alif", "base", "cuba", "dynamics", "norm", "rf", "rf_iz"]
