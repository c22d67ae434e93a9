"""How neurons show the voltage of a run to those who ask for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from slayerloss._check import check_callable

VoltageHook = Callable[[torch.nn.Module, Tensor], None]


class ShowsVoltage(torch.nn.Module):
    """A neuron whose voltage hooks can see; copies have none of its hooks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._voltage_hooks: OrderedDict[int, VoltageHook] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_voltage_hooks"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._voltage_hooks = OrderedDict()

    def register_voltage_hook(self, hook: VoltageHook) -> RemovableHandle:
        """Have hook(neuron, voltage) called in every run, with what meets the threshold.

        That is the voltage before the reset; of resonators the part of the state that a spike is made of; sigma-delta
        neurons have none. Spikes and gradients stay the same. Neurons other than CUBA call it for each step where they
        hear their own spikes.

        Copies and pickles of the neuron do not have the hook.

        Args:
            hook: function(neuron, voltage) of a voltage (N, C, ..., T), through which gradients flow.

        Returns:
            A handle, whose `remove()` ends it.

        Raises:
            DtypeError: `hook` is no function.

        Example:
            >>> from slayerloss.neuron.cuba import Neuron
            >>> neuron = Neuron(threshold=1.5, current_decay=1.0, voltage_decay=0.0)
            >>> handle = neuron.register_voltage_hook(lambda neuron, voltage: print(voltage))
            >>> spikes = neuron(torch.ones(1, 1, 4))
            tensor([[[1., 2., 1., 2.]]])
            >>> handle.remove()
        """
        check_callable("register_voltage_hook", "hook", hook)
        handle = RemovableHandle(self._voltage_hooks)
        self._voltage_hooks[handle.id] = hook
        return handle

    def shown(self, voltage: Tensor) -> Tensor:
        """A voltage that meets the threshold, once every hook has seen it."""
        for hook in self._voltage_hooks.values():
            hook(self, voltage)
        return voltage
