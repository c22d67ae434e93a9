"""The mathematics: pure functions on tensors, no state. Read this first."""

from __future__ import annotations

from slayerloss.functional.activity import (
    membrane_excursion,
    synaptic_operations,
    temporal_smoothness,
    total_events,
)
from slayerloss.functional.adaptive import AdaptiveState, adapted, adaptive_threshold
from slayerloss.functional.bounds import (
    bounds_clip,
    bounds_cost,
    bounds_penalty,
    make_bounds,
    summed_exp_boundary_loss,
)
from slayerloss.functional.connectome import (
    dale_hinge,
    dale_law,
    dale_law_l2,
    excitatory_ratio,
    ratio_loss,
    weights_distance,
)
from slayerloss.functional.convolution import causal_conv, causal_corr
from slayerloss.functional.dale import dale_
from slayerloss.functional.decision import confidence, latency_to_decision, predict
from slayerloss.functional.delay import delay, shift
from slayerloss.functional.distance import van_rossum_distance
from slayerloss.functional.events import from_time_last, to_time_last
from slayerloss.functional.filters import exponential_filter, exponential_kernel, filter_bank
from slayerloss.functional.neuron import (
    CubaState,
    cuba,
    fire,
    integrate_and_fire,
    leaky_integrator,
    recurrent_cuba,
)
from slayerloss.functional.norms import l0_norm_approx, l2sqr_norm, lp_norm, mse, operator_norm, sse
from slayerloss.functional.population import hoyer, hoyer_penalty, treves_rolls
from slayerloss.functional.quantize import quantize, quantize_weight
from slayerloss.functional.rate import count, event_rate, rate
from slayerloss.functional.resonator import ResonatorState, resonator, resonator_state
from slayerloss.functional.sigma_delta import DeltaState, SigmaDeltaState, delta, sigma, sigma_delta
from slayerloss.functional.softmax import logsoftmax, softmax
from slayerloss.functional.sparsity import rate_band, sparsity
from slayerloss.functional.spike import phase_spike, spike
from slayerloss.functional.spike_max import spike_max
from slayerloss.functional.spike_moid import spike_moid
from slayerloss.functional.spike_rate import spike_rate
from slayerloss.functional.spike_time import spike_time
from slayerloss.functional.synapse import conv, conv_transpose, dense
from slayerloss.functional.window import WindowState, moving_window

__all__ = [
    "AdaptiveState",
    "CubaState",
    "DeltaState",
    "ResonatorState",
    "SigmaDeltaState",
    "WindowState",
    "adapted",
    "adaptive_threshold",
    "bounds_clip",
    "bounds_cost",
    "bounds_penalty",
    "causal_conv",
    "causal_corr",
    "confidence",
    "conv",
    "conv_transpose",
    "count",
    "cuba",
    "dale_",
    "dale_hinge",
    "dale_law",
    "dale_law_l2",
    "delay",
    "delta",
    "dense",
    "event_rate",
    "excitatory_ratio",
    "exponential_filter",
    "exponential_kernel",
    "filter_bank",
    "fire",
    "from_time_last",
    "hoyer",
    "hoyer_penalty",
    "integrate_and_fire",
    "l0_norm_approx",
    "l2sqr_norm",
    "latency_to_decision",
    "leaky_integrator",
    "logsoftmax",
    "lp_norm",
    "make_bounds",
    "membrane_excursion",
    "moving_window",
    "mse",
    "operator_norm",
    "phase_spike",
    "predict",
    "quantize",
    "quantize_weight",
    "rate",
    "rate_band",
    "ratio_loss",
    "recurrent_cuba",
    "resonator",
    "resonator_state",
    "shift",
    "sigma",
    "sigma_delta",
    "softmax",
    "sparsity",
    "spike",
    "spike_max",
    "spike_moid",
    "spike_rate",
    "spike_time",
    "sse",
    "summed_exp_boundary_loss",
    "synaptic_operations",
    "temporal_smoothness",
    "to_time_last",
    "total_events",
    "treves_rolls",
    "van_rossum_distance",
    "weights_distance",
]
