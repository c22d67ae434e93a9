"""Losses as modules: they check and keep the arguments; the mathematics is in `slayerloss.functional`.

In a group of processes each loss averages, over the processes, to that of the whole batch: a "sum" is P times the local
one, a "mean" divides by what all processes count, and the rates in SparsityEnforcer are those of the whole batch.
"""

from __future__ import annotations

from slayerloss.loss.sparsity_enforcer import SparsityEnforcer
from slayerloss.loss.spike_max import SpikeMax
from slayerloss.loss.spike_moid import SpikeMoid
from slayerloss.loss.spike_rate import SpikeRate
from slayerloss.loss.spike_time import SpikeTime

__all__ = ["SparsityEnforcer", "SpikeMax", "SpikeMoid", "SpikeRate", "SpikeTime"]
