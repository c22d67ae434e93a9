"""Where Lava does something else than lava-dl's training did, of which the file itself shows nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slayerloss._finding import Finding
from slayerloss.netx.description import Description
from slayerloss.netx.limits import NEVER
from slayerloss.netx.schema import COMPLEX

_LARGE = 1 << 12  # a threshold of 64, beside which lava-dl's float32 loses the little that it adds to it


def as_trained(description: Description) -> Iterator[Finding]:
    """Notes about a file that lava-dl may have written; slayerloss trains as Lava runs."""

    def note(place: str, problem: str, way_out: str = "") -> Finding:
        return Finding("note", place, f"if lava-dl trained it: {problem}", way_out, scope="lava")

    processes = [
        (i, layer, None if layer.neuron is None else layer.neuron["type"])
        for i, layer in enumerate(description.layers)
        if layer.type not in ("flatten", "input") or layer.neuron is not None
    ]
    late = []
    for position, (i, layer, kind) in enumerate(processes):
        if layer.type == "input" and kind != "SDNN":
            problem = "its Input block waited a step, and Lava's does not; the output comes a step earlier"
            yield note(f"layer/{i}", problem, "Compare the spikes with that shift")
        if layer.type != "input" and "bias" in layer.fields and kind not in COMPLEX:
            if position:
                late.append(i)
            if "delay" in layer.fields:
                problem = "the delay held back all spikes; Lava's holds back the input, but not the bias"
                yield note(f"layer/{i}/delay", problem, "Train with slayerloss, or without a norm")
        threshold = 0 if layer.neuron is None else np.max(layer.neuron.get("vThMant", 0))
        if kind in ("CUBA", "LOIHI") and _LARGE <= threshold < NEVER:
            problem = "its neurons spike also where v equals a threshold this large; Lava's do not"
            yield note(f"layer/{i}/neuron/vThMant", problem)
    if late:
        problem = f"the bias of each layer ({', '.join(map(str, late))}) began to act when the first input could arrive"
        way_out = "Do not judge by the first steps, or train with slayerloss"
        yield note(f"layer/{late[0]}/bias", f"{problem}; Lava's acts from step 1", way_out)
