"""Networks whose statistics, delays and shapes are no longer those of the start."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import Module


def trained(
    make: Callable[[], tuple[Module, torch.Tensor]], seed: int = 0, longest_delay: float = 12
) -> tuple[Module, torch.Tensor]:
    """What `make` makes, a model and its input, after some passes and with delays drawn anew."""
    torch.manual_seed(seed)
    model, x = make()
    with torch.no_grad():
        for _ in range(3):
            model(x)
        for module in model.modules():
            if hasattr(module, "whole_delay"):
                module.delay.copy_(torch.rand_like(module.delay) * longest_delay)
    return model, x
