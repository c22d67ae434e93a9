"""Spikes of lava-dl; `slayerloss.functional` has the chip's, `spike` and `phase_spike`."""

from __future__ import annotations

from slayerloss.spike import complex
from slayerloss.spike.spike import Spike

__all__ = ["Spike", "complex"]
