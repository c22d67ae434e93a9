"""Where what Lava does with a network file is not what the file says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slayerloss._finding import Finding
from slayerloss.netx.check import check
from slayerloss.netx.description import Description
from slayerloss.netx.read import read
from slayerloss.netx.run import Network
from slayerloss.netx.runtime.synapse import Array


@dataclass(frozen=True)
class LayerDifference:
    """One layer, run both ways.

    Attributes:
        place: "layer/INDEX" in the file.
        lava: how many messages other than 0 it sends as Lava runs it.
        ideal: the same of the file taken at its word.
        differ: how many of the messages are not the same.
        first_step: the first step, from 1, at which they are not; None if all are the same.
    """

    place: str
    lava: int
    ideal: int
    differ: int
    first_step: int | None

    def __str__(self) -> str:
        same = "all the same" if self.first_step is None else f"{self.differ:,} differ, from step {self.first_step} on"
        return f"{self.place}: {self.lava:,} messages on Lava, {self.ideal:,} by the file; {same}"


@dataclass(frozen=True)
class Quirks:
    """What Lava makes of a file, beside what the file says; see `quirks`.

    Attributes:
        findings: what of the file Lava refuses, changes or ignores.
        layers: what each layer sends; empty where Lava cannot load the file.
    """

    findings: list[Finding]
    layers: list[LayerDifference] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Whether Lava loads the file, something was sent, and every message is the same."""
        return any(layer.lava for layer in self.layers) and not any(layer.differ for layer in self.layers)

    def __str__(self) -> str:
        lines = [str(part) for part in (*self.findings, *self.layers)]
        if not self.layers:
            lines.append("Lava cannot load the file")
        elif not any(layer.lava or layer.ideal for layer in self.layers):
            lines.append("nothing is shown: no layer sent anything")
        return "\n".join(lines)


def quirks(file: str | os.PathLike[str] | Description, x: Any, **arguments: Any) -> Quirks:
    """Run a network file on the same input as Lava does, and as the file says.

    Args:
        file: a network file, or what `read` made of one.
        x: as for `Network.run`.
        arguments: of `Network`, but for `arithmetic`.

    Returns:
        What `check` knows that Lava does otherwise, and for each layer how many of its messages differ.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: the file says something that does not run.
        ShapeError, DtypeError, ArgumentError: see `Network`.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 80}
        >>> layer = {"type": "dense", "shape": [2], "weight": [[300, 10], [20, 600]], "neuron": neuron}
        >>> print(quirks(describe([layer]), np.ones((2, 5), int)).layers[0])
        layer/0: 0 messages on Lava, 8 by the file; 8 differ, from step 2 on
    """
    description = file if isinstance(file, Description) else read(file)
    ideal = Network(description, arithmetic="ideal", **arguments)
    findings = [finding for finding in check(ideal.description) if finding.scope == "lava"]
    sent = ideal.run(x).spikes
    if any(finding.fatal for finding in findings):
        return Quirks(findings)
    lava = Network(description, arithmetic="lava", **arguments).run(x).spikes
    places = [f"layer/{index}" for index in ideal.layer_indices]
    return Quirks(findings, [_difference(*layer) for layer in zip(places, lava, sent, strict=True)])


def _difference(place: str, lava: Array, ideal: Array) -> LayerDifference:
    differs = lava != ideal
    steps = np.flatnonzero(differs.reshape(-1, differs.shape[-1]).any(0))
    return LayerDifference(
        place,
        int(np.count_nonzero(lava)),
        int(np.count_nonzero(ideal)),
        int(np.count_nonzero(differs)),
        int(steps[0]) + 1 if len(steps) else None,
    )
