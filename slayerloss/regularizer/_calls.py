"""What hooks keep of a forward pass, and how several calls of one module become one activity."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss._check import ShapeError, check_type, message
from slayerloss.functional.events import time_mask
from slayerloss.functional.sparse import is_sparse
from slayerloss.regularizer.activity import LayerActivity


class Call(NamedTuple):
    """One call of a module; the names are those of `LayerActivity`."""

    module: torch.nn.Module
    inputs: Any
    spikes: Tensor
    voltage: Tensor | None
    lengths: Tensor | None


class Record:
    """What the hooks of one collector keep: nothing that leads back to the collector.

    Args:
        stepwise: a call of a layer is one step, without T.
    """

    def __init__(self, stepwise: bool) -> None:
        self.stepwise = stepwise
        self.calls: dict[str, list[Call]] = {}
        self.voltages: dict[int, list[Tensor]] = {}
        """Of the neuron with this id, until its layer's call ends."""
        self.whole: tuple[Any, Tensor | None] = (None, None)
        """Inputs and lengths of the call of the whole model."""
        self.num_wholes = 0
        """How often the model was called in this pass."""
        self.complete = False
        """Whether the last call of the model has come to its end."""
        self.with_gradients = True
        """Whether the pass is one with gradients."""
        self.over = True
        """Whether the next call belongs to another pass."""

    def begin(self, inputs: Any, lengths: Tensor | None) -> None:
        """The model is called: that is another step of the pass, or a new pass begins."""
        if self.over or not self._may_go_on():
            self.clear()
        self.over, self.with_gradients, self.whole = False, torch.is_grad_enabled(), (inputs, lengths)
        self.num_wholes, self.complete = self.num_wholes + 1, False

    def _may_go_on(self) -> bool:
        """Whether this was a pass with gradients in which each call of the model called each layer for one step."""
        if not (self.complete and self.with_gradients and torch.is_grad_enabled()):
            return False
        return all(len(calls) == self.num_wholes and self._is_step(calls[-1]) for calls in self.calls.values())

    def add(self, name: str, call: Call) -> None:
        """A layer has sent spikes; also one that is called without the model, where a pass is over."""
        if self.over:
            self.clear()
            self.over = False
        self.calls.setdefault(name, []).append(call)

    def _is_step(self, call: Call) -> bool:
        return self._is_without_time(call) or call.spikes.shape[-1] == 1

    def _is_without_time(self, call: Call) -> bool:
        return self.stepwise or call.spikes.ndim == 2

    def activity(self) -> dict[str, LayerActivity]:
        """What the layers did, by name; that ends the pass."""
        self.over = True
        return {name: self._joined(name, calls) for name, calls in self.calls.items()}

    def _joined(self, name: str, calls: list[Call]) -> LayerActivity:
        """The calls of a layer, one after the other in time."""
        each = [_with_time(call) if self._is_without_time(call) else call for call in calls]
        first = each[0]
        activity = LayerActivity(name, *(first if len(each) == 1 else _in_a_row(name, each)))
        inputs, lengths = self.whole
        if lengths is None or place_of_lengths(first.module) is not None:
            return activity
        sizes = [(len(x), x.shape[-1]) for x in (inputs, activity.spikes) if isinstance(x, Tensor)]
        return activity._replace(lengths=lengths) if sizes[1:] == sizes[:1] else activity

    def clear(self) -> None:
        self.calls.clear()
        self.voltages.clear()
        self.whole, self.num_wholes = (None, None), 0
        self.with_gradients = self.over = True


class Silent:
    """What stands in a copy of a model in the place of a hook, which would keep another model's tensors."""

    def __call__(self, *args: Any) -> None:
        pass


class Hook:
    """A hook that copies of the model do not have."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def __deepcopy__(self, memo: Any) -> Silent:
        return Silent()

    def __reduce__(self) -> Any:
        return Silent, ()


class CallHook(Hook):
    """A hook that looks at the arguments of a module's call."""

    def __init__(self, record: Record, module: torch.nn.Module) -> None:
        super().__init__(record)
        self.place = place_of_lengths(module)

    def lengths(self, args: Any, kwargs: Any) -> Tensor | None:
        """The argument `lengths`."""
        given: Tensor | None = kwargs.get("lengths")
        if self.place is not None and len(args) > self.place:
            given = args[self.place]
        return given


