"""lava-dl's names for filters in time; a function bears the name of its module."""

from __future__ import annotations

from slayerloss.utils.filter.conv import conv, corr
from slayerloss.utils.filter.fir import FIR, FIRBank

__all__ = ["FIR", "FIRBank", "conv", "corr"]
