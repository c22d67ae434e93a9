"""Forward and backward of the sigma-delta PilotNet of lava-dl's tutorial, in slayerloss and in lava-dl.

Weight norm, mean-only batch norm, dropout and learnable thresholds, as there. The frames are new noise in every step,
or a picture that moves by a pixel a step, which is what the network is made for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from libraries.operation import Operation


def network(slayer: Any) -> torch.nn.Sequential:
    """Input, 4 convolutions, 3 dense layers, and the output."""
    torch.manual_seed(0)
    plain = {"threshold": 0.1, "tau_grad": 0.5, "scale_grad": 1, "requires_grad": True, "activation": torch.relu}
    blocks = slayer.block.sigma_delta

    def hidden() -> dict[str, Any]:
        return {**plain, "norm": slayer.neuron.norm.MeanOnlyBatchNorm, "dropout": slayer.neuron.Dropout(p=0.2)}

    options = {"weight_scale": 2, "weight_norm": True}
    return torch.nn.Sequential(
        blocks.Input(plain),
        blocks.Conv(hidden(), 3, 24, 3, stride=2, padding=0, **options),
        blocks.Conv(hidden(), 24, 36, 3, stride=2, padding=0, **options),
        blocks.Conv(hidden(), 36, 64, 3, stride=(2, 1), padding=(1, 0), **options),
        blocks.Conv(hidden(), 64, 64, 3, stride=1, padding=0, **options),
        blocks.Flatten(),
        blocks.Dense(hidden(), 2560, 100, **options),
        blocks.Dense(hidden(), 100, 50, **options),
        blocks.Dense(hidden(), 50, 10, **options),
        blocks.Output(plain, 10, 1, **options),
    )


def frames(shape: Sequence[int], picture: str) -> torch.Tensor:
    """(N, 3, H, W, T) in [0, 1]."""
    samples, channels, height, width, steps = shape
    generator = torch.Generator().manual_seed(0)
    if picture == "noise":
        return torch.rand(*shape, generator=generator)
    coarse = torch.rand(samples, channels, height // 4 + steps, width // 4 + steps, generator=generator)
    whole = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")
    return torch.stack([whole[:, :, t // 2 :, t:][:, :, :height, :width] for t in range(steps)], -1)


class PilotNet(Operation):
    """Forward and the square of the steering angle; then backward."""

    def __init__(self, slayer: Any, shape: Sequence[int], picture: str) -> None:
        self.network = network(slayer)
        self.frames = frames(shape, picture)
        super().__init__(self._forward, data=self.frames)

    def _forward(self) -> torch.Tensor:
        return self.network(self.frames).square().mean()

    def call(self) -> tuple[float, float]:
        """Seconds of the two halves."""
        self.network.zero_grad()
        start = time.perf_counter()
        loss = self.forward()
        middle = time.perf_counter()
        loss.backward()
        end = time.perf_counter()
        self.value = loss.item()
        return middle - start, end - middle


def ours(shape: Sequence[int], picture: str) -> Operation:
    """slayerloss."""
    import slayerloss

    return PilotNet(slayerloss, shape, picture)


def lava_dl(shape: Sequence[int], picture: str) -> Operation:
    """lava-dl."""
    from lava.lib.dl import slayer

    return PilotNet(slayer, shape, picture)


OPERATIONS = {"pilotnet": ours, "lava-dl pilotnet": lava_dl}