class Begins(CallHook):
    """Before the model is called."""

    def __call__(self, module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        if not _in_backward():
            self.record.begin(_first(args, kwargs), self.lengths(args, kwargs))


class Ends(Hook):
    """After the model was called."""

    def __call__(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        self.record.complete = True


class Opens(Hook):
    """Before a layer is called: its neurons show their voltage from now on."""

    def __init__(self, record: Record, neuron: torch.nn.Module) -> None:
        super().__init__(record)
        self.key = id(neuron)

    def __call__(self, module: torch.nn.Module, args: Any) -> None:
        self.record.voltages[self.key] = []


class Shows(Opens):
    """In a run of neurons: their voltage, in parts where neurons that hear each other go step by step."""

    def __call__(self, neuron: torch.nn.Module, voltage: Tensor) -> None:
        if self.key in self.record.voltages:
            self.record.voltages[self.key].append(voltage)


class Sends(CallHook):
    """After a layer was called: its spikes, or the spikes and more."""

    def __init__(self, record: Record, module: torch.nn.Module, name: str, neuron: torch.nn.Module | None) -> None:
        super().__init__(record, module)
        self.name, self.key = name, id(neuron)

    def __call__(self, module: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        spikes = output[0] if isinstance(output, (tuple, list)) and output else output
        rule = "spikes (N, C, ..., T), or a tuple whose first they are"
        check_type("ActivityCollector", f"what {self.name!r} answers", spikes, Tensor, rule)
        shown = self.record.voltages.pop(self.key, None)
        voltage = _voltage_of(output) if shown is None else torch.cat(shown, -1) if shown else None
        call = Call(module, _first(args, kwargs), spikes, voltage, self.lengths(args, kwargs))
        if not _in_backward():
            self.record.add(self.name, call)


def _in_backward() -> bool:
    """Whether gradients are on their way: what is called then repeats a call that there was, as checkpoints do."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def _first(args: Any, kwargs: Any) -> Any:
    """The first argument of a call."""
    return args[0] if args else next(iter(kwargs.values()), None)


def _voltage_of(output: Any) -> Tensor | None:
    """What a cell returns last, if it is like the spikes that it returns first."""
    if not isinstance(output, (tuple, list)) or len(output) < 2:
        return None
    spikes, last = output[0], output[-1]
    tensors = isinstance(spikes, Tensor) and isinstance(last, Tensor)
    return last if tensors and last.shape == spikes.shape else None


def place_of_lengths(module: torch.nn.Module) -> int | None:
    """Which argument of a module's `forward` is called `lengths`."""
    names = list(inspect.signature(module.forward).parameters)
    return names.index("lengths") if "lengths" in names else None


def _with_time(call: Call) -> Call:
    """A call for one step, (N, C, ...), as one for T = 1."""
    module, *parts, lengths = call
    inputs, spikes, voltage = (x[..., None] if isinstance(x, Tensor) else x for x in parts)
    return Call(module, inputs, spikes, voltage, lengths)


def _in_a_row(name: str, calls: list[Call]) -> Call:
    shapes = {tuple(call.spikes.shape[:-1]) for call in calls}
    if len(shapes) > 1:
        problem, rule = f"{name} was called with batches of different shapes", "one shape in a pass, but for T"
        way_out = "Collect modules that are called with one"
        raise ShapeError(message("ActivityCollector", problem, rule, sorted(shapes), way_out))
    order: Tensor | None = None
    lengths: Tensor | None = None
    if any(call.lengths is not None for call in calls):
        steps = [_steps(call) for call in calls]
        masks = [time_mask(own, call.spikes.shape[-1]) for own, call in zip(steps, calls, strict=True)]
        order = torch.cat(masks, -1).logical_not().byte().argsort(dim=-1, stable=True)
        lengths = torch.stack(steps).sum(0)
    modules, *parts, _ = zip(*calls, strict=True)
    inputs, spikes, voltage = (_row(list(values), order) for values in parts)
    return Call(modules[0], inputs, spikes, voltage, lengths)


def _steps(call: Call) -> Tensor:
    """The steps of each sample that count in a call, (N,)."""
    spikes = call.spikes
    return torch.full((len(spikes),), spikes.shape[-1], device=spikes.device) if call.lengths is None else call.lengths


def _row(values: list[Any], order: Tensor | None) -> Any:
    """Tensors (N, ..., T) one after the other; in an `order` (N, steps) that has all of a sample's padding last."""
    if any(value is None for value in values):
        return None
    if isinstance(values[0], tuple):
        return tuple(_row(list(parts), order) for parts in zip(*values, strict=True))
    if order is None:
        return torch.cat(values, -1)
    row = torch.cat([value.to_dense() if is_sparse(value) else value for value in values], -1)
    return row.gather(-1, order.reshape(len(row), *[1] * (row.ndim - 2), -1).expand_as(row))
