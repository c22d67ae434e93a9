"""What the synapses share: the weight, its normalisation and quantisation, and lava-dl's names for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, ShapeError, check_callable, check_finite, check_flag, check_tensor, message
from slayerloss.functional._keys import ExplainsKeys

Hook = Callable[..., Tensor]
PARTS = ("weight", "weight_g", "weight_v")
"""The parameters that hold a weight, some of them."""


class Synapse(ExplainsKeys):
    """A linear map from spikes to dendritic input, with a quantised weight.

    Args:
        weight: the initial weight, of lava-dl's 5-dimensional shape (out, in, height, width, 1).
        weight_norm: hold the weight as direction `weight_v` and length `weight_g`, one length per row.
        pre_hook_fx: applied to the weight at every use, for instance the chip's quantisation; None for nothing.

    Example:
        >>> from slayerloss.synapse import Dense
        >>> synapse = Dense(2, 3, weight_norm=True)
        >>> synapse.weight.shape, synapse.weight_norm_enabled
        (torch.Size([3, 2, 1, 1, 1]), True)
        >>> synapse.disable_weight_norm()
        >>> [name for name, _ in synapse.named_parameters()]
        ['weight']
    """

    complex: ClassVar[bool] = False
    """Whether spikes cause a real and an imaginary part."""

    def __init__(self, weight: Tensor, weight_norm: bool = False, pre_hook_fx: Hook | None = None) -> None:
        super().__init__()
        name = type(self).__name__
        if pre_hook_fx is not None:
            check_callable(name, "pre_hook_fx", pre_hook_fx)
        self.pre_hook_fx = pre_hook_fx
        self._parameters_from(weight, check_flag(name, "weight_norm", weight_norm))

    def _parameters_from(self, weight: Tensor, weight_norm: bool) -> None:
        trained = [parameter.requires_grad for parameter in self.parameters()]
        for name in PARTS:
            self._parameters.pop(name, None)
        parts = dict(zip(("weight_g", "weight_v"), _split(weight), strict=True)) if weight_norm else {"weight": weight}
        for name, value in parts.items():
            self._parameters[name] = torch.nn.Parameter(value.detach().clone(), requires_grad=all(trained))

    def natural_parameters(self) -> dict[str, Tensor]:
        """The weight, as one tensor with weight norm, too, neither masked nor quantised; differentiable.

        Example:
            >>> from slayerloss.synapse import Dense
            >>> [name for name in Dense(2, 3, weight_norm=True).natural_parameters()]
            ['weight']
        """
        others = {name: p for name, p in self._parameters.items() if p is not None and name not in PARTS}
        return {"weight": self.weight, **others}

    @property
    def weight_norm_enabled(self) -> bool:
        """Whether the weight is held as direction and length."""
        return "weight_v" in self._parameters

    @property
    def shape(self) -> torch.Size:
        """Of the weight."""
        return (self.weight_v if self.weight_norm_enabled else self.weight).shape

    def __getattr__(self, name: str) -> Any:
        if name == "weight" and "weight_v" in self.__dict__.get("_parameters", {}):
            return torch._weight_norm(self.weight_v, self.weight_g, 0)
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        shape = self.shape[:4]
        text = f"weight={tuple(shape if any(size > 1 for size in shape[2:]) else shape[:2])}"
        return f"{text}, weight_norm=True" if self.weight_norm_enabled else text

    def enable_weight_norm(self) -> None:
        """Hold the weight as direction and length from now on; its value stays."""
        if not self.weight_norm_enabled:
            self._parameters_from(self.weight, True)

    def disable_weight_norm(self) -> None:
        """Hold the weight itself from now on; its value stays."""
        if self.weight_norm_enabled:
            self._parameters_from(self.weight, False)

    def effective_weight(self, mask: Tensor | None = None) -> Tensor:
        """The weight that is applied: normalised, masked, quantised."""
        weight: Tensor = self.weight
        if mask is not None:
            check_tensor(type(self).__name__, "mask", mask)
            sizes = zip(mask.shape[2:], weight.shape[2:], strict=False)
            if mask.ndim not in (2, 5) or mask.shape[:2] != weight.shape[:2] or any(m not in (1, w) for m, w in sizes):
                rule = f"{tuple(weight.shape[:2])}, with or without (1, 1, 1) behind"
                raise ShapeError(message(type(self).__name__, "mask has the wrong shape", rule, tuple(mask.shape)))
            weight = weight * mask.reshape(*mask.shape[:2], *(mask.shape[2:] or (1, 1, 1)))
        check_finite(type(self).__name__, "weight", weight)
        return weight if self.pre_hook_fx is None else self.pre_hook_fx(weight)

    @property
    def grad_norm(self) -> float:
        """The 2-norm of the weight's gradient over the number of weights; 0 without a gradient."""
        name = "weight_g" if self.weight_norm_enabled else "weight"
        parameter = self._parameters[name]
        if parameter is None or parameter.grad is None:
            return 0.0
        return float(parameter.grad.norm() / parameter.grad.numel())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take a weight with or without weight norm, whichever this synapse has itself."""
        whole, length, direction = (prefix + name for name in PARTS)
        if not all(isinstance(state_dict[key], Tensor) for key in (whole, length, direction) if key in state_dict):
            pass  # which torch refuses
        elif self.weight_norm_enabled and whole in state_dict and direction not in state_dict:
            state_dict[length], state_dict[direction] = _split(state_dict.pop(whole))
        elif not self.weight_norm_enabled and direction in state_dict:
            if length not in state_dict:
                raise ArgumentError(message("load_state_dict", f"{direction} has no length", length, "nothing"))
            state_dict[whole] = torch._weight_norm(state_dict.pop(direction), state_dict.pop(length), 0)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _split(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The length of each row and its direction, which is anything where the length is zero."""
    length = torch.linalg.vector_norm(weight, dim=list(range(1, weight.ndim)), keepdim=True)
    return length, torch.where(length > 0, weight, torch.ones_like(weight))
