"""Find what in a network file Lava would refuse, change or ignore."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from slayerloss._finding import Finding
from slayerloss.netx.chain import Chain
from slayerloss.netx.description import Description, Layer, Tree
from slayerloss.netx.field import Field
from slayerloss.netx.read import read
from slayerloss.netx.schema import COMPLEX, LAVA_RUNS, LAYERS, NEURONS, NOT_IN_LAVA
from slayerloss.netx.trained import as_trained
from slayerloss.netx.traps import fatal, lava, neuron_traps, synapse_traps, unloadable

__all__ = ["Chain", "check"]


def check(file: str | os.PathLike[str] | Description) -> list[Finding]:
    """Report what Lava would refuse, change or ignore in a network.

    Args:
        file: a network file, or what `read` made of one.

    Returns:
        The findings in the order of the layers; an empty list if all is well. About a file that slayerloss did not
        write there are also notes of where Lava and the training by lava-dl differ, and of one whose checksum does not
        match an error; about a Description neither, as it may have been changed on purpose.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: the file cannot be read at all.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80}
        >>> layer = {"type": "dense", "shape": [1], "weight": [[0, 0]], "neuron": neuron}
        >>> print(check(describe([layer]))[0])
        error: layer/0/weight: all weights are zero; Lava cannot load that. Train on, or drop the layer.

    Note:
        What depends on how the network is run is not in the file, and not found here: `reset_interval` in a network
        without an input layer lets the last input of a sample into the next one, unless `reset_offset` is 1.
    """
    if isinstance(file, Description):
        return list(_findings(file))
    description = read(file)
    findings = list(_findings(description))
    if not description.checksum_stored:
        return [*findings, *as_trained(description)]
    return findings if description.checksum_stored == description.checksum() else [_CHANGED, *findings]


_CHANGED = Finding(
    "error",
    "/",
    "the file was changed after it was written: its checksum does not match",
    "Export or copy it again; if the change was meant, netx.write(file, netx.read(file)) makes the checksum anew",
)


def _findings(description: Description) -> Iterator[Finding]:
    yield from _first_layer(description.layers)
    chain = Chain()
    for i, layer in enumerate(description.layers):
        if layer.type not in LAVA_RUNS:
            yield _foreign(layer, f"layer/{i}", first=i == 0)
        if layer.type not in LAYERS:  # as if it were not there
            continue
        yield from _layer(layer, f"layer/{i}", chain, last=i + 1 == len(description.layers))


def _layer(layer: Layer, place: str, chain: Chain, last: bool) -> Iterator[Finding]:
    values = list(_values(layer.fields, _rules(layer), place))
    yield from values
    # Whether there is too much to look at what depends on the values.
    broken = any(finding.fatal and finding.scope == "file" for finding in values)
    if layer.neuron is not None and layer.neuron["type"] in NEURONS:
        values = list(_values(layer.neuron, NEURONS[layer.neuron["type"]], f"{place}/neuron"))
        broken = broken or any(finding.fatal and finding.scope == "file" for finding in values)
        yield from values
    yield from unloadable(layer, place)
    if broken:
        chain.forget(layer)
        return
    yield from synapse_traps(layer, place)
    yield from chain.findings(layer, place)
    if layer.neuron is None and layer.type.startswith("dense") and not last:
        yield Finding("warning", place, "a layer without neurons never spikes; what comes after it gets nothing")
    if layer.neuron is not None and layer.neuron["type"] in NEURONS:
        yield from neuron_traps(layer, f"{place}/neuron", last)


def _foreign(layer: Layer, place: str, first: bool) -> Finding:
    """A layer type that Lava does not run."""
    if layer.type in NOT_IN_LAVA:
        problem = f"the layer type is {layer.type!r}; Lava cannot load it"
        return fatal(f"{place}/type", problem, NOT_IN_LAVA[layer.type])
    become = "cannot load a file that begins with it" if first else "drops the layer without a word"
    problem, way_out = f"the layer type is {layer.type!r}; Lava {become}", f"Lava has {', '.join(LAVA_RUNS)}"
    return fatal(f"{place}/type", problem, way_out) if first else lava("error", f"{place}/type", problem, way_out)


def _first_layer(layers: list[Layer]) -> Iterator[Finding]:
    """What Lava makes of the input of the network."""
    first = next(((i, layer) for i, layer in enumerate(layers) if layer.type not in ("input", "flatten")), None)
    if first is None or any(layer.type == "input" and layer.neuron is not None for layer in layers[: first[0]]):
        return
    index, layer = first
    place = f"layer/{index}"
    if layer.type == "conv" and not any(before.type == "input" for before in layers[:index]):
        way_out = "Pass input_shape=(W, H, C), or put an input layer without neurons first"
        yield lava("note", place, "the file does not say the shape of its input", way_out)
    if layer.neuron is not None and layer.neuron["type"] == "SDNN":
        problem = "Lava takes every input other than 0 for 1, though these neurons read numbers"
        yield lava("warning", place, problem, "Pass input_message_bits=16, or put an input layer with neurons first")


def _rules(layer: Layer) -> dict[str, Field]:
    """The fields of the layer, with the bounds that hold for its neurons; `traps` knows the other ones."""
    rules = dict(LAYERS[layer.type])
    kind = None if layer.neuron is None else layer.neuron["type"]
    if "bias" in rules and (kind == "SDNN" or kind in COMPLEX):
        rules["bias"] = replace(rules["bias"], low=None, high=None)
    if "delay" in rules and (layer.type == "conv" or kind in COMPLEX):
        rules["delay"] = replace(rules["delay"], high=None)
    return rules


def _values(tree: Tree, rules: Any, place: str) -> Iterator[Finding]:
    """NaN, fractions, and values beyond the bounds of the schema."""
    for name, rule in rules.items():
        if name in tree and rule.kind in ("integer", "number", "turn"):
            field, here = tree[name], f"{place}/{name}"
            parts = {f"{here}/{part}": field[part] for part in rule.parts} if isinstance(field, dict) else {here: field}
            for here, values in parts.items():
                yield from _numbers(np.asarray(values), rule, here)


def _numbers(values: Any, rule: Field, here: str) -> Iterator[Finding]:
    if not np.all(np.isfinite(values)):
        yield fatal(here, "NaN or infinity; Lava makes some large number of it", "Train again", "file")
        return
    if rule.kind != "turn" and np.any(values != np.trunc(values)):
        way_out = "Write integers: train with the 8-bit quantisation that blocks have by default"
        yield lava("error", here, "there are fractions; Lava cuts them off", way_out)
    # as Python's numbers, which do not wrap around
    for bound, sign, extreme in ((rule.low, -1, values.min().item()), (rule.high, 1, values.max().item())):
        if bound is not None and extreme * sign > bound.value * sign:
            side = "below" if sign < 0 else "above"
            problem = f"{extreme:g} is {side} {bound.value}; {bound.effect}"
            yield Finding(bound.severity, here, problem, fatal=bound.fatal, scope=bound.scope)
