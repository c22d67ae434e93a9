"""Keys of a state dict that say more of themselves, in the error of `load_state_dict` for that of another network."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch


class Key(str):
    """A key as any other, but for what is printed of it."""

    note: str

    def __format__(self, spec: str) -> str:
        return f"{self!s} {self.note}"


def key(name: str, value: Any, kind: str | None) -> Key:
    """A key with the shape of its value, and what it looks like.

    Example:
        >>> f"{key('0.neuron.sin_decay', torch.ones(1), 'RF')}"
        '0.neuron.sin_decay (1,) of RF'
    """
    noted = Key(name)
    noted.note = str(tuple(getattr(value, "shape", ()))) + (f" of {kind}" if kind else "")
    return noted


def neuron_with(names: Collection[str]) -> str | None:
    """The neuron that has parameters of these names, ours or lava-dl's; None if there is no telling.

    Example:
        >>> neuron_with(["sin_decay", "cos_decay"]), neuron_with(["current_decay", "threshold_decay"])
        ('RF or RF_IZ', 'ALIF')
    """
    adapts = "threshold_decay" in names
    if "delta.threshold" in names:
        return "sigma-delta"
    if "sin_decay" in names or "log_decay" in names:
        return "ADRF or ADRF_IZ" if adapts else "RF or RF_IZ"
    if "current_decay" in names:
        return "ALIF" if adapts else "CUBA"
    return None


class ExplainsKeys(torch.nn.Module):
    """A module whose missing and unexpected keys are printed with their shapes, and with the neuron they look like."""

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        lists = missing_keys, unexpected_keys
        own = {f"{prefix}{name}": value for name, value in self.state_dict().items()}
        saved = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
        known = [len(keys) for keys in lists]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *lists, error_msgs)
        for keys, number, state in zip(lists, known, (own, saved), strict=True):
            kind = neuron_with([name.removeprefix(prefix) for name in state])
            keys[number:] = [key(name, state.get(name), kind) for name in keys[number:]]
