"""Losses as modules: arguments are kept and checked once, the mathematics is in `slayerloss.functional`."""

from __future__ import annotations

from slayerloss.loss.sparsity_enforcer import SparsityEnforcer
from slayerloss.loss.spike_max import SpikeMax
from slayerloss.loss.spike_moid import SpikeMoid
from slayerloss.loss.spike_rate import SpikeRate
from slayerloss.loss.spike_time import SpikeTime

__all__ = ["SparsityEnforcer", "SpikeMax", "SpikeMoid", "SpikeRate", "SpikeTime"]
