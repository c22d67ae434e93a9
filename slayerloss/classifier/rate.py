"""The classifier that counts spikes over the whole recording."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss import functional


class Rate(torch.nn.Module):
    """Classify by the spike rate over the whole recording; the class that spikes most wins.

    p = argmax_c r_c,  r = 1/T sum_t s[t]

    The three static methods work without an instance; calling an instance is `predict`.

    Example:
        >>> spikes = torch.tensor([[[0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]]])
        >>> Rate()(spikes)
        tensor([1])
        >>> Rate.confidence(spikes)
        tensor([[0.2500, 0.7500]])

    Note:
        lava-dl's, with `lengths`, every dtype, and a temperature; an unknown mode raises where lava-dl returns None.
    """

    def forward(self, spike: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """The predicted class of each sample; see `predict`."""
        return Rate.predict(spike, lengths=lengths)

    @staticmethod
    def rate(spike: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Average the spikes of every neuron over time.

        Args:
            spike: (N, C, ..., T), any real dtype.
            lengths: (N,) integer, the steps of each sample; None: all T.

        Returns:
            (N, C, ...), spikes per step, with a gradient.

        Raises:
            ShapeError, DtypeError, ArgumentError: as `functional.rate`.

        Example:
            >>> Rate.rate(torch.tensor([[[0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]]]))
            tensor([[0.2500, 0.7500]])
        """
        return functional.rate(spike, lengths=lengths)

    @staticmethod
    def confidence(
        spike: Tensor,
        mode: str = "probability",
        eps: float = 1e-6,
        *,
        temperature: float = 1.0,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """The confidence in each class, from the rates.

        Args:
            spike: (N, C, ..., T), any real dtype; space is flattened into the classes.
            mode: "probability", "softmax" or "logsoftmax"; see `functional.confidence`.
            eps: above 0, added to the sum of the rates in mode "probability".
            temperature: above 0, divides the rates in the softmax modes.
            lengths: (N,) integer, the steps of each sample; None: all T.

        Returns:
            (N, C), no unit, with a gradient.

        Raises:
            ArgumentError: an unknown mode, and as `functional.confidence`.
            ShapeError, DtypeError: as `functional.rate`.

        Example:
            >>> Rate.confidence(torch.ones(1, 2, 5), mode="softmax")
            tensor([[0.5000, 0.5000]])
        """
        rate = functional.rate(spike, lengths=lengths).flatten(1)
        return functional.confidence(rate, mode, temperature=temperature, eps=eps)

    @staticmethod
    def predict(spike: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """The class with the highest rate.

        Args:
            spike: (N, C, ..., T), any real dtype; space is flattened into the classes.
            lengths: (N,) integer, the steps of each sample; None: all T.

        Returns:
            (N,), int64, no gradient. Of equal rates the first class wins.

        Raises:
            ShapeError, DtypeError, ArgumentError: as `functional.rate`.

        Example:
            >>> Rate.predict(torch.tensor([[[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]]))
            tensor([1])
        """
        return functional.predict(functional.rate(spike, lengths=lengths))
