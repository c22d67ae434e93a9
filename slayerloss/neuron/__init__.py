"""Neurons as torch modules: parameters and state only; the mathematics is in `slayerloss.functional`."""

from slayerloss.neuron import adrf, adrf_iz, alif, base, cuba, dynamics, norm, rf, rf_iz, sigma_delta
from slayerloss.neuron.dropout import Dropout

__all__ = ["Dropout", "adrf", "adrf_iz", "alif", "base", "cuba", "dynamics", "norm", "rf", "rf_iz", "sigma_delta"]
