"""The exponential moving average of a network, which is often a better network than the last one of a training."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from slayerloss._check import check_range


class Average(Callback):
    """Validates, tests and saves the average of the network's parameters and running statistics (its buffers of a float
    dtype), while the training goes on with its own.

    mean = decay mean + (1 - decay) value, after each step of the optimiser

    A checkpoint's state dict holds the average; what the training goes on with is beside it.

    Args:
        decay: in [0, 1).

    References:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
    """

    def __init__(self, decay: float) -> None:
        check_range("recipe", "average", decay, 0, 0.999999)
        self.decay = decay
        self.mean: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = _values(pl_module)  # a mean that was read from a checkpoint is on the CPU
        self.mean = {name: self.mean.get(name, x).detach().clone().to(x.device) for name, x in values.items()}

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        for name, value in _values(pl_module).items():
            self.mean[name] = self.mean[name].lerp(value, 1 - self.decay)  # a norm learns its size from the first batch

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._exchange(pl_module)

    on_validation_end = on_validation_start

    @torch.no_grad()
    def _exchange(self, module: pl.LightningModule) -> None:
        """The network takes the average, and the average the network's values; a second time all is as before."""
        values = _values(module)
        for name, mean in self.mean.items():
            other = mean.clone()
            mean.copy_(values[name])
            values[name].copy_(other)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = checkpoint["state_dict"]
        checkpoint["trained"] = {name: state[name] for name in self.mean}
        state.update({name: mean.clone() for name, mean in self.mean.items()})

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn == "fit":  # a test measures the average
            self.mean = {name: checkpoint["state_dict"][name].clone() for name in checkpoint["trained"]}
            with torch.no_grad():
                values = _values(pl_module)
                for name, trained in checkpoint["trained"].items():
                    values[name].copy_(trained)


def _values(module: torch.nn.Module) -> dict[str, Tensor]:
    """What is averaged: the parameters, and the buffers of a float dtype that a checkpoint holds."""
    state = module.state_dict(keep_vars=True)
    return {name: x for name, x in state.items() if isinstance(x, Tensor) and x.is_floating_point()}
