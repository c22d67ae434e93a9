"""Axons: what happens to spikes on their way out of the neurons; the function `delay` bears the name of its module."""

from __future__ import annotations

from slayerloss.axon.delay import Delay, delay
from slayerloss.axon.delta import Delta

__all__ = ["Delay", "Delta", "delay"]
