"""Events, and the check that a file becomes blocks that spike as it does."""

from __future__ import annotations

from typing import Any

import torch

from slayerloss import netx

Layers = list[dict[str, Any]]


def events(*shape: int, rate: float = 0.3, seed: int = 0) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def assert_rebuilt(
    layers: Layers | netx.Description, x: torch.Tensor, arithmetic: str = "lava", **options: Any
) -> tuple[Any, netx.Comparison]:
    """The blocks spike as the file does and say what it says."""
    file = netx.describe(layers) if isinstance(layers, list) else layers
    model = netx.to_torch(file, **options)
    comparison = netx.compare(model, file, x, arithmetic=arithmetic)
    assert not any(comparison.spikes_differ), str(comparison)
    assert not comparison.fields_differ, str(comparison)
    return model, comparison
