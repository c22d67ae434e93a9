"""Filters in time as modules: exponential ones, banks of them, moving windows and finite impulse responses."""

from __future__ import annotations

from slayerloss.filter.exponential import ExponentialFilter, FilterBank
from slayerloss.filter.fir import FIR, FIRBank
from slayerloss.filter.window import MovingWindow

__all__ = ["FIR", "ExponentialFilter", "FIRBank", "FilterBank", "MovingWindow"]
