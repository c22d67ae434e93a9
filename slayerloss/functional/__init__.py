"""The mathematics: pure functions on tensors, no state. Read this first."""

from __future__ import annotations

from slayerloss.functional.decision import confidence, latency_to_decision, predict
from slayerloss.functional.distance import van_rossum_distance
from slayerloss.functional.filters import (
    causal_conv,
    causal_corr,
    exponential_filter,
    exponential_kernel,
    filter_bank,
)
from slayerloss.functional.rate import count, event_rate, rate
from slayerloss.functional.sparsity import rate_band, sparsity
from slayerloss.functional.spike_max import spike_max
from slayerloss.functional.spike_moid import spike_moid
from slayerloss.functional.spike_rate import spike_rate
from slayerloss.functional.spike_time import spike_time
from slayerloss.functional.window import WindowState, moving_window

__all__ = [
    "WindowState",
    "causal_conv",
    "causal_corr",
    "confidence",
    "count",
    "event_rate",
    "exponential_filter",
    "exponential_kernel",
    "filter_bank",
    "latency_to_decision",
    "moving_window",
    "predict",
    "rate",
    "rate_band",
    "sparsity",
    "spike_max",
    "spike_moid",
    "spike_rate",
    "spike_time",
    "van_rossum_distance",
]
