"""The exponential moving average of the parameters, which is often a better network than the last one of a training."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from slayerloss._check import check_range


class Average(Callback):
    """Validates, tests and saves the average of the network's parameters, while the training goes on with its own.

    mean = decay mean + (1 - decay) parameter, after each step of the optimiser

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
        if not self.mean:
            self.mean = _copies(pl_module)

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        for name, parameter in pl_module.named_parameters():
            self.mean[name].lerp_(parameter, 1 - self.decay)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._exchange(pl_module)

    on_validation_end = on_validation_start

    @torch.no_grad()
    def _exchange(self, module: pl.LightningModule) -> None:
        """The network takes the average, and the average the network's parameters; a second time all is as before."""
        for name, parameter in module.named_parameters():
            if name in self.mean:
                other = self.mean[name].clone()
                self.mean[name].copy_(parameter)
                parameter.copy_(other)

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
                for name, parameter in pl_module.named_parameters():
                    parameter.copy_(checkpoint["trained"][name])


def _copies(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
