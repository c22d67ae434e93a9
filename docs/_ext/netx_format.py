"""The tables of the network file's page, from the schema that the reader and the writer walk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slayerloss.netx.field import KINDS, Bound, Field, Shape
from slayerloss.netx.schema import (
    COMPLEX,
    LAVA_AS_DENSE,
    LAVA_RUNS,
    LAVA_TAKES_FOR,
    LAYERS,
    NEURONS,
    NO_MEANING,
    NOT_IN_LAVA,
)
from sphinx.application import Sphinx

PAGE = "netx-format"


Tables = Mapping[str, Mapping[str, Field]]


@dataclass(frozen=True)
class Section:
    """What the page says of the fields of one type, or of several: the rows, and where the others are.

    Each of the types `names` has the fields of its one of `bases`, if there are any, with `rows` added or in their
    place.
    """

    names: tuple[str, ...]
    bases: tuple[str, ...]
    rows: Mapping[str, Field]


def common(tables: Tables) -> dict[str, Field]:
    """The rows that all types have."""
    first, *others = tables.values()
    return {
        name: rule
        for name, rule in first.items()
        if all(other.get(name) == rule for other in others)
    }


def sections(tables: Tables) -> list[Section]:
    """All types, each with no more rows than an earlier one leaves to say; those that say the same are together."""
    found: list[Section] = []
    for name, rules in tables.items():
        base = _base(name, tables)
        rows = {
            field: rule
            for field, rule in rules.items()
            if base is None or tables[base].get(field) != rule
        }
        alike = next(
            (each for each in found if base and rows and each.bases and each.rows == rows),
            None,
        )
        if alike is None:
            found.append(Section((name,), (base,) if base else (), rows))
        else:
            together = Section((*alike.names, name), (*alike.bases, base), rows)
            found[found.index(alike)] = together
    return found


def _base(name: str, tables: Tables) -> str | None:
    """The earlier type without other fields that leaves the least to say; one that needs no change comes first."""
    best, merit = None, (False, 1)
    for other, rules in tables.items():
        if other == name:
            break
        same = sum(tables[name].get(field) == rule for field, rule in rules.items())
        if (
            rules.keys() <= tables[name].keys()
            and (same == len(rules), same) > merit
            and same > 1
        ):
            best, merit = other, (same == len(rules), same)
    return best


def layers() -> str:
    """A heading and what there is to say for every layer type."""
    return _written(LAYERS, who=True)


def neurons() -> str:
    """The rows that all neuron types have, then the others."""
    shared = common(NEURONS)
    rest = {
        kind: {name: rule for name, rule in rules.items() if name not in shared}
        for kind, rules in NEURONS.items()
    }
    return f"Neurons of all types have:\n\n{_table(shared)}\n\n{_written(rest)}"


def _written(tables: Tables, who: bool = False) -> str:
    parts = []
    for section in sections(tables):
        parts.append(f"### {_names(section.names)}")
        parts += [_who_loads(name) for name in section.names] if who else []
        parts += [_fields_of(section, tables)] if section.bases else []
        parts += [_table(section.rows)] if section.rows else []
    return "\n\n".join(parts)


def _fields_of(section: Section, tables: Tables) -> str:
    base = f"The fields of {_names(section.bases)}{', each' if len(section.bases) > 1 else ','}"
    changed = [name for name in section.rows if name in tables[section.bases[0]]]
    if not section.rows:
        return f"{base.rstrip(',')}."
    if not changed:
        return f"{base} with these:".replace(", with", ", and")
    new = " and new ones" if len(changed) < len(section.rows) else ""
    return f"{base} with another {_names(changed)}{new}:"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def lava() -> str:
    """Which neuron types Lava loads on which layer type."""
    kinds = [*NEURONS, None]
    rows = [["neuron", *(f"`{layer}`" for layer in LAVA_RUNS)]]
    for kind in kinds:
        name = "none" if kind is None else f"`{kind}`"
        rows.append([name, *(_runs(kind, layer) for layer in LAVA_RUNS)])
    return f"{_markdown(rows)}\n\nLava cannot load these layers, whatever their neurons: {_names(NOT_IN_LAVA)}."


def _runs(kind: str | None, layer: str) -> str:
    as_dense = layer == "dense_rec" and kind in LAVA_AS_DENSE
    if kind not in LAVA_RUNS[layer] and not as_dense:
        return "-"
    taken_for = LAVA_TAKES_FOR.get(kind or "")
    layer_taken = "`dense`" if as_dense else ""
    neuron_taken = f"`{taken_for}`" if taken_for else ""
    return (
        f"as {' of '.join(filter(None, (layer_taken, neuron_taken)))}".removesuffix("as ")
        or "yes"
    )


def _who_loads(layer: str) -> str:
    if layer in NOT_IN_LAVA:
        way_out = f" {NOT_IN_LAVA[layer]}." if NOT_IN_LAVA[layer] else ""
        return f"Lava knows the name, and refuses the layer.{way_out}"
    names = [
        kind for kind in NEURONS if kind in LAVA_RUNS[layer] and kind not in LAVA_TAKES_FOR
    ]
    without = " or none" if None in LAVA_RUNS[layer] else ""
    return (
        f"Lava loads it with the neurons {_names(names)}{without}."
        if names
        else "It has no neurons."
    )


def _table(rules: Mapping[str, Field]) -> str:
    """The fields, the required ones first; those of which the same is said are in one row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, rule in sorted(
        rules.items(), key=lambda item: (not item[1].required, item[0] != "type")
    ):
        label = f"**`{name}`**" if rule.required else f"`{name}`"
        said = (
            KINDS[rule.kind].dtype,
            _shapes(rule),
            _range(rule.low, rule.high),
            _text(rule.meaning),
        )
        rows.setdefault((*said, str(rule.required)), []).append(label)
    body = [[", ".join(labels), *said[:-1]] for said, labels in rows.items()]
    return _markdown([["field", "type", "shape", "range", "meaning"], *body])


def _shapes(rule: Field) -> str:
    taken, refused = (_either(shapes) for shapes in (rule.shapes, rule.not_in_lava))
    return f"{taken}; not in Lava: {refused}" if refused else taken


def _either(shapes: tuple[Shape, ...]) -> str:
    words = [_shape(shape) for shape in shapes]
    if words[:2] == ["scalar", "(1)"]:
        words[:2] = ["one value"]
    return " or ".join(words)


def _shape(shape: Shape) -> str:
    if shape == ("ndim",):
        return "1 to 3 sizes"
    sizes = ", ".join(str(size).replace("*", " × ") for size in shape)
    return f"({sizes})" if shape else "scalar"


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
        if bound is not None and bound.effect != NO_MEANING
    }
    if not effects:
        return values
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
    "<!-- complex -->": lambda: _names(sorted(COMPLEX)),
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
