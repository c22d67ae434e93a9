"""Which calls of a model are the pass that a loss is about."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from slayerloss import ArgumentError, DtypeError, ShapeError, block
from slayerloss.regularizer import ActivityCollector, LayerActivity, Penalty, Regularized

EVENTS = (torch.rand(3, 6, 12, generator=torch.Generator().manual_seed(0)) < 0.5).float()


def total(activity: LayerActivity) -> Tensor:
    return activity.spikes.sum()


def mean(spikes: Tensor, target: Any) -> Tensor:
    return spikes.mean()


class Rectifier(torch.nn.Module):
    """One step, or several in a loop."""

    def __init__(self, loop: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inside = torch.nn.Linear(6, 4)
        self.rates = torch.nn.ReLU()
        self.loop = loop

    def forward(self, x: Tensor) -> Tensor:
        if self.loop:
            return torch.stack([self.rates(self.inside(step)) for step in x.unbind(-1)], -1)
        return self.rates(self.inside(x))


def over_time(model: torch.nn.Module, x: Tensor = EVENTS) -> Tensor:
    return torch.stack([model(step) for step in x.unbind(-1)], -1)


def test_a_loop_around_the_model_is_one_pass() -> None:
    model, looping = Rectifier(loop=False), Rectifier(loop=True)
    losses = [Regularized(mean, {"events": Penalty(total, layers="rates")}, of) for of in (model, looping)]
    for scale in (1.0, 0.5):  # the second pass knows nothing of the first
        found, expected = losses[0](over_time(model, scale * EVENTS), None), losses[1](looping(scale * EVENTS), None)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(losses[0].terms["events"], over_time(model, scale * EVENTS).sum().detach())
        losses[0].clear()
    found.backward()
    expected.backward()
    torch.testing.assert_close(model.inside.weight.grad, looping.inside.weight.grad)


def test_a_loop_of_calls_with_space_is_one_pass_if_that_is_said() -> None:
    model = Rectifier(loop=False)
    x = EVENTS.reshape(3, 1, 6, 12).requires_grad_()
    with ActivityCollector(model, "rates", stepwise=True) as collector:
        y = over_time(model, x)
        assert torch.equal(collector.activity["rates"].spikes, y)


def test_a_loop_inside_of_the_model_ends_with_its_call() -> None:
    model = Rectifier(loop=True)
    with ActivityCollector(model, "rates") as collector:
        for x in (EVENTS, EVENTS[:2]):
            y = model(x)
        assert torch.equal(collector.activity["rates"].spikes, y)


def test_without_gradients_nothing_is_gathered() -> None:
    model = Rectifier(loop=False)
    with ActivityCollector(model, "rates") as collector:
        with torch.no_grad():
            over_time(model)
        assert collector.activity["rates"].spikes.shape == (3, 4, 1)
        with torch.no_grad():
            over_time(model)
        y = over_time(model)
        assert torch.equal(collector.activity["rates"].spikes, y)


def test_a_loss_without_penalties_on_activity_now_ends_the_pass() -> None:
    model = Rectifier(loop=False)
    loss = Regularized(mean, {"events": Penalty(total, 1.0, lambda progress: float(progress > 0.5), "rates")}, model)
    for progress in (0.0, 1.0):
        loss.progress = progress
        y = over_time(model)
        loss(y, None)
    torch.testing.assert_close(loss.terms["events"], y.sum().detach())
    loss.eval()(over_time(model), None)
    y = over_time(model)
    loss.train()(y, None)
    torch.testing.assert_close(loss.terms["events"], y.sum().detach())


def test_blocks_that_are_called_for_single_steps() -> None:
    neuron = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1, "persistent_state": True}
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(block.cuba.Dense(neuron, *size, weight_scale=4) for size in ((6, 5), (5, 3))))
    loss = Regularized(mean, {"events": total}, model)
    for layer in model:
        layer.persistent_state = True
    y = torch.cat([model(EVENTS[..., i : i + 1]) for i in range(12)], -1)
    loss(y, None)
    first = loss.terms["events"]
    with ActivityCollector(model) as collector:
        torch.cat([model(EVENTS[..., i : i + 1]) for i in range(12)], -1)
        assert collector.activity["0"].spikes.shape == (3, 5, 12)
    assert first > 0


@pytest.mark.parametrize("layers", ["rates", ["inside", "rates"]])
def test_a_checkpoint_repeats_calls_that_there_were(layers: Any) -> None:
    model = Rectifier(loop=False)
    loss = Regularized(mean, {"events": Penalty(total, layers=layers)}, model)
    values = []
    for _ in range(3):
        steps = [checkpoint(model, step, use_reentrant=False) for step in EVENTS.unbind(-1)]
        loss(torch.stack(steps, -1), None).backward()
        values.append(loss.terms["events"])
    loss(over_time(model), None)
    torch.testing.assert_close(values, [loss.terms["events"]] * 3)


@pytest.mark.parametrize("steps", [0, 5])
def test_a_step_that_fails_ends_the_pass(steps: int) -> None:
    class Fails(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.isnan().any():
                raise ValueError("on purpose")
            return x

    model = torch.nn.Sequential(Rectifier(loop=False), Fails(), torch.nn.ReLU())
    with ActivityCollector(model, ["0", "2"]) as collector:
        over_time(model, EVENTS[..., :steps]) if steps else None
        with pytest.raises(ValueError, match="on purpose"):
            model(EVENTS[..., 0] * torch.nan)
        y = over_time(model)
        assert torch.equal(collector.activity["0"].spikes, y)
        assert torch.equal(collector.activity["2"].spikes, y)


def test_parts_that_are_called_alone_begin_a_pass() -> None:
    model = Rectifier(loop=False)
    loss = Regularized(mean, {"events": Penalty(total, layers="rates")}, model)
    with torch.no_grad():
        model(EVENTS[..., 0])
    loss.clear()
    for _ in range(2):
        y = model.rates(model.inside(EVENTS[..., 0]))
        loss(y, None).backward()
        torch.testing.assert_close(loss.terms["events"], y.sum().detach())


def test_any_answer_may_be_given_to_the_loss() -> None:
    model = Rectifier(loop=False)
    loss = Regularized(mean, {"events": Penalty(total, layers="rates")}, model)
    for answer in (lambda y: y.movedim(-1, 0), lambda y: y.sum()):
        y = over_time(model)
        loss(answer(y), None)
        torch.testing.assert_close(loss.terms["events"], y.sum().detach())


def make() -> tuple[torch.nn.Module, Regularized]:
    neuron = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1}
    model = torch.nn.Sequential(block.cuba.Dense(neuron, 6, 5), block.cuba.Dense(neuron, 5, 3))
    return model, Regularized(mean, {"events": total}, model)


def test_a_call_without_gradients_in_between_is_refused() -> None:
    model, loss = make()
    y = model(EVENTS)
    with torch.no_grad():
        model(EVENTS)
    with pytest.raises(ArgumentError, match=r"without gradients after the pass.*Call the loss first, or"):
        loss(y, None)
    y = model(EVENTS)
    loss.pause()
    with torch.no_grad():
        model(EVENTS)
    loss.resume()
    with pytest.raises(ArgumentError, match="has sent nothing"):
        loss(y, None)
    with torch.no_grad():  # a validation with its penalties
        assert loss(model(EVENTS), None) > 0


def test_other_samples_than_those_of_the_loss_are_refused() -> None:
    model, loss = make()
    y = model(EVENTS)
    model(EVENTS[:2])
    with pytest.raises(ShapeError, match=r"layer '0' has sent other samples.*\(3, C, ..., T\), got \(2, 5, 12\)"):
        loss(y, None)


@pytest.mark.parametrize("answer", [{"spikes": EVENTS}, [], "spikes", None])
def test_layers_answer_with_spikes(answer: Any) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: Tensor) -> Any:
            return answer

    model = Odd()
    with ActivityCollector(model, "odd"), pytest.raises(DtypeError, match=r"what 'odd' answers.*a tuple whose first"):
        model(EVENTS)
