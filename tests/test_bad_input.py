"""Every public function and constructor with arguments of the wrong type, shape and range.

Each argument of each call in GOOD is replaced by everything in JUNK: the call answers with finite numbers, or with one
of slayerloss's own errors, and never in the words of Python, numpy or torch. WRONG lists which error it is.
"""

from __future__ import annotations

import atexit
import enum
import importlib
import math
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slayerloss import (
    ArgumentError,
    DtypeError,
    MissingFileError,
    ShapeError,
    SlayerError,
    auto,
    axon,
    block,
    bootstrap,
    classifier,
    data,
    dendrite,
    filter,
    io,
    loss,
    netx,
    neuron,
    synapse,
    utils,
)
from slayerloss import functional as f
from slayerloss.block import BlockState, cuba, sigma_delta
from slayerloss.neuron import dynamics
from slayerloss.neuron.cuba import Neuron
from slayerloss.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm

X = (torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0)) > 0.5).float()
IMAGE = torch.ones(2, 2, 6, 6, 5)
LENGTHS, LABELS = torch.tensor([5, 3]), torch.tensor([0, 2])
REST = f.CubaState(torch.zeros(2, 3), torch.zeros(2, 3))
RISES = {"threshold_decay": 0.5, "refractory_decay": 0.5}
ADRF = {"threshold": 1.0, "threshold_step": 0.5, "period": 9.0, "decay": 0.1, **RISES}
RF = {"threshold": 1.0, "period": 9.0, "decay": 0.1}
RELU = {"threshold": 0.5, "activation": torch.relu}
MESSAGES = {"threshold": 0.5, "tau_grad": 1.0, "scale_grad": 1.0, "scale": 64}
KEPT = {"shared_param": True, "persistent_state": False, "requires_grad": False}
P = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.5}
EVENT = io.Event([1, 2], [1, 0], [0, 1], [0.5, 1.5])
LIF = {"type": "CUBA", "iDecay": 1, "vDecay": 1, "vThMant": 9}
ALIF = {**LIF, "thDecay": 1, "refDecay": 1, "vThStep": 9, "type": "ALIF"}
BINARY = io.Event([1, 2], [1, 0], [0, 1], [0.5, 1.5])
LINE = io.Event([1, 2], None, [0, 1], [0.5, 1.5])
NET = netx.describe([{"type": "dense", "shape": [1], "weight": [[2]], "neuron": LIF}])
MODEL = cuba.Dense(P, 3, 4)
HALF = torch.tensor([2048.0])
HEARS_ITSELF = {"z": X, "neuron": Neuron(**P), "recurrent_synapse": synapse.Dense(3, 3)}
ADAPTS = {"ref_state": REST.current, "ref_decay": HALF, "th_state": REST.voltage, "th_decay": HALF, "th_scale": 0.5}
ADAPTS = {**ADAPTS, "th0": 1.0, "w_scale": 4096, "debug": False}
TURNS = {"real_input": X, "imag_input": X, "sin_decay": HALF, "cos_decay": HALF, "real_state": REST.current}
TURNS = {**TURNS, "imag_state": REST.voltage}
FOLDER = Path(tempfile.mkdtemp(prefix="slayerloss_bad_input_"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
for name, event in {"2d.npz": EVENT, "2d.npy": BINARY, "2d.bin": BINARY, "1d.bs1": LINE}.items():
    io.write(FOLDER / name, event)
netx.write(FOLDER / "network.net", NET)
netx.export(MODEL, FOLDER / "model.net")
(FOLDER / "stats_loss.txt").write_text("# Train\n1.0\n")
CLASSES: dict[str, Any] = {"moving_window": 2, "reduction": "sum", "ignore_index": -1, "start": "zero"}
CLASSES["class_weights"] = [1.0, 1.0, 1.0]
SYNAPSE: dict[str, Any] = {"weight_scale": 1.0, "weight_norm": False, "pre_hook_fx": f.quantize_weight}
IMAGES: dict[str, Any] = {"kernel_size": 3, "stride": 1, "padding": 1, "dilation": 1}
BLOCK: dict[str, Any] = {"neuron_params": P, **SYNAPSE, "count_log": False}
DELAYS: dict[str, Any] = {"delay": True, "delay_shift": True}
FILTER: dict[str, Any] = {"order": 2, "normalize": "peak"}


def method(make: Any, name: str = "__call__") -> Any:
    """A method as a function: its object is made anew for each call."""
    return lambda **arguments: getattr(make(), name)(**arguments)


def fitted_sampler(z: Any) -> torch.Tensor:
    sampler = bootstrap.ann_sampler.AnnSampler()
    sampler.append(X, X)
    return sampler(z)


GOOD: dict[str, tuple[Any, dict[str, Any]]] = {
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
        {"x": X, **MESSAGES, "bias": torch.zeros(3), "gain": torch.ones(2, 3), "cum_error": False, "state": f.SigmaDeltaState(*[REST[0]] * 4)},
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
    "to_time_last": (f.to_time_last, {"x": X, "order": "T N C"}),
    "van_rossum_distance": (f.van_rossum_distance, {"spikes": X, "targets": X, "time_constant": 2.0, "squared": True}),
    "loss.SpikeMax": (loss.SpikeMax, {**CLASSES, "mode": "softmax", "label_smoothing": 0.1, "temperature": 0.5}),
    "loss.SpikeMoid": (loss.SpikeMoid, {**CLASSES, "alpha": 1.0, "theta": 0.0}),
    "loss.SpikeRate": (loss.SpikeRate, {"true_rate": 0.5, "false_rate": 0.1, **CLASSES}),
    "loss.SpikeTime": (loss.SpikeTime, {"time_constant": 2.0, "length": 3, "filter_order": 1, "reduction": "sum"}),
    "loss.SparsityEnforcer": (loss.SparsityEnforcer, {"max_rate": 0.2, "lam": 1.0, "min_rate": 0.1}),
    "SparsityEnforcer.append": (method(loss.SparsityEnforcer, "append"), {"x": X, "lengths": LENGTHS}),
    "classifier.Rate": (classifier.Rate.confidence, {"spike": X, "mode": "softmax", "eps": 1e-6, "temperature": 0.5}),
    "classifier.MovingWindow": (classifier.MovingWindow, {"time_window": 2, "mode": "softmax", "start": "zero"}),
    "MovingWindow.confidence": (method(lambda: classifier.MovingWindow(2), "confidence"), {"spike": X, "mode": None}),
    "filter.ExponentialFilter": (filter.ExponentialFilter, {"time_constant": 2.0, **FILTER, "learnable": True}),
    "filter.FilterBank": (filter.FilterBank, {"time_constants": [1.0, 2.0], **FILTER, "length": 3, "stack": True}),
    "filter.FIR": (filter.FIR, {"time_constant": 2.0, "length": 3, "sampling_time": 1}),
    "filter.FIR, given": (filter.FIR, {"fir_response": [1.0, 2.0]}),
    "filter.FIRBank": (filter.FIRBank, {"num_filter": 2, "filter_length": 3, "sampling_time": 1, "scale": 1}),
    "filter.MovingWindow": (filter.MovingWindow, {"window": 2, "reduce": "sum", "start": "seen"}),
    "Neuron": (
        Neuron,
        {**P, "tau_grad": 1.0, "scale_grad": 1.0, "scale": 64, "norm": MeanOnlyBatchNorm, "dropout": neuron.Dropout()}
        | {"shared_param": True, "persistent_state": False, "requires_grad": False, "graded_spike": False}
        | {"through_reset": False},
    ),
    "alif.Neuron": (neuron.alif.Neuron, {**P, **RISES, "threshold_step": 0.5}),
    "alif.Neuron.run": (
        method(lambda: neuron.alif.Neuron(**P, **RISES, threshold_step=0.5), "run"),
        {"x": X, "state": neuron.alif.AlifState(*torch.zeros(4, 2, 3)), "lengths": LENGTHS},
    ),
    "rf.Neuron": (
        neuron.rf.Neuron,
        {**RF, "tau_grad": 1.0, "scale_grad": 1.0, "scale": 64, "norm": MeanOnlyBatchNorm, "dropout": neuron.Dropout()}
        | {"shared_param": True, "persistent_state": False, "requires_grad": False, "graded_spike": False}
        | {"log_init": True, "channels": 3},
    ),
    "rf.Neuron, each its own": (neuron.rf.Neuron, {**RF, "period": (5.0, 9.0), "shared_param": False, "channels": 3}),
    "rf.Neuron.run": (
        method(lambda: neuron.rf.Neuron(**RF), "run"),
        {"x": (X, X), "state": f.ResonatorState(*torch.zeros(2, 2, 3)), "lengths": LENGTHS},
    ),
    "rf.Neuron.spike": (method(lambda: neuron.rf.Neuron(**RF), "spike"), {"real": X, "imag": X}),
    "rf.neuron_params": (
        neuron.rf.neuron_params,
        {"device_params": neuron.rf.Neuron(**RF).device_params, "scale": 64, "p_scale": 4096},
    ),
    "rf_iz.Neuron": (neuron.rf_iz.Neuron, RF),
    "rf_iz.Neuron.run": (
        method(lambda: neuron.rf_iz.Neuron(**RF), "run"),
        {"x": (X, X), "state": f.ResonatorState(*torch.zeros(2, 2, 3)), "lengths": LENGTHS},
    ),
    "rf_iz.neuron_params": (
        neuron.rf_iz.neuron_params,
        {"device_params": neuron.rf_iz.Neuron(**RF).device_params, "scale": 64, "p_scale": 4096},
    ),
    "adrf.Neuron": (neuron.adrf.Neuron, ADRF),
    "adrf.Neuron.run": (
        method(lambda: neuron.adrf.Neuron(**ADRF), "run"),
        {"x": (X, X), "state": neuron.adrf.AdrfState(*torch.zeros(4, 2, 3)), "lengths": LENGTHS},
    ),
    "adrf.neuron_params": (
        neuron.adrf.neuron_params,
        {"device_params": neuron.adrf.Neuron(**ADRF).device_params, "scale": 64, "p_scale": 4096},
    ),
    "adrf_iz.Neuron": (neuron.adrf_iz.Neuron, ADRF),
    "adrf_iz.neuron_params": (
        neuron.adrf_iz.neuron_params,
        {"device_params": neuron.adrf_iz.Neuron(**ADRF).device_params, "scale": 64, "p_scale": 4096},
    ),
    "alif.neuron_params": (neuron.alif.neuron_params, {"device_params": ALIF, "scale": 64, "p_scale": 4096}),
    "Neuron, each its own": (Neuron, {**P, "shared_param": False, "channels": 3}),
    "Neuron.run": (method(lambda: Neuron(**P), "run"), {"x": X, "state": REST, "lengths": LENGTHS}),
    "Dropout": (neuron.Dropout, {"p": 0.5, "inplace": False}),
    "Dropout()": (method(neuron.Dropout), {"input": X}),
    "MeanOnlyBatchNorm": (MeanOnlyBatchNorm, {"num_features": 3, "momentum": 0.1, "pre_hook_fx": f.quantize_weight}),
    "WgtScaleBatchNorm": (
        WgtScaleBatchNorm,
        {"num_features": 3, "momentum": 0.1, "weight_exp_bits": 3, "eps": 1e-5, "pre_hook_fx": f.quantize_weight},
    ),
    "WgtScaleBatchNorm()": (method(WgtScaleBatchNorm), {"inp": X}),
    "MeanOnlyBatchNorm()": (method(MeanOnlyBatchNorm), {"inp": X}),
    "synapse.Dense()": (method(lambda: synapse.Dense(3, 4)), {"input": X, "mask": torch.ones(4, 3)}),
    "synapse.Conv": (synapse.Conv, {"in_features": 2, "out_features": 4, **IMAGES, "groups": 1, **SYNAPSE}),
    "synapse.ConvTranspose": (
        synapse.ConvTranspose,
        {"in_features": 2, "out_features": 4, **IMAGES, "groups": 1, **SYNAPSE},
    ),
    "synapse.Pool()": (method(lambda: synapse.Pool(2)), {"input": IMAGE}),
    "synapse.Unpool": (synapse.Unpool, {**IMAGES, **SYNAPSE}),
    "synapse.Unpool()": (method(lambda: synapse.Unpool(2)), {"input": IMAGE}),
    "complex.Dense": (synapse.complex.Dense, {"in_neurons": 3, "out_neurons": 4, **SYNAPSE}),
    "complex.Dense()": (method(lambda: synapse.complex.Dense(3, 4)), {"input": X, "mask": torch.ones(4, 3)}),
    "complex.Conv": (
        synapse.complex.Conv,
        {"in_features": 2, "out_features": 4, **IMAGES, "groups": 1, **SYNAPSE},
    ),
    "complex.ConvTranspose": (
        synapse.complex.ConvTranspose,
        {"in_features": 2, "out_features": 4, **IMAGES, "groups": 1, **SYNAPSE},
    ),
    "complex.Pool": (synapse.complex.Pool, {**IMAGES, **SYNAPSE}),
    "complex.Unpool": (synapse.complex.Unpool, {**IMAGES, **SYNAPSE}),
    "axon.delay": (axon.delay, {"input": X, "delay_val": 1, "sampling_time": 1}),
    "axon.Delay": (axon.Delay, {"sampling_time": 1, "max_delay": 4, "grad_scale": 1.0, "channels": 3, "initial": 2.0}),
    "axon.Delay()": (method(axon.Delay), {"input": X}),
    "cuba.Input": (cuba.Input, {"neuron_params": P, "weight": 1.0, "bias": 0.1, "delay_shift": True}),
    "cuba.Dense": (cuba.Dense, {**BLOCK, "in_neurons": 3, "out_neurons": 4, **DELAYS, "mask": torch.ones(4, 3)}),
    "cuba.Conv": (cuba.Conv, {**BLOCK, "in_features": 2, "out_features": 4, **IMAGES, "groups": 1, **DELAYS}),
    "cuba.ConvT": (cuba.ConvT, {**BLOCK, "in_features": 2, "out_features": 4, **IMAGES, "groups": 1, **DELAYS}),
    "cuba.Pool": (cuba.Pool, {**BLOCK, **IMAGES, **DELAYS}),
    "cuba.Unpool": (cuba.Unpool, {**BLOCK, **IMAGES, **DELAYS}),
    "cuba.KWTA": (
        cuba.KWTA,
        {**BLOCK, "in_neurons": 3, "out_neurons": 4, "num_winners": 2, "self_excitation": 0.5, "delay_shift": True},
    ),
    "cuba.TimeDecimation": (cuba.TimeDecimation, {"factor": 2, "count_log": False}),
    "cuba.TimeDecimation()": (method(lambda: cuba.TimeDecimation(2)), {"x": X, "lengths": LENGTHS}),
    "cuba.Recurrent": (cuba.Recurrent, {**BLOCK, "in_neurons": 3, "out_neurons": 4, "requires_grad": True, **DELAYS}),
    "cuba.Affine": (cuba.Affine, {**BLOCK, "in_neurons": 3, "out_neurons": 4, "dynamics": True}),
    "cuba.Average": (cuba.Average, {"num_outputs": 3, "count_log": False}),
    "cuba.Flatten": (cuba.Flatten, {"count_log": False}),
    "cuba.Dense.run": (
        method(lambda: cuba.Dense(P, 3, 4, delay=True), "run"),
        {"x": X, "state": BlockState(torch.zeros(2, 4, 1), None), "lengths": LENGTHS},
    ),
    "cuba.Recurrent.run": (method(lambda: cuba.Recurrent(P, 3, 4), "run"), {"x": X, "state": None}),
    "bootstrap.AnnSampler": (
        bootstrap.ann_sampler.AnnSampler,
        {"num_centers": 5, "sample_range": [0.1, 0.9], "eps": 1e-5},
    ),
    "AnnSampler.append": (method(bootstrap.ann_sampler.AnnSampler, "append"), {"a": X, "z": X, "lengths": LENGTHS}),
    "AnnSampler()": (fitted_sampler, {"z": X}),
    "bootstrap.Scheduler": (
        bootstrap.routine.Scheduler,
        {"num_sample_iter": 2, "sample_period": 5, "crossover_epochs": [1, 2]},
    ),
    "Scheduler.mode": (method(bootstrap.routine.Scheduler, "mode"), {"epoch": 0, "iteration": 0, "train": True}),
    "Scheduler.sync_snn_stat": (
        method(bootstrap.routine.Scheduler, "sync_snn_stat"),
        {"stat": utils.LearningStat()},
    ),
    "bootstrap.LayerMode": (
        bootstrap.routine.LayerMode,
        {"crossover": 1, "base_mode": bootstrap.Mode.ANN},
    ),
    "bootstrap.Dense()": (
        method(lambda: bootstrap.block.cuba.Dense(P, 3, 4)),
        {"x": X, "mode": bootstrap.Mode.SAMPLE, "lengths": LENGTHS},
    ),
    "utils.Assistant": (
        utils.Assistant,
        {"net": MODEL, "error": torch.nn.MSELoss(), "optimizer": None, "stats": utils.LearningStats(), "lam": 0.1}
        | {"classifier": classifier.Rate.predict, "count_log": True},
    ),
    "utils.LearningStat": (utils.LearningStat, {}),
    "utils.LearningStats": (utils.LearningStats, {"loss_str": "loss", "accuracy_unit": ""}),
    "LearningStats.load": (utils.LearningStats().load, {"path": FOLDER / "stats_"}),
    "LearningStats.print": (method(utils.LearningStats, "print"),
        {"epoch": 1, "iter": 1, "time_elapsed": 0.1, "header": ["a"]}),
    "LearningStats.save": (method(utils.LearningStats, "save"), {"path": FOLDER / "stats_"}),
    "utils.diagonal_mask": (utils.diagonal_mask, {"dim": 3, "num_diagonals": 1}),
    "int_utils.right_shift_to_zero": (utils.int_utils.right_shift_to_zero, {"x": LABELS, "bits": 1}),
    "recurrent.custom_recurrent": (utils.recurrent.custom_recurrent, HEARS_ITSELF),
    "recurrent.custom_recurrent_ground_truth_1": (utils.recurrent.custom_recurrent_ground_truth_1, HEARS_ITSELF),
    "recurrent.custom_recurrent_ground_truth_2": (utils.recurrent.custom_recurrent_ground_truth_2, HEARS_ITSELF),
    "leaky_integrator.dynamics": (dynamics.leaky_integrator.dynamics,
        {"input": X, "decay": HALF, "state": REST.current, "w_scale": 4096, "threshold": 1.0, "debug": False}),
    "adaptive_threshold.dynamics": (dynamics.adaptive_threshold.dynamics, {"input": X, **ADAPTS}),
    "adaptive_phase_th.dynamics": (dynamics.adaptive_phase_th.dynamics,
        {"re_input": X, "im_input": X, "im_state": REST.current, **ADAPTS}),
    "resonator.dynamics": (dynamics.resonator.dynamics, {**TURNS, "w_scale": 4096, "threshold": 1.0}),
    "adaptive_resonator.dynamics": (dynamics.adaptive_resonator.dynamics, TURNS | ADAPTS),
    "leaky_integrator.persistent_state": (dynamics.leaky_integrator.persistent_state, {"state": X, "spike": X}),
    "resonator.persistent_real_state": (dynamics.resonator.persistent_real_state, {"real_state": X, "spike": X}),
    "resonator.persistent_imag_state": (dynamics.resonator.persistent_imag_state,
        {"imag_state": X, "spike": X, "threshold": 1.0, "scale": 4096}),
    "persistent_ref_state": (dynamics.adaptive_threshold.persistent_ref_state,
        {"ref_state": X, "spike": X, "th_state": X}),
    "persistent_th_state": (dynamics.adaptive_threshold.persistent_th_state,
        {"th_state": X, "spike": X, "th_step": 0.5}),
    "cuba.neuron_params": (neuron.cuba.neuron_params, {"device_params": LIF, "scale": 64, "p_scale": 4096}),
    "utils.quantize": (utils.quantize, {"input": X, "step": 1.0, "mode": utils.QUANTIZE_MODE.FLOOR}),
    "utils.time.replicate": (utils.time.replicate, {"input": LABELS, "num_steps": 3}),
    "utils.time.shift": (utils.time.shift, {"input": LABELS, "shift_val": 1, "sampling_time": 1}),
    "utils.filter.conv": (utils.filter.conv, {"input": X, "filter": torch.ones(2), "sampling_time": 1}),
    "io.Event": (io.Event, {"x_event": [1, 2], "y_event": [1, 0], "c_event": [0, 1], "t_event": [0.0, 1.0]}),
    "Event.to_tensor": (EVENT.to_tensor, {"sampling_time": 1.0, "dim": (2, 3, 3, 4)}),
    "Event.fill_tensor": (
        EVENT.fill_tensor,
        {"empty_tensor": torch.zeros(2, 3, 3, 4), "sampling_time": 1.0, "random_shift": True, "rng": None},
    ),
    "io.tensor_to_event": (io.tensor_to_event, {"spike_tensor": X, "sampling_time": 1.0}),
    "io.bins": (io.bins, {"t": np.array([0.0, 1.0]), "step_ms": 1.0, "rounding": "floor"}),
    "io.to_frames": (io.to_frames, {"event": EVENT, "shape": (2, 3, 3), "num_steps": 4, "step_ms": 1.0, "count": True}),
    "io.from_frames": (io.from_frames, {"frames": X, "step_ms": 1.0}),
    "io.crop": (io.crop, {"event": EVENT, "shape": (2, 3, 3)}),
    "io.to_structured": (io.to_structured, {"event": EVENT, "time_unit": 1e-6}),
    "data.augment.Rotate": (data.augment.Rotate, {"max_degrees": 2.0, "size": (34, 34)}),
    "data.augment.Elastic": (data.augment.Elastic, {"sigma_pixels": 0.1, "nodes": 5, "size": (34, 34)}),
    "data.stratified_split": (data.stratified_split, {"labels": [0, 0, 1, 1], "fraction": 0.5, "seed": 0}),
    "data.collate": (data.collate, {"samples": [(X[0], 1), (X[1], 0)]}),
    "data.Digits": (data.Digits, {"train": False, "num_steps": 9, "count": True, "indices": [0], "transform": None}),
    "netx.Network": (netx.Network, {"net_config": NET, "num_layers": 1, "skip_layers": 0, "reset_offset": 0}
        | {"spike_exp": 6, "sparse_fc_layer": False, "arithmetic": "ideal"}),
    "utils.quantize_hook_fx": (utils.quantize_hook_fx, {"x": X, "scale": 64, "descale": True, "num_bits": 8}),
    "utils.event_rate": (utils.event_rate, {"x": X, "lengths": LENGTHS}),
    "utils.filter.corr": (utils.filter.corr, {"input": X, "filter": torch.ones(2), "sampling_time": 1}),
    "block.reset_state": (block.reset_state, {"model": torch.nn.Identity()}),
    "data.collate_padded": (data.collate_padded, {"samples": [(X[0], 1), (X[1], 0)]}),
    "io.from_structured": (io.from_structured, {"array": io.to_structured(EVENT), "time_unit": 1e-6}),
    "io.read": (io.read, {"path": FOLDER / "2d.npz", "time_unit": 1e-3}),
    "io.write": (io.write, {"path": FOLDER / "out.npz", "event": EVENT}),
    "io.read_1d_spikes": (io.read_1d_spikes, {"filename": FOLDER / "1d.bs1", "unwrap": True}),
    "io.read_2d_spikes": (io.read_2d_spikes, {"filename": FOLDER / "2d.bin", "unwrap": True}),
    "io.read_np_spikes": (io.read_np_spikes, {"filename": FOLDER / "2d.npy", "fmt": "xypt", "time_unit": 1e-3}),
    "io.encode_1d_spikes": (io.encode_1d_spikes, {"filename": FOLDER / "out.bs1", "td_event": LINE}),
    "io.encode_2d_spikes": (io.encode_2d_spikes, {"filename": FOLDER / "out.bin", "td_event": EVENT}),
    "io.encode_np_spikes": (io.encode_np_spikes, {"filename": FOLDER / "out.npy", "td_event": EVENT, "time_unit": 1.0}),
    "netx.describe": (netx.describe, {"layers": [{"type": "flatten", "shape": [8]}], "source": "here"}),
    "netx.check": (netx.check, {"file": FOLDER / "network.net"}),
    "netx.inspect": (netx.inspect, {"path": FOLDER / "network.net"}),
    "netx.read": (netx.read, {"path": FOLDER / "network.net"}),
    "netx.write": (netx.write, {"path": FOLDER / "out.net", "description": NET}),
    "netx.export": (netx.export, {"model": MODEL, "path": FOLDER / "out.net", "input_shape": (3,)}),
    "auto.SequentialNetwork": (
        auto.SequentialNetwork,
        {"network_config": FOLDER / "model.net", "persistent_state": False, "reduction": "sum", "weight_norm": False}
        | {"count_log": False},
    ),
    "netx.to_torch": (
        netx.to_torch,
        {"file": FOLDER / "model.net", "neuron": {"tau_grad": 0.5, "norm": MeanOnlyBatchNorm}, "weight_norm": False},
    ),
    "netx.compare": (netx.compare, {"model": MODEL, "file": FOLDER / "model.net", "inputs": X}
        | {"arithmetic": "ideal"}),
    "netx.operations": (netx.operations, {"network": netx.Network(NET), "x": np.ones((2, 1, 5)), "recording": None}
        | {"lengths": [5, 3]}),
    "netx.energy": (netx.energy, {"operations": netx.operations(netx.Network(NET), np.ones((2, 1, 5)))}
        | {"figures": netx.LOIHI}),
    "Network.run": (netx.Network(NET).run, {"x": np.ones((2, 1, 5)), "states": True, "state": None}),
    "Network.step": (netx.Network(NET).step, {"x": np.ones((2, 1))}),
    "netx.quirks": (netx.quirks, {"file": NET, "x": np.ones((2, 1, 5))}),
    "Network.encode": (netx.Network(NET).encode, {"x": np.ones((2, 1, 5))}),
}  # fmt: skip

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch means to change them
    NESTED = torch.nested.nested_tensor([X[0], X[1]])
    QUANTIZED = torch.quantize_per_tensor(X, 1.0, 0, torch.quint8)

JUNK: list[Any] = [
    None, "a", ["a", "b"], object(), torch.nn.BatchNorm1d, 1j, -1.5, math.nan, math.inf, 10**30, 10**12,
    np.ones((2, 3, 5)), np.array("a"), torch.ones(7), torch.ones(2, 3, 5, dtype=torch.complex64), torch.zeros(0, 3, 5),
    torch.zeros(2, 0, 5), torch.zeros(2, 3, 0), torch.full((2, 3, 5), math.nan), torch.tensor([-3, 9]), (5, 5),
    torch.ones(2, 3, 5).to_sparse(), NESTED, X.to(torch.float8_e4m3fn),
    QUANTIZED, X.to(torch.uint16), torch.tensor([4, 2], dtype=torch.uint16),
    f.CubaState(torch.full((2, 3), math.nan), torch.zeros(2, 3)),
]  # fmt: skip


def floats(value: Any) -> list[torch.Tensor]:
    """The floating-point tensors in an answer."""
    if isinstance(value, torch.nn.Module):
        return floats(tuple(value.state_dict().values()))
    if isinstance(value, tuple):
        return [tensor for part in value for tensor in floats(part)]
    return [value] if isinstance(value, torch.Tensor) and value.is_floating_point() else []


@pytest.mark.parametrize("name", GOOD)
def test_junk_is_refused_in_our_words_or_gives_finite_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # "a" is a path as good as any
    call, good = GOOD[name]
    call(**good)
    views = (f.to_time_last, f.from_time_last, utils.time.shift, utils.time.replicate)  # NaN in, NaN out
    for argument in good:
        for junk in JUNK:
            try:
                answer = call(**{**good, argument: junk})
            except SlayerError:
                continue
            except Exception as error:
                raise AssertionError(f"{name}({argument}={junk!r}): {type(error).__name__}: {error}") from error
            if call not in views:
                assert all(tensor.isfinite().all() for tensor in floats(answer)), f"{name}({argument}={junk!r})"


WRONG: list[tuple[str, dict[str, Any], type[SlayerError]]] = [
    ("filter_bank", {"time_constants": 5.0}, DtypeError),
    ("filter_bank", {"time_constants": []}, ShapeError),
    ("filter_bank", {"stack": "yes"}, DtypeError),
    ("to_time_last", {"order": None}, DtypeError),
    ("to_time_last", {"order": "T N"}, ShapeError),
    ("cuba", {"scale": 0}, ArgumentError),
    ("cuba", {"scale": math.nan}, ArgumentError),
    ("cuba", {"state": 5}, DtypeError),
    ("cuba", {"state": f.CubaState(np.zeros((2, 3)), np.zeros((2, 3)))}, DtypeError),
    ("cuba", {"state": f.CubaState(torch.zeros(2, 2), torch.zeros(2, 3))}, ShapeError),
    ("cuba", {"state": f.CubaState(torch.full((2, 3), math.inf), torch.zeros(2, 3))}, ArgumentError),
    ("cuba", {"graded": "False"}, DtypeError),
    ("cuba", {"current_decay": np.array([0.1, 0.2, 0.3])}, DtypeError),
    ("recurrent_cuba", {"state": REST.current}, DtypeError),
    ("recurrent_cuba", {"feedback": np.eye(3)}, DtypeError),
    ("recurrent_cuba", {"feedback": torch.full((3, 3), math.nan)}, ArgumentError),
    ("moving_window", {"state": "a"}, DtypeError),
    ("moving_window", {"state": (torch.zeros(2, 3, 1), torch.zeros(7))}, ShapeError),
    ("moving_window", {"state": (torch.zeros(2, 3, 1), torch.tensor([-1]))}, ArgumentError),
    ("causal_conv", {"state": np.zeros((2, 3, 1))}, DtypeError),
    ("exponential_filter", {"state": np.zeros((2, 3, 2))}, DtypeError),
    ("exponential_filter", {"order": 10**6}, ArgumentError),
    ("exponential_filter", {"time_constant": [1.0, 2.0, 3.0]}, DtypeError),
    ("exponential_kernel", {"order": 400, "normalize": None, "length": 4000, "time_constant": 9.0}, ArgumentError),
    ("conv", {"stride": "1"}, DtypeError),
    ("conv", {"padding": (1, -1)}, ArgumentError),
    ("spike", {"threshold": "a"}, DtypeError),
    ("spike", {"threshold": math.nan}, ArgumentError),
    ("quantize", {"x": [1, 2]}, DtypeError),
    ("quantize_weight", {"num_bits": 64}, ArgumentError),
    ("sparsity", {"lam": math.inf}, ArgumentError),
    ("sparsity", {"max_rate": math.inf}, ArgumentError),
    ("spike_max", {"class_weights": "abc"}, DtypeError),
    ("spike_max", {"class_weights": ["a", 1, 1]}, DtypeError),
    ("spike_max", {"labels": torch.tensor([0, 3])}, ArgumentError),
    ("spike_moid", {"theta": math.inf}, ArgumentError),
    ("loss.SpikeRate", {"ignore_index": 0.5}, DtypeError),
    ("loss.SpikeTime", {"filter_order": 1001}, ArgumentError),
    ("loss.SparsityEnforcer", {"min_rate": ""}, DtypeError),
    ("filter.FIR, given", {"fir_response": ["a"]}, DtypeError),
    ("filter.ExponentialFilter", {"time_constant": "ab"}, DtypeError),
    ("filter.ExponentialFilter", {"time_constant": []}, ArgumentError),
    ("Neuron", {"norm": torch.nn.BatchNorm1d}, ArgumentError),
    ("Neuron", {"norm": dict}, DtypeError),
    ("Neuron", {"shared_param": "no"}, DtypeError),
    ("Neuron", {"through_reset": "no"}, DtypeError),
    ("Neuron, each its own", {"channels": 0}, ArgumentError),
    ("Dropout", {"p": 2}, ArgumentError),
    ("synapse.Dense()", {"mask": torch.ones(3, 4)}, ShapeError),
    ("axon.delay", {"delay_val": -1}, ArgumentError),
    ("axon.Delay", {"grad_scale": "a"}, DtypeError),
    ("cuba.Input", {"weight": "a"}, DtypeError),
    ("cuba.Dense", {"weight_scale": "a"}, DtypeError),
    ("cuba.Dense", {"pre_hook_fx": 3}, DtypeError),
    ("cuba.Dense", {"delay": "False"}, DtypeError),
    ("cuba.Conv", {"weight_norm": None}, DtypeError),
    ("cuba.Recurrent", {"requires_grad": "no"}, DtypeError),
    ("cuba.Dense.run", {"state": 5}, DtypeError),
    ("cuba.Dense.run", {"lengths": torch.tensor([0, 9])}, ArgumentError),
    ("utils.time.shift", {"shift_val": "a"}, DtypeError),
    ("Event.fill_tensor", {"rng": 5}, DtypeError),
    ("Event.fill_tensor", {"empty_tensor": None}, DtypeError),
    ("io.bins", {"t": np.array([math.nan])}, ArgumentError),
    ("io.to_frames", {"event": 5}, DtypeError),
    ("io.to_frames", {"shape": 5}, DtypeError),
    ("data.collate", {"samples": []}, ArgumentError),
    ("data.Digits", {"transform": data.augment.Shift}, DtypeError),
    ("data.stratified_split", {"labels": [[0], [1]]}, ShapeError),
    ("netx.Network", {"net_config": 5}, DtypeError),
    ("netx.Network", {"net_config": "none.net"}, MissingFileError),
    ("Network.encode", {"x": [math.nan]}, ArgumentError),
]


@pytest.mark.parametrize(("name", "bad", "error"), WRONG, ids=[f"{name} {[*bad]}" for name, bad, _ in WRONG])
def test_what_is_wrong_is_said(name: str, bad: dict[str, Any], error: type[SlayerError]) -> None:
    call, good = GOOD[name]
    with pytest.raises(error) as caught:
        call(**{**good, **bad})
    assert type(caught.value) is error
    assert "; expected " in str(caught.value)
    assert ", got " in str(caught.value)


MODULES = """auto axon block block.cuba classifier data dendrite filter functional io loss netx neuron neuron.adrf
    neuron.adrf_iz neuron.alif neuron.cuba neuron.norm neuron.rf neuron.rf_iz neuron.sigma_delta
    neuron.dynamics.adaptive_phase_th
    neuron.dynamics.adaptive_resonator neuron.dynamics.adaptive_threshold neuron.dynamics.leaky_integrator
    neuron.dynamics.resonator spike spike.complex synapse synapse.complex utils utils.filter utils.int_utils
    utils.recurrent utils.time"""

ELSEWHERE = {
    # plot: a test of errors in each of tests/plot; train: train/test_wrong_recipes.py; cli: cli/test_cli.py
    "block.SpikingBlock": "what block.cuba is made of",
    "data.EventDataset": "tests/data/test_datasets.py",
    "data.NMNIST": "tests/data/test_datasets.py",
    "data.Oxford": "tests/data/test_datasets.py",
    "data.check": "tests/data/test_data_check.py",
    "io.replacing": "tests/io/test_replacing.py",
    "spike.Spike": "lava-dl's, as it is there; tests/spike/test_lava_dl_spike.py",
    "spike.complex.Spike": "likewise; tests/spike/test_lava_dl_complex_spike.py",
    "utils.dotdict": "a dictionary",
    "utils.staticproperty": "a decorator",
    "synapse.Synapse": "what the other synapses are made of",
    "synapse.complex.ComplexSynapse": "what the other complex synapses are made of",
}


def is_record(value: Any) -> bool:
    """Whether a class only holds or names values."""
    if isinstance(value, enum.EnumMeta):
        return True
    return isinstance(value, type) and (hasattr(value, "_fields") or hasattr(value, "__dataclass_fields__"))


def test_every_function_is_here() -> None:
    tested = {key.partition(",")[0].removesuffix("()") for key in GOOD}
    tested |= {key.rpartition(".")[0] for key in tested}  # a method
    missing = set()
    for module in MODULES.split():
        for name in importlib.import_module(f"slayerloss.{module}").__all__:
            value = getattr(importlib.import_module(f"slayerloss.{module}"), name)
            keys = {f"{module}.{name}", f"{module.rpartition('.')[2]}.{name}"}
            keys |= {name} if module.startswith(("functional", "neuron")) else set()
            if callable(value) and not is_record(value) and not tested & keys:
                missing.add(f"{module}.{name}")
    assert missing == set(ELSEWHERE)
