"""Calls of the functions that work, with every argument: name -> (function, arguments)."""

from __future__ import annotations

from typing import Any

import torch
from call_values import (
    CLASSES,
    FILTER,
    IMAGE,
    KEPT,
    LABELS,
    LENGTHS,
    MESSAGES,
    RELU,
    REST,
    RISES,
    SYNAPSE,
    P,
    X,
    method,
)

from slayerloss import (
    axon,
    dendrite,
    neuron,
    synapse,
)
from slayerloss import functional as f
from slayerloss.block import sigma_delta
from slayerloss.neuron.norm import MeanOnlyBatchNorm

FUNCTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "adapted": (f.adapted, {"threshold": X, "refractory": X, "spikes": X, "step": 0.5}),
    "adaptive_threshold": (
        f.adaptive_threshold,
        {"x": X, **RISES, "threshold": 1.0, "step": 0.5, "allowed": X > 0, "state": REST, "scale": 64},
    ),
    "causal_conv": (f.causal_conv, {"x": X, "kernel": torch.ones(2), "state": torch.zeros(2, 3, 1)}),
    "causal_corr": (f.causal_corr, {"x": X, "kernel": torch.ones(2)}),
    "confidence": (f.confidence, {"rate": X, "mode": "softmax", "temperature": 0.5, "eps": 1e-6}),
    "conv": (f.conv, {"x": IMAGE, "weight": torch.ones(4, 2, 3, 3), "stride": (1, 1), "padding": (0, 0), "groups": 1}),
    "conv_transpose": (
        f.conv_transpose,
        {"x": IMAGE, "weight": torch.ones(2, 4, 3, 3), "stride": (1, 1), "padding": (0, 0), "groups": 1},
    ),
    "count": (f.count, {"spikes": X, "lengths": LENGTHS}),
    "cuba": (f.cuba, {"x": X, **P, "tau": 1.0, "grad_scale": 1.0, "graded": False, "state": REST, "scale": 64}
        | {"through_reset": False}),
    "delay": (f.delay, {"x": X, "delays": torch.ones(3), "longest": 4, "state": X, "return_state": True}),
    "dense": (f.dense, {"x": X, "weight": torch.ones(4, 3)}),
    "event_rate": (f.event_rate, {"x": X, "lengths": LENGTHS}),
    "exponential_filter": (
        f.exponential_filter,
        {"x": X, "time_constant": 2.0, **FILTER, "length": None, "state": torch.zeros(2, 3, 2), "return_state": True},
    ),
    "exponential_kernel": (f.exponential_kernel, {"time_constant": 2.0, "length": 3, **FILTER}),
    "filter_bank": (f.filter_bank, {"x": X, "time_constants": [1.0, 2.0], **FILTER, "length": 3, "stack": True}),
    "from_time_last": (f.from_time_last, {"x": X, "order": "T N C"}),
    "fire": (
        f.fire,
        {"current": X, "voltage_decay": 0.5, "threshold": 1.0, "tau": 1.0, "grad_scale": 1.0, "graded": False}
        | {"state": REST.voltage, "scale": 64},
    ),
    "integrate_and_fire": (
        f.integrate_and_fire,
        {"x": X, "decay": 0.5, "threshold": 1.0, "state": REST.voltage, "scale": 64},
    ),
    "latency_to_decision": (f.latency_to_decision, {"rate": X, "labels": LABELS, "threshold": 0.1, "lengths": LENGTHS}),
    "leaky_integrator": (f.leaky_integrator, {"x": X, "decay": 0.5, "state": REST.current, "scale": 64}),
    "moving_window": (
        f.moving_window,
        {"x": X, "window": 2, "reduce": "mean", "start": "zero", "lengths": LENGTHS, "return_state": True}
        | {"state": f.WindowState(torch.zeros(2, 3, 1), torch.zeros(1, dtype=torch.int64))},
    ),
    "predict": (f.predict, {"rate": X, "per_step": True}),
    "quantize": (f.quantize, {"x": X, "step": 1.0, "mode": "round"}),
    "quantize_weight": (f.quantize_weight, {"weight": X, "scale": 64, "descale": False, "num_bits": 8}),
    "rate": (f.rate, {"spikes": X, "lengths": LENGTHS}),
    "rate_band": (f.rate_band, {"spikes": X, "min_rate": 0.1, "max_rate": 0.2, "lam": 1.0, "reduction": "mean"}),
    "recurrent_cuba": (
        f.recurrent_cuba,
        {"x": X, "feedback": torch.eye(3), **P, "tau": 1.0, "graded": False, "state": (REST, REST.current), "scale": 9}
        | {"bias": torch.ones(3)},
    ),
    "shift": (f.shift, {"x": X, "steps": 1, "state": X, "return_state": True}),
    "sparsity": (f.sparsity, {"spikes": X, "max_rate": 0.2, "lam": 1.0, "lengths": LENGTHS}),
    "spike": (f.spike, {"voltage": X, "threshold": 1.0, "tau": 1.0, "scale": 1.0, "graded": False, "inclusive": True}),
    "spike, threshold": (f.spike, {"voltage": X, "threshold": X, "tau": 1.0}),
    "phase_spike": (
        f.phase_spike,
        {"real": X, "imag": X, "threshold": 1.0, "tau": 1.0, "scale": 1.0, "graded": False, "before": REST.voltage},
    ),
    "sigma": (f.sigma, {"x": X, "state": torch.zeros(2, 3)}),
    "delta": (
        f.delta,
        {"x": X, **MESSAGES, "cum_error": True, "state": f.DeltaState(*torch.zeros(3, 2, 3))},
    ),
    "sigma_delta": (
        f.sigma_delta,
        {"x": X, **MESSAGES, "bias": torch.zeros(3), "gain": torch.ones(2, 3), "cum_error": False}
        | {"state": f.SigmaDeltaState(*[REST[0]] * 4)},
    ),
    "axon.Delta": (axon.Delta, {**MESSAGES, "cum_error": False, **KEPT}),
    "axon.Delta()": (method(lambda: axon.Delta(0.5)), {"input": X}),
    "axon.Delta.run": (
        method(lambda: axon.Delta(0.5), "run"),
        {"input": X, "state": f.DeltaState(*torch.zeros(3, 2, 3)), "threshold": torch.ones(3)},
    ),
    "dendrite.Sigma": (dendrite.Sigma, {"persistent_state": True}),
    "dendrite.Sigma()": (method(dendrite.Sigma), {"input": X}),
    "sigma_delta.Neuron": (
        neuron.sigma_delta.Neuron,
        {**RELU, "tau_grad": 1.0, "scale_grad": 1.0, "scale": 64, "cum_error": False, "norm": MeanOnlyBatchNorm}
        | {"dropout": neuron.Dropout(), **KEPT, "channels": 3},
    ),
    "sigma_delta.Neuron.run": (
        method(lambda: neuron.sigma_delta.Neuron(**RELU), "run"),
        {"x": X, "state": f.SigmaDeltaState(*[REST[0]] * 4), "lengths": LENGTHS},
    ),
    "sigma_delta.Neuron.set_bias": (
        method(lambda: neuron.sigma_delta.Neuron(**RELU), "set_bias"),
        {"bias": torch.ones(3)},
    ),
    "sigma_delta.neuron_params": (
        neuron.sigma_delta.neuron_params,
        {"device_params": neuron.sigma_delta.Neuron(**RELU).device_params, "scale": 64},
    ),
    "block.sigma_delta.Output": (
        sigma_delta.Output,
        {"neuron_params": RELU, "in_neurons": 3, "out_neurons": 4, **SYNAPSE, "count_log": False, "delay_shift": True},
    ),
    "block.sigma_delta.Output()": (method(lambda: sigma_delta.Output(RELU, 3, 4)), {"x": X, "lengths": LENGTHS}),
    "resonator": (
        f.resonator,
        {"real": X, "imag": X, "sin_decay": 0.5, "cos_decay": 0.5, "threshold": 1.0, "state": REST, "scale": 64},
    ),
    "resonator_state": (f.resonator_state, {"real": X, "imag": X, "threshold": 1.0, "scale": 64}),
    "spike_max": (f.spike_max, {"spikes": X, "labels": LABELS, **CLASSES, "mode": "softmax", "label_smoothing": 0.1}),
    "spike_moid": (f.spike_moid, {"spikes": X, "targets": LABELS, **CLASSES, "alpha": 1.0, "theta": 0.0}),
    "spike_rate": (f.spike_rate, {"spikes": X, "labels": LABELS, "true_rate": 0.5, "false_rate": 0.1, **CLASSES}),
    "spike_time": (
        f.spike_time,
        {"spikes": X, "targets": X, "time_constant": 2.0, "length": 3, "filter_order": 1, "normalize": "peak"},
    ),
    "bounds_penalty": (
        f.bounds_penalty,
        {"data": X, "lower": 0.0, "upper": torch.ones(5), "kind": "expm1", "scale": 2.0, "reduction": "mean"},
    ),
    "summed_exp_boundary_loss": (f.summed_exp_boundary_loss, {"data": X, "lower_bound": 0.5, "upper_bound": 0.5}),
    "make_bounds": (f.make_bounds, {"params": X}),
    "bounds_cost": (f.bounds_cost, {"params": X, "lower_bounds": 0.5, "upper_bounds": 0.5}),
    "bounds_cost, module": (
        f.bounds_cost,
        {"params": synapse.Dense(2, 3), "lower_bounds": {"weight": 0.5}, "upper_bounds": {"*": torch.ones(())}},
    ),
    "bounds_clip": (f.bounds_clip, {"params": {"a": X}, "lower_bounds": {"a": 0.5}, "upper_bounds": {"a": 0.5}}),
    "lp_norm": (f.lp_norm, {"x": X, "p": 3.0, "weight": torch.ones(5), "reduction": "mean", "squared": True}),
    "operator_norm": (f.operator_norm, {"x": X, "p": 2.0}),
    "l2sqr_norm": (f.l2sqr_norm, {"params": {"a": [X]}}),
    "l0_norm_approx": (f.l0_norm_approx, {"params": {"a": [X]}, "sigma": 1e-4}),
    "mse": (f.mse, {"output": X, "target": X}),
    "sse": (f.sse, {"output": X, "target": X}),
    "softmax": (f.softmax, {"x": X, "temperature": 0.5, "dim": 1}),
    "logsoftmax": (f.logsoftmax, {"x": X, "temperature": 0.5, "dim": None}),
    "dale_law": (f.dale_law, {"weight": X, "reference": X}),
    "dale_law_l2": (f.dale_law_l2, {"weight": X, "reference": X, "alpha": 0.8}),
    "dale_hinge": (f.dale_hinge, {"weight": X, "reference": X}),
    "dale_": (
        f.dale_,
        {"tensor": X.clone(), "inh_ratio": 0.5, "rho": 0.9, "inh_first": True, "seed": 1, "dim": 1},
    ),
    "excitatory_ratio": (f.excitatory_ratio, {"weight": X}),
    "ratio_loss": (f.ratio_loss, {"weight": X, "target": 0.8, "form": "sign", "temperature": 0.1}),
    "weights_distance": (f.weights_distance, {"weight": X, "reference": X, "p": 1.0}),
    "total_events": (f.total_events, {"spikes": X, "allowance": 1.0, "lengths": LENGTHS}),
    "synaptic_operations": (
        f.synaptic_operations,
        {"spikes": X, "fan_out": torch.ones(3), "allowance": 1.0, "lengths": LENGTHS},
    ),
    "membrane_excursion": (
        f.membrane_excursion,
        {"voltage": X, "lower": -1.0, "upper": torch.ones(3), "lengths": LENGTHS},
    ),
    "temporal_smoothness": (f.temporal_smoothness, {"spikes": X, "time_constant": 2.0, "lengths": LENGTHS}),
    "hoyer": (f.hoyer, {"spikes": X, "lengths": LENGTHS}),
    "hoyer_penalty": (f.hoyer_penalty, {"spikes": X, "lengths": LENGTHS}),
    "treves_rolls": (f.treves_rolls, {"spikes": X, "lengths": LENGTHS}),
    "to_time_last": (f.to_time_last, {"x": X, "order": "T N C"}),
    "van_rossum_distance": (f.van_rossum_distance, {"spikes": X, "targets": X, "time_constant": 2.0, "squared": True}),
}  # fmt: skip
