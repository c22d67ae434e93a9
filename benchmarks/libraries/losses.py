"""The losses of slayerloss and of lava-dl, whose arguments are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from libraries.operation import Operation, random_labels, random_spikes

TRUE_RATE, FALSE_RATE = 0.2, 0.03
TIME_CONSTANT, LENGTH = 5.0, 100
WINDOW = 20

Loss = Callable[[Tensor, Tensor], Tensor]


def arguments_of(kind: str, shape: Sequence[int], window: int | None) -> tuple[Tensor, Tensor]:
    """Spikes, with a gradient to be had, and the labels, or the target of SpikeTime."""
    spikes = random_spikes(shape).requires_grad_()
    if kind == "SpikeTime":
        return spikes, random_spikes(shape, seed=1)
    return spikes, random_labels(shape, every_step=window is not None)


def loss_operation(loss: Loss, kind: str, shape: Sequence[int], window: int | None) -> Operation:
    """A loss and its gradient, on what all libraries are given."""
    spikes, wanted = arguments_of(kind, shape, window)
    return Operation(lambda: loss(spikes, wanted), (spikes,), data=spikes)


def slayer_loss(slayer: Any, kind: str, window: int | None, mode: str | None) -> Loss:
    """The module, of slayerloss or lava-dl."""
    if kind == "SpikeTime":
        module = slayer.loss.SpikeTime(time_constant=TIME_CONSTANT, length=LENGTH)
    elif kind == "SpikeRate":
        module = slayer.loss.SpikeRate(true_rate=TRUE_RATE, false_rate=FALSE_RATE, moving_window=window)
    else:
        module = slayer.loss.SpikeMax(moving_window=window, mode=mode)
    loss: Loss = module
    return loss


def ours(shape: Sequence[int], kind: str, window: int | None = None, mode: str | None = None) -> Operation:
    """slayerloss.loss."""
    import slayerloss

    return loss_operation(slayer_loss(slayerloss, kind, window, mode), kind, shape, window)


def lava_dl(shape: Sequence[int], kind: str, window: int | None = None, mode: str | None = None) -> Operation:
    """lava.lib.dl.slayer.loss."""
    from lava.lib.dl import slayer

    return loss_operation(slayer_loss(slayer, kind, window, mode), kind, shape, window)


OPERATIONS = {"loss": ours, "lava-dl loss": lava_dl}
