"""Layers of network files, made by hand: what the tests of netx and those against Lava run."""

from __future__ import annotations

from typing import Any

import numpy as np

NEURON = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 40, "refDelay": 1, "gradedSpike": False}


def weights(rng: np.random.Generator, *shape: int, low: int = -30, high: int = 40) -> np.ndarray:
    """Even integers, as training makes them."""
    return (rng.integers(low // 2, high // 2, shape) * 2).astype(np.float32)


def dense(weight: Any, neuron: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    weight = np.asarray(weight, np.float32)
    layer = {"type": "dense", "shape": [len(weight)], "weight": weight, "neuron": {**NEURON, **(neuron or {})}}
    return {**layer, "inFeatures": weight.shape[1], "outFeatures": len(weight), **fields}


def conv(
    weight: Any,
    size: tuple[int, int],
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    groups: int = 1,
    neuron: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A conv layer that reads images of `size` (H, W)."""
    weight = np.asarray(weight, np.float32)
    geometry = {"stride": list(stride), "padding": list(padding), "dilation": list(dilation)}
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, weight.shape[2:4], stride, padding, dilation, strict=True)
    ]
    layer = {"type": "conv", "shape": [len(weight), *out], "weight": weight, "neuron": {**NEURON, **(neuron or {})}}
    return {**layer, **geometry, "kernelSize": list(weight.shape[2:4]), "groups": groups, **fields}


def flatten(layer: dict[str, Any]) -> dict[str, Any]:
    return {"type": "flatten", "shape": [int(np.prod(layer["shape"])), 1, 1]}


def entrance(*shape: int) -> dict[str, Any]:
    """An input layer without neurons: it says the shape of the input."""
    return {"type": "input", "shape": list(shape)}
