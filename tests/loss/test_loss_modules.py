"""The modules: the functions' values, lava-dl's argument order, arguments checked at once, buffers, pickle, copies."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import slayerloss as slayer
from slayerloss import ArgumentError, functional
from slayerloss.loss import SparsityEnforcer, SpikeMax, SpikeMoid, SpikeRate, SpikeTime

SPIKES = (torch.rand(3, 4, 12, generator=torch.Generator().manual_seed(0)) < 0.4).float()
LABELS = torch.tensor([0, 3, -1])
LENGTHS = torch.tensor([12, 5, 8])
WEIGHTS = [1.0, 2.0, 0.5, 3.0]


@pytest.mark.parametrize(
    ("module", "function", "positional", "keywords"),
    [
        (SpikeMax, functional.spike_max, (3, "softmax", "mean"), {"temperature": 0.5, "label_smoothing": 0.1}),
        (SpikeMax, functional.spike_max, (3,), {"start": "seen"}),
        (SpikeRate, functional.spike_rate, (0.6, 0.1, 3, "mean"), {"start": "seen"}),
        (SpikeMoid, functional.spike_moid, (3, "mean", 0.2, 0.3), {"start": "seen"}),
    ],
)
def test_a_module_is_its_function(module: type, function: object, positional: tuple, keywords: dict) -> None:
    assert callable(function)
    keywords = {**keywords, "ignore_index": -1, "class_weights": WEIGHTS}
    loss = module(*positional, **keywords)(SPIKES, LABELS, LENGTHS)
    torch.testing.assert_close(loss, function(SPIKES, LABELS, *positional, lengths=LENGTHS, **keywords))


def test_spike_time_is_its_function() -> None:
    desired = SPIKES.flip(0)
    module = SpikeTime(2, 5, 3, "mean", normalize="area")
    expected = functional.spike_time(SPIKES, desired, 2, 5, 3, "mean", normalize="area", lengths=LENGTHS)
    torch.testing.assert_close(module(SPIKES, desired, lengths=LENGTHS), expected)


@pytest.mark.parametrize(
    ("module", "arguments", "of_forward"),
    [  # the arguments of lava.lib.dl.slayer.loss, in its order, with its defaults
        (SpikeTime, {"time_constant": 5, "length": 100, "filter_order": 1, "reduction": "sum"}, ["input", "desired"]),
        (
            SpikeRate,
            {"true_rate": ..., "false_rate": ..., "moving_window": None, "reduction": "sum"},
            ["input", "label"],
        ),
        (SpikeMax, {"moving_window": None, "mode": "probability", "reduction": "sum"}, ["input", "label"]),
        (SpikeMoid, {"moving_window": None, "reduction": "sum", "alpha": 1, "theta": 0}, ["input", "label"]),
        (SparsityEnforcer, {"max_rate": 0.01, "lam": 1.0}, ["x"]),
    ],
)
def test_arguments_of_lava_dl(module: type, arguments: dict[str, object], of_forward: list[str]) -> None:
    parameters = list(inspect.signature(module).parameters.values())
    positional = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    defaults = {p.name: ... if p.default is inspect.Parameter.empty else p.default for p in positional}
    assert list(defaults.items()) == list(arguments.items())
    call = module.append if module is SparsityEnforcer else module.forward
    assert list(inspect.signature(call).parameters)[1 : 1 + len(of_forward)] == of_forward


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: SpikeMax(mode="probabilty"), "mode is unknown; .* Did you mean 'probability'"),
        (lambda: SpikeMax(0), "moving_window is out of range"),
        (lambda: SpikeMax(class_weights=[-1.0, 1.0]), "class_weights is out of range"),
        (lambda: SpikeRate(2.0, 0.1), "true_rate is out of range"),
        (lambda: SpikeMoid(alpha=0), "alpha is out of range"),
        (lambda: SpikeTime(0), "time_constant is out of range"),
        (lambda: SparsityEnforcer(-0.1), "SparsityEnforcer: max_rate is out of range"),
        (lambda: SparsityEnforcer(0.1, min_rate=0.2), "SparsityEnforcer: max_rate is out of range; .* at least 0.2"),
    ],
)
def test_arguments_are_checked_at_construction(build: object, text: str) -> None:
    assert callable(build)
    with pytest.raises(ArgumentError, match=text):
        build()


def test_class_weights_are_a_buffer_outside_the_state_dict() -> None:
    module = SpikeMax(class_weights=WEIGHTS)
    assert module.state_dict() == {}
    assert module.class_weights is not None
    assert module.double().class_weights.dtype == torch.float64
    assert SpikeMax(class_weights=torch.tensor([1, 2, 3, 4]))(SPIKES, LABELS.abs()).isfinite()


@pytest.mark.parametrize(
    "module",
    [SpikeMax(3, class_weights=WEIGHTS), SpikeRate(0.6, 0.1), SpikeMoid(), SpikeTime()],
    ids=lambda m: type(m).__name__,
)
def test_modules_are_copied_pickled_and_saved(module: torch.nn.Module) -> None:
    target = SPIKES.flip(0) if isinstance(module, SpikeTime) else LABELS.abs()
    expected = module(SPIKES, target)
    stream = io.BytesIO()
    torch.save(module, stream)
    stream.seek(0)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(stream, weights_only=False)):
        torch.testing.assert_close(other(SPIKES, target), expected)


def test_sparsity_enforcer_collects_until_cleared() -> None:
    enforcer = SparsityEnforcer(0.1, 2.0)
    assert enforcer.loss.shape == ()
    assert enforcer.loss.item() == 0
    layers = [SPIKES.clone().requires_grad_(), SPIKES[:, :2].clone().requires_grad_()]
    enforcer.append(layers[0])
    enforcer.append(layers[1], LENGTHS)
    expected = functional.sparsity(layers[0], 0.1, 2.0) + functional.sparsity(layers[1], 0.1, 2.0, lengths=LENGTHS)
    torch.testing.assert_close(enforcer.loss, expected)
    enforcer.loss.backward()
    assert all(layer.grad is not None and layer.grad.abs().sum() > 0 for layer in layers)
    enforcer.clear()
    assert enforcer.loss.item() == 0


def test_sparsity_enforcer_with_a_lower_rate_is_per_channel() -> None:
    enforcer = SparsityEnforcer(0.3, 2.0, min_rate=0.2)
    enforcer.append(SPIKES, LENGTHS)
    torch.testing.assert_close(enforcer.loss, functional.rate_band(SPIKES, 0.2, 0.3, 2.0, lengths=LENGTHS))
    torch.testing.assert_close(enforcer.penalty(SPIKES), functional.rate_band(SPIKES, 0.2, 0.3))
    assert len(enforcer.loss_list) == 1  # that one was not kept


def test_the_name_that_projects_import() -> None:
    assert slayer.loss.SpikeRate is SpikeRate


@pytest.mark.parametrize(
    "loss",
    [
        SpikeMax(3, "softmax", ignore_index=-1, class_weights=WEIGHTS, label_smoothing=0.1, temperature=0.5),
        SpikeMax(reduction="mean", ignore_index=-1),
        SpikeRate(0.6, 0.1, 3, "none", ignore_index=-1, class_weights=WEIGHTS),
        SpikeMoid(3, "mean", 0.2, 0.3, ignore_index=-1, start="seen"),
        SpikeTime(2, 5, 3, "mean", normalize="area"),
        SpikeTime(2, None),
        lambda x, y, lengths: enforced(SparsityEnforcer(0.1), x, lengths),
        lambda x, y, lengths: enforced(SparsityEnforcer(0.3, min_rate=0.2), x, lengths),
    ],
    ids=["max", "max mean", "rate", "moid", "time", "time uncut", "sparsity", "band"],
)
def test_every_loss_compiles_into_one_graph_with_its_gradient(loss: Callable[..., Tensor]) -> None:
    torch.compiler.reset()
    target = SPIKES.flip(0) if isinstance(loss, SpikeTime) else LABELS
    results = []
    for run in (loss, torch.compile(loss, backend="eager", fullgraph=True)):
        x = SPIKES.clone().requires_grad_()
        value = run(x, target, LENGTHS)
        results.append((value, torch.autograd.grad(value.sum(), x)[0]))
    assert results[0][1].any()
    torch.testing.assert_close(results[1], results[0])


def enforced(enforcer: SparsityEnforcer, x: Tensor, lengths: Tensor) -> Tensor:
    """The penalty of one layer."""
    enforcer.append(x, lengths)
    return enforcer.loss
