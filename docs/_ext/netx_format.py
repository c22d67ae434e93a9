"""The tables of the network file's page, from the schema that the reader and the writer walk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from slayerloss.netx.field import KINDS, Bound, Field, Shape
from slayerloss.netx.schema import (
    COMPLEX,
    LAVA_RUNS,
    LAVA_TAKES_FOR,
    LAYERS,
    NEURONS,
    NOT_IN_LAVA,
)
from sphinx.application import Sphinx

PAGE = "netx-format"


def layers() -> str:
    """A heading and a table for every layer type."""
    return "\n\n".join(
        f"### `{name}`\n\n{_who_loads(name)}\n\n{_table(rules)}"
        for name, rules in LAYERS.items()
    )


def neurons() -> str:
    """A heading and a table for every neuron type; types with the same rows share them."""
    sections, shown = [], []
    for name, rules in NEURONS.items():
        if name in shown:
            continue
        same = [other for other, fields in NEURONS.items() if fields == rules]
        shown += same
        heading = ", ".join(f"`{other}`" for other in same)
        sections.append(f"### {heading}\n\n{_table(rules)}")
    return "\n\n".join(sections)


def lava() -> str:
    """Which neuron types Lava loads on which layer type."""
    kinds = [*NEURONS, None]
    rows = [["neuron", *(f"`{layer}`" for layer in LAVA_RUNS)]]
    for kind in kinds:
        taken_for = LAVA_TAKES_FOR.get(kind or "")
        name = "none" if kind is None else f"`{kind}`"
        yes = f"as `{taken_for}`" if taken_for else "yes"
        rows.append(
            [name, *(yes if kind in LAVA_RUNS[layer] else "-" for layer in LAVA_RUNS)]
        )
    missing = ", ".join(f"`{name}`" for name in NOT_IN_LAVA)
    return f"{_markdown(rows)}\n\nLava cannot load these layers, whatever their neurons: {missing}."


def _who_loads(layer: str) -> str:
    if layer in NOT_IN_LAVA:
        way_out = f" {NOT_IN_LAVA[layer]}." if NOT_IN_LAVA[layer] else ""
        return f"Lava knows the name, and refuses the layer.{way_out}"
    names = [f"`{kind}`" for kind in [*NEURONS, None] if kind in LAVA_RUNS[layer] and kind]
    without = " or none" if None in LAVA_RUNS[layer] else ""
    return (
        f"Lava loads it with the neurons {', '.join(names)}{without}."
        if names
        else "It has no neurons."
    )


def _table(rules: Mapping[str, Field]) -> str:
    rows = [["field", "type", "shape", "range", "meaning"]]
    for name, rule in sorted(
        rules.items(), key=lambda item: (not item[1].required, item[0] != "type")
    ):
        label = f"**`{name}`**" if rule.required else f"`{name}`"
        rows.append(
            [
                label,
                _type(rule),
                " or ".join(_shapes(rule)),
                _range(rule.low, rule.high),
                _text(rule.meaning),
            ]
        )
    return _markdown(rows)


def _type(rule: Field) -> str:
    dtype = KINDS[rule.kind].dtype
    parts = " and ".join(f"`{part}`" for part in rule.parts)
    return dtype + (f", or a group of {parts}" if parts else "")


def _shapes(rule: Field) -> Iterator[str]:
    for shape in rule.shapes:
        yield _shape(shape)
    for shape in rule.not_in_lava:
        yield f"{_shape(shape)}, which Lava cannot load"


def _shape(shape: Shape) -> str:
    if shape == ("ndim",):
        return "1 to 3 sizes"
    if shape == ("flat",):
        return "(out × in)"
    return f"({', '.join(str(size) for size in shape)})" if shape else "scalar"


def _range(low: Bound | None, high: Bound | None) -> str:
    """The last right values, and what happens beyond them."""
    if low is None and high is None:
        return ""
    values = (
        f"from {low.value}"
        if high is None
        else (f"to {high.value}" if low is None else f"{low.value} to {high.value}")
    )
    effects = {
        side: bound.effect
        for side, bound in (("below", low), ("above", high))
        if bound is not None
    }
    if len(set(effects.values())) == 1:
        side = "beyond" if len(effects) == 2 else next(iter(effects))
        effects = {side: next(iter(effects.values()))}
    return f"{values}; {', '.join(f'{side}: {effect}' for side, effect in effects.items())}"


def _text(text: str) -> str:
    return text.replace("*", "×").replace("|", "\\|")


def _markdown(rows: Iterable[list[str]]) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|---" * (head.count(" | ") + 1) + "|", *body])


PARTS = {
    "<!-- layers -->": layers,
    "<!-- neurons -->": neurons,
    "<!-- lava -->": lava,
    "<!-- complex -->": lambda: ", ".join(f"`{name}`" for name in sorted(COMPLEX)),
}
"""What stands in the page -> what takes its place."""


def fill(text: str) -> str:
    """The page with its tables.

    Raises:
        ValueError: a place for one of them is missing, or there are two.
    """
    for mark, part in PARTS.items():
        if text.count(mark) != 1:
            raise ValueError(f"the page has {text.count(mark)} places {mark}, not one")
        text = text.replace(mark, part())
    return text


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    if name == PAGE:
        source[0] = fill(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
