"""The activation of spiking neurons, measured and fitted with a piecewise linear function."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    check_events,
    check_integer,
    check_range,
    check_same_shape,
    check_sequence,
    message,
)
from slayerloss.functional.events import accumulation_dtype
from slayerloss.functional.rate import rate

__all__ = ["AnnSampler"]

Points = NDArray[np.float64]
"""(K, 2): z and the rate there."""

LOWEST_MAX = 0.8
"""The activation reaches at least this rate, as in lava-dl."""

UPDATE = 0.1
"""The share of new samples in a center that was there before, as in lava-dl."""


class AnnSampler(torch.nn.Module):
    """Collects pairs (z, a) of weighted input and spike rate, and is the piecewise linear function through them.

    f(z) = 0 below the first center, linear from center to center, `max` beyond the last;
    df/dz is taken as abs(scale) f'(z) + eps, with scale = z / a at the last center.

    `fit` divides the rates into `num_centers` bins of equal width, and takes the medians of z and a in each as a
    center. Where there was a center before, it moves by a tenth of the way. The first and the last piece go on to the
    rates 0 and `max`, `max` being the mean of the rates above sample_range[1] of the highest, and 0.8 at least. With
    fewer than two centers f is a line through the origin.

    Args:
        num_centers: at least 1; less than half the number of steps, so that rates can be told apart.
        sample_range: (lowest, highest) rate that gets centers, as fractions of the highest one.
        eps: added to the gradient, so that silent and saturated neurons learn too.

    Attributes:
        z, a: (P,) numpy, the pairs.
        centers: (K, 2) numpy, where the pieces meet, or None before the first fit.
        max: the highest rate.

    Raises:
        ArgumentError, DtypeError: an argument of the wrong type or range.

    Example:
        >>> sampler = AnnSampler(num_centers=2)
        >>> z = torch.arange(9).div(8).reshape(9, 1, 1)
        >>> sampler.append(a=z**2, z=z)
        >>> sampler.fit()
        >>> sampler(torch.tensor([[[-1.0, 0.5, 0.75, 2.0]]])).round(decimals=2)
        tensor([[[0.0000, 0.2500, 0.5800, 1.0000]]])

    Note:
        lava-dl's activation jumps where a center with a higher rate has a lower z than the one before; here such a
        center is left out. Where no rate lies in any bin, lava-dl's goes up to 1.8; here to `max`. Where nothing
        spiked, it is NaN there and stays as it was here. The fit is kept in the metadata of a state dict, whose keys
        are those of a network without samplers; lava-dl forgets it. `torch.save` keeps the metadata; a plain dict of
        the tensors, as a dict comprehension or safetensors makes it, loses it, and the next `forward` says so.
    """

    def __init__(self, num_centers: int = 5, sample_range: Sequence[float] = (0.1, 0.9), eps: float = 1e-5) -> None:
        super().__init__()
        self.num_centers = check_integer("AnnSampler", "num_centers", num_centers, 1)
        low, high = check_sequence("AnnSampler", "sample_range", sample_range, 2, "(lowest, highest)")
        check_range("AnnSampler", "sample_range", low, 0, 1)
        check_range("AnnSampler", "sample_range", high, low, 1)
        check_range("AnnSampler", "eps", eps, 0)
        self.sample_range = (float(low), float(high))
        self.eps = float(eps)
        self.max = 1.0
        self.centers: Points | None = None
        self._samples: list[Points] = [np.empty((0, 2))]
        self._lost_in_a_dict = False

    @property
    def slopes(self) -> NDArray[np.float64] | None:
        """One for each piece, or None before the first fit."""
        if self.centers is None:
            return None
        slopes = _slopes(self.centers[1:-1])
        return np.concatenate([slopes[:1], slopes, slopes[-1:]])

    @property
    def scale(self) -> float:
        """z over a at the last center; 1 before the first fit."""
        return 1.0 if self.centers is None else float(self.centers[-1, 0] / self.centers[-1, 1])

    @property
    def z(self) -> NDArray[np.float64]:
        """(P,), the weighted inputs collected."""
        return self._joined()[:, 0]

    @property
    def a(self) -> NDArray[np.float64]:
        """(P,), the rates collected."""
        return self._joined()[:, 1]

    def _joined(self) -> Points:
        self._samples = [np.concatenate(self._samples)]
        return self._samples[0]

    def append(self, a: Tensor, z: Tensor, lengths: Tensor | None = None) -> None:
        """Collect the means over time of spikes `a` and weighted inputs `z`, (N, C, ..., T) both.

        `lengths` (N,) are the steps of each sample that count.
        """
        for name, values in (("a", a), ("z", z)):
            check_events("AnnSampler.append", values, name)
        check_same_shape("AnnSampler.append", "a", a, "z", z)
        rates = [rate(values.detach(), lengths=lengths).flatten().double().cpu() for values in (z, a)]
        self._samples.append(torch.stack(rates, 1).numpy())

    def clear(self) -> None:
        """Forget the pairs; the fit stays."""
        self._samples = [np.empty((0, 2))]

    def soft_clear(self) -> None:
        """Forget a random half of the pairs."""
        pairs = self._joined()
        kept = torch.randperm(len(pairs))[len(pairs) // 2 :].numpy()
        self._samples = [pairs[kept]]

    def fit(self) -> None:
        """Fit the function to the pairs; where nothing has spiked it stays as it was."""
        z, a = self.z, self.a
        highest = a.max(initial=0)
        if highest == 0 and self.centers is not None:
            return
        top = a[a > self.sample_range[1] * highest]
        self.max = max(float(top.mean()), LOWEST_MAX) if len(top) else LOWEST_MAX
        low, high = self.sample_range
        edges = np.linspace(low * self.max, high * self.max, self.num_centers + 1)
        found = [self._center(z, a, *edge) for edge in itertools.pairwise(edges)]
        inner = _rising([center for center in found if center is not None], self.max)
        slopes = _slopes(inner)
        (first_z, first_a), (last_z, last_a) = inner[0], inner[-1]
        start = first_z - first_a / slopes[0], 0
        end = last_z + (self.max - last_a) / slopes[-1], self.max
        self.centers = np.vstack([start, inner, end])

    def _center(self, z: ArrayLike, a: ArrayLike, low: float, high: float) -> Points | None:
        """The center of the rates in (low, high], from the pairs and the centers of the last fit."""
        new, old = (
            points[(points[:, 1] > low) & (points[:, 1] <= high)]
            for points in (np.stack([z, a], 1), np.empty((0, 2)) if self.centers is None else self.centers)
        )
        if len(new) and len(old):
            center: Points = UPDATE * np.median(new, axis=0) + (1 - UPDATE) * old.mean(axis=0)
            return center
        if len(new) or len(old):
            return np.median(new, axis=0) if len(new) else old.mean(axis=0)
        return None

    def forward(self, z: Tensor) -> Tensor:
        """The rates of weighted inputs of any shape; before the first fit, it is made now if there are pairs."""
        check_events("AnnSampler", z, "z")
        if self.centers is None:
            if not len(self.a):
                problem, rule = "there is no fit and there are no pairs", "a run in Mode.SAMPLE before"
                got = "a state dict without metadata, which hold the fit" if self._lost_in_a_dict else "none"
                raise ArgumentError(message("AnnSampler", problem, rule, got, "Let the Scheduler choose the mode"))
            self.fit()
        assert self.centers is not None
        assert self.slopes is not None
        z = z.to(accumulation_dtype(z))
        points, slopes = (torch.from_numpy(values).to(z) for values in (self.centers, self.slopes))
        none = points.new_zeros(1)
        piece = torch.bucketize(z.detach().contiguous(), points[:, 0].contiguous())  # 0 and K lie outside
        begin_z, begin_a = (torch.cat([none, column])[piece] for column in points.unbind(1))
        slope = torch.cat([none, slopes, none])[piece]
        rates = begin_a + slope * (z.detach() - begin_z)
        derivative = slope * (points[-1, 0] / points[-1, 1]).abs() + self.eps
        return rates + derivative * (z - z.detach())

    def plot(self, figsize: tuple[float, float] | None = None) -> Any:
        """Draw the pairs, the function and its centers; the figure."""
        import matplotlib.pyplot as plt

        from slayerloss.plot import PALETTE, style

        with style():
            figure, ax = plt.subplots(figsize=figsize or (5.6, 3.0), layout="constrained")
            ax.plot(self.z, self.a, ".", color="#757575", alpha=0.05, rasterized=True)
            points = [*self.z] if self.centers is None else [*self.z, *self.centers[:, 0]]
            z = torch.linspace(min(points, default=0.0), max(points, default=1.0), 1000)
            ax.plot(z, self(z[None, None])[0, 0], color=PALETTE[0], label="fit")
            if self.centers is not None:
                ax.plot(*self.centers.T, "o", color=PALETTE[1], label="centers")
            ax.plot([], [], ".", color="#757575", label="samples")
            ax.set(xlabel="weighted input per step", ylabel="spikes per step")
            ax.spines[["top", "right"]].set_visible(False)
            ax.legend(frameon=False)
        return figure

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.centers is not None and hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]]["centers"] = self.centers.tolist()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        if "centers" in local_metadata:
            self.centers = np.array(local_metadata["centers"])
            self.max = float(self.centers[-1, 1])
        self._lost_in_a_dict = not local_metadata
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def _rising(centers: list[Points], highest: float) -> Points:
    """At least two points, those of the centers whose z rises; with fewer, on a line through the origin."""
    rising: list[Any] = []
    for center in centers:
        if not rising or center[0] > rising[-1][0]:
            rising.append(center)
    if len(rising) == 1 and rising[0][0] <= 0:
        rising = []
    if len(rising) < 2:
        rising = [(0.0, 0.0), rising[0] if rising else (highest, highest)]
    return np.array(rising)


def _slopes(points: Points) -> NDArray[np.float64]:
    """Of the pieces between points."""
    slopes: NDArray[np.float64] = np.diff(points[:, 1]) / np.diff(points[:, 0])
    return slopes
