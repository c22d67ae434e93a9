"""What the layers of a model do in a pass, collected by hooks."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from slayerloss._check import check_flag, check_type
from slayerloss.block import SpikingBlock
from slayerloss.functional._tree import Patterns, chosen, uncompiled
from slayerloss.regularizer._calls import Begins, Ends, Hook, Opens, Record, Sends, Shows
from slayerloss.regularizer.activity import LayerActivity


class ActivityCollector:
    """Keep what the layers of a model were given and sent in its last forward pass.

    The model stays as it is: hooks on its modules see each call. They go when the collector is closed, left as a
    context or forgotten. Copies and pickles of the model have hooks that do nothing in their place; their neurons have
    none.

    Args:
        model: any torch.nn.Module, also inside of DistributedDataParallel or torch.compile. Names are those of the
            model inside. Attach before a compiled model runs for the first time.
        layers: patterns of names such as "hidden*", of any modules that answer with spikes (N, C, ..., T), or (spikes,
            ..., voltage); None for every spiking block of this library.
        voltage: also collect what meets the threshold of this library's neurons, with its gradient; spikes and
            gradients stay the same, and the pass takes longer, since the kernels that make spikes at once keep no
            voltage. Of other modules it is what they return last, if that is like the spikes.
        stepwise: a call of a layer is one step, without T; calls of two dimensions, (N, C), always are.

    Raises:
        DtypeError: `model` is no module.
        ArgumentError: a pattern matches nothing; or a neuron cannot show its voltage.

    Example:
        >>> from slayerloss.block import cuba
        >>> neuron = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> model = torch.nn.Sequential(cuba.Dense(neuron, 20, 8), cuba.Dense(neuron, 8, 3))
        >>> with ActivityCollector(model) as collector:
        ...     spikes = model(torch.ones(4, 20, 5))
        ...     {name: tuple(layer.spikes.shape) for name, layer in collector.activity.items()}
        {'0': (4, 8, 5), '1': (4, 3, 5)}

    Note:
        A module that is called several times in a pass, with chunks of time or in several places, counts as one layer
        whose calls follow each other in time; each sample's padding comes after all of them.

        A pass begins where the model is called, or a part of it alone, after the activity was looked at or cleared. It
        is one call of the model; or, with gradients, all of a loop in which each call is one step, (N, C) or T = 1, and
        calls each layer once. Of a loop over longer chunks it is the last. What goes past a module's call, such as
        ``block.run``, is not seen, nor what a checkpoint calls again in the backward pass. torch.compile makes a graph
        for each step of a loop around the model, and one where the loop is inside.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        layers: Patterns | None = None,
        *,
        voltage: bool = False,
        stepwise: bool = False,
    ) -> None:
        name = type(self).__name__
        check_type(name, "model", model, torch.nn.Module, "a torch.nn.Module")
        voltage = check_flag(name, "voltage", voltage)
        self._record = Record(check_flag(name, "stepwise", stepwise))
        model = inner_model(model)
        modules = modules_by_name(model)
        if layers is None:
            modules = {place: module for place, module in modules.items() if isinstance(module, SpikingBlock)}
        taken = {place: modules[place] for place in chosen(name, list(modules), layers)}
        self._hooks: list[tuple[RemovableHandle, Hook]] = []
        self._finalizer = weakref.finalize(self, _end, self._hooks, self._record)
        self._finalizer.atexit = False
        self._put(model.register_forward_pre_hook, Begins(self._record, model), with_kwargs=True)
        self._put(model.register_forward_hook, Ends(self._record))
        neurons = {place: _neuron_of(module) if voltage else None for place, module in taken.items()}
        for neuron in {id(neuron): neuron for neuron in neurons.values() if neuron is not None}.values():
            self._put(neuron.register_voltage_hook, Shows(self._record, neuron))
        for place, module in taken.items():
            neuron = neurons[place]
            if neuron is not None:
                self._put(module.register_forward_pre_hook, Opens(self._record, neuron))
            self._put(module.register_forward_hook, Sends(self._record, module, place, neuron), with_kwargs=True)

    def _put(self, register: Callable[..., RemovableHandle], hook: Hook, **options: bool) -> None:
        self._hooks.append((register(hook, **options), hook))

    @property
    def activity(self) -> dict[str, LayerActivity]:
        """What the layers did in the last pass, by name, in the order of their calls. Looking at it ends the pass."""
        return self._record.activity()

    @property
    def with_gradients(self) -> bool:
        """Whether the last pass was made with gradients enabled."""
        return self._record.with_gradients

    def clear(self) -> None:
        """Forget the last pass, and let its tensors go."""
        self._record.clear()

    def pause(self) -> None:
        """Take the hooks off the model until `resume`, and forget the last pass."""
        for handle, _ in self._hooks:
            hooks = handle.hooks_dict_ref()
            if hooks is not None:
                hooks.pop(handle.id, None)
        self._record.clear()

    def resume(self) -> None:
        """Put the hooks where they were before `pause`: to a compiled model they are the same, so it stays compiled."""
        for handle, hook in self._hooks:
            hooks = handle.hooks_dict_ref()
            if hooks is not None:
                hooks[handle.id] = hook

    def close(self) -> None:
        """Take the hooks off the model and forget the last pass."""
        self._finalizer()

    def __enter__(self) -> ActivityCollector:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def modules_by_name(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """A model and its parts by name; of one that is distributed or compiled, those of the model inside."""
    model = inner_model(model)
    return {uncompiled(at) or type(model).__name__.lower(): module for at, module in model.named_modules()}


def inner_model(model: torch.nn.Module) -> torch.nn.Module:
    """The model inside of what distributes or compiles it."""
    inner = model.module if isinstance(model, (DataParallel, DistributedDataParallel)) else model
    inner = getattr(inner, "_orig_mod", inner)
    return model if inner is model else inner_model(inner)


def _neuron_of(module: torch.nn.Module) -> Any:
    """The neurons of a layer that show their voltage, or None."""
    for part in (module, getattr(module, "neuron", None)):
        if hasattr(part, "register_voltage_hook"):
            return part
    return None


def _end(hooks: list[tuple[RemovableHandle, Hook]], record: Record) -> None:
    for handle, _ in hooks:
        handle.remove()
    hooks.clear()
    record.clear()
