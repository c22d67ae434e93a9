"""Filters with a given and with a learnable response, `slayerloss.filter`."""

from __future__ import annotations

from slayerloss.filter import FIR, FIRBank

__all__ = ["FIR", "FIRBank"]
