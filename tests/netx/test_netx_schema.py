"""The schema: every type of layer and neuron is read, written, shown and described on the page."""

from __future__ import annotations

import importlib
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slayerloss import netx
from slayerloss._check import FormatError
from slayerloss.netx import schema
from slayerloss.netx.description import Layer, Tree
from slayerloss.netx.field import KINDS, Field, Shape
from slayerloss.netx.table import table

DOCS = Path(__file__).parents[2] / "docs"
DENSE = ("dense", "dense_rec")


def concrete(shape: Shape, sizes: dict[str, int]) -> tuple[int, ...]:
    """A shape of the schema with numbers in the place of names."""
    if len(shape) == 1 and "*" in str(shape[0]):
        rows, columns = str(shape[0]).split("*")
        return (sizes[rows] * sizes[columns],)
    return tuple(size if isinstance(size, int) else sizes.setdefault(size, 1 + len(size) % 3) for size in shape)


def values(rule: Field, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    low = -100 if rule.low is None else rule.low.value
    high = max(low, 100) if rule.high is None else rule.high.value
    if rule.kind == "text":
        return st.just(np.full(shape, "relu", object)) if shape else st.text("abcé", max_size=5)
    elements: dict[str, Any] = {
        "flag": st.booleans(),
        "real": st.floats(),
        "integer": st.integers(low, high),
        "number": st.integers(low, high),
        "turn": st.integers(low, high - 1).map(lambda whole: whole + 0.5),
    }
    return hnp.arrays(np.dtype(KINDS[rule.kind].dtype), shape, elements=elements[rule.kind])


@st.composite
def groups(draw: Any, rules: dict[str, Field], sizes: dict[str, int], is_complex: bool) -> Tree:
    """The fields of one layer or neuron: all that are required, and some of the others."""
    tree: Tree = {}
    for name, rule in rules.items():
        if rule.kind == "group" or name in ("type", "shape") or not (rule.required or draw(st.booleans())):
            continue
        shape = concrete(draw(st.sampled_from((*rule.shapes, *rule.not_in_lava))), sizes)
        parts = rule.parts if is_complex else ()
        tree[name] = {part: draw(values(rule, shape)) for part in parts} or draw(values(rule, shape))
    return tree


@st.composite
def layers(draw: Any, kinds: tuple[str, ...] = tuple(schema.LAYERS)) -> dict[str, Any]:
    kind = draw(st.sampled_from(kinds))
    rules = schema.LAYERS[kind]
    image = rules["shape"].shapes == ((3,),)
    shape = draw(st.lists(st.integers(1, 4), min_size=3 if image else 1, max_size=3))
    neurons = int(np.prod(shape))
    sizes = {"out": neurons, "in": draw(st.integers(1, 4)), **dict(zip("CHW", shape, strict=False))}
    if kind in DENSE:
        sizes = {"out": neurons, "in": sizes["in"], "C": neurons}
    neuron_type = draw(st.sampled_from([None, *schema.NEURONS])) if "neuron" in rules else None
    fields = draw(groups(rules, dict(sizes), neuron_type in schema.COMPLEX))
    if neuron_type is not None:
        fields["neuron"] = {"type": neuron_type, **draw(groups(schema.NEURONS[neuron_type], dict(sizes), False))}
    unknown = draw(st.dictionaries(st.from_regex("x_[a-z]{1,4}", fullmatch=True), _anything(), max_size=2))
    return {"type": kind, "shape": np.array(shape), **fields, **unknown}


def _anything() -> st.SearchStrategy[Any]:
    dtypes = hnp.scalar_dtypes().filter(lambda dtype: dtype.kind in "biufc")
    arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    return st.one_of(arrays, st.text("abcé ", max_size=4), st.dictionaries(st.just("deeper"), arrays))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(layers(), min_size=1, max_size=4))
def test_what_is_written_is_read(tmp_path: Path, described: list[dict[str, Any]]) -> None:
    description = netx.describe(described)
    for layer, fields in zip(description.layers, described, strict=True):
        assert {"type", *layer.fields} == fields.keys()
    path = tmp_path / "network.net"
    netx.write(path, description)
    again = netx.read(path)
    assert again == description
    assert again.checksum() == again.checksum_stored == description.checksum()
    assert len(table(again).splitlines()) == len(described) + 2


@pytest.mark.parametrize("kind", schema.LAYERS)
@pytest.mark.parametrize("neuron", schema.NEURONS)
def test_a_layer_of_each_type_with_each_neuron_is_described_in_the_types_of_the_format(kind: str, neuron: str) -> None:
    if "neuron" not in schema.LAYERS[kind]:
        return
    one = {name: 1 for name, rule in schema.NEURONS[neuron].items() if rule.required}
    shape = [1, 1, 1]
    fields: dict[str, Any] = {"shape": shape, "neuron": {**one, "type": neuron}}
    for name, rule in schema.LAYERS[kind].items():
        if rule.required and name != "shape":
            value = np.ones(concrete(rule.shapes[0], {"out": 1, "in": 1, "C": 1}), int).tolist()
            fields[name] = dict.fromkeys(rule.parts, value) if rule.parts and neuron in schema.COMPLEX else value
    (layer,) = netx.describe([{"type": kind, **fields}]).layers
    weight = layer.fields.get("weight")
    if weight is not None:
        parts = weight.values() if neuron in schema.COMPLEX else [weight]
        assert all(part.dtype == np.float32 for part in parts)
    assert layer.fields["shape"].dtype == layer.neuron["vThMant"].dtype == np.int64
    assert neuron in table(netx.describe([{"type": kind, **fields}]))


REAL = {"type": "dense", "shape": [1], "weight": [[2, 4]]}
COMPLEX = {**REAL, "weight": {"real": [[2, 4]], "imag": [[2, 4]]}}
RF = {"type": "RF_PHASE", "sinDecay": 1848, "cosDecay": 3425, "vThMant": 64}
CUBA = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 64}


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({**REAL, "neuron": RF}, "layer/0/weight is not a group; expected a group with real and imag"),
        ({**COMPLEX, "neuron": CUBA}, "layer/0/weight is a group; expected a dataset of numbers"),
        (COMPLEX, "layer/0/weight is a group"),
        ({**COMPLEX, "weight": {"real": [[2, 4]]}, "neuron": RF}, "layer/0/weight/imag is missing"),
        ({**COMPLEX, "weight": {"real": [[2, 4]], "imag": [[2]]}, "neuron": RF}, r"layer/0/weight/imag has .*in=2"),
        ({**COMPLEX, "weight": {"real": "a", "imag": [[2]]}, "neuron": RF}, "layer/0/weight/real has the wrong type"),
        ({**COMPLEX, "bias": {"real": [1]}, "neuron": RF}, "layer/0/bias is a group"),
        ({**REAL, "neuron": {**CUBA, "type": "SDNN", "activation": 5}}, "layer/0/neuron/activation has the wrong type"),
        ({**REAL, "neuron": {**CUBA, "type": "ALIF"}}, "layer/0/neuron/thDecay is missing"),
        ({**REAL, "type": "pool", "shape": [1, 2, 2]}, "layer/0/stride is missing"),
        (
            {**REAL, "type": "dense_rec", "weight_rec": [1, 2]},
            r"weight_rec .*expected \(out=1, out=1\) or \(out\*out,\)",
        ),
        ({**COMPLEX, "weight": {"real": [2, 4], "imag": [2, 4, 6]}, "neuron": RF}, "layer/0/weight/imag has the wrong"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused(layer: dict[str, Any], text: str) -> None:
    with pytest.raises(FormatError, match=text):
        netx.describe([layer])


def test_unknown_neurons_are_kept_with_weights_of_either_kind(tmp_path: Path) -> None:
    neuron = {"type": "FUTURE", "iDecay": "slow", "parts": {"a": 1}}
    description = netx.describe([{**REAL, "neuron": neuron}, {**COMPLEX, "neuron": neuron}, {"type": "new", "x": 1}])
    netx.write(tmp_path / "network.net", description)
    assert netx.read(tmp_path / "network.net") == description
    assert [line.split()[-1] for line in table(description).splitlines()[1:4]] == ["FUTURE", "FUTURE", "-"]


def test_the_golden_files_come_through_whole(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "golden" / "netx").glob("*.net"))
    assert len(files) >= 8
    for file in files:
        description = netx.read(file)
        for layer in description.layers:
            assert layer.type in schema.LAYERS
            assert layer.neuron is None or layer.neuron["type"] in schema.NEURONS
        netx.write(tmp_path / "again.net", description)
        assert netx.read(tmp_path / "again.net") == description


def test_tables_of_resonators_and_of_what_slides() -> None:
    geometry = {"stride": [2, 2], "padding": [0, 0], "dilation": [1, 1]}
    pool = {"type": "pool", "shape": [2, 2, 2], "weight": np.full((1, 1, 2, 2), 64), **geometry, "neuron": CUBA}
    unpool = {**pool, "type": "unpool", "shape": [2, 4, 4]}
    sums = {**REAL, "neuron": {"type": "SDNN", "activation": "relu", "vThMant": 16, "sigma_output": True}}
    shown = table(netx.describe([pool, unpool, {**COMPLEX, "neuron": RF}, sums])).splitlines()
    assert re.search(r"pool 2x2 s2 +2x2x2 +8 +32 +64 ", shown[1])
    assert re.search(r"unpool 2x2 s2 +2x4x4 +32 +32 +64 ", shown[2])
    assert re.search(r" 4 +2 \.\. 4; 2 \.\. 4 .* 1  RF_PHASE, period 12\.7, decay 0\.04987$", shown[3])
    assert shown[4].endswith("0.25  SDNN, relu, sends sums")


def test_recurrent_weights_may_be_in_one_row() -> None:
    layer = {"type": "dense_rec", "shape": [2], "weight": [[4, -2], [6, 8]], "weight_rec": [[0, 3], [-5, 1]]}
    layer["neuron"] = {**CUBA, "vThMant": 5}
    in_one_row = {name: np.ravel(layer[name]) for name in ("weight", "weight_rec")}
    flat, whole = netx.describe([{**layer, **in_one_row}]), netx.describe([layer])
    x = np.random.default_rng(0).integers(0, 2, (2, 30))
    spikes = [netx.Network(network).run(x).output for network in (flat, whole)]
    np.testing.assert_array_equal(*spikes)
    assert 0 < spikes[0].sum() < spikes[0].size
    assert netx.check(flat) == []


def test_a_description_is_shown_in_one_line() -> None:
    flattens = [{"type": "flatten", "shape": [2]}] * 13
    network = netx.describe([{**REAL, "neuron": CUBA}, *flattens, {"type": "new\n", "shape": "wide"}], "a.net")
    shown = ", ".join(["flatten (2)"] * 11)
    assert repr(network) == f"Description('a.net': dense (1) CUBA, {shown}, 3 more)"
    assert repr(network.layers[-1]) == "Layer(new\\n)"
    assert repr(Layer("new", {"shape": np.arange(5), "neuron": 3})) == "Layer(new (0, 1, 2, ...))"
    assert repr(netx.describe([])) == "Description('network': no layers)"


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What makes the tables of the page."""
    pytest.importorskip("sphinx", reason="the documentation's tools are not installed")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    return importlib.import_module("netx_format")


@pytest.mark.parametrize("tables", [schema.LAYERS, schema.NEURONS], ids=["layers", "neurons"])
def test_the_sections_of_the_page_say_all_of_the_schema_once(generator: Any, tables: Any) -> None:
    shared = generator.common(tables)
    rest = {kind: {k: v for k, v in rules.items() if k not in shared} for kind, rules in tables.items()}
    sections = generator.sections(rest)
    said: dict[str, Tree] = {}
    for section in sections:
        for name, base in zip_longest(section.names, section.bases):
            said[name] = {**(said[base] if base else {}), **section.rows}
    assert {kind: {**shared, **rows} for kind, rows in said.items()} == tables
    assert sum(len(section.rows) for section in sections) < sum(map(len, tables.values())) * 0.7


def test_the_page_has_every_row_of_the_schema(generator: Any) -> None:
    page = generator.fill((DOCS / "netx-format.md").read_text(encoding="utf-8"))
    written = dict(re.findall(r"^### (`.+?)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    written["all"] = re.search(r"^Neurons of all types.*?(?=^###)", page, re.MULTILINE | re.DOTALL)[0]
    shared = generator.common(schema.NEURONS)
    rest = {kind: {k: v for k, v in rules.items() if k not in shared} for kind, rules in schema.NEURONS.items()}
    sections = {"all": shared}
    for tables in (schema.LAYERS, rest):
        sections |= {", ".join(f"`{name}`" for name in each.names): each.rows for each in generator.sections(tables)}
    assert written.keys() == sections.keys()
    parted = set()
    for heading, rules in sections.items():
        rows = {
            name: match[0]
            for match in re.finditer(r"^\| ((?:\*\*)?`.+?) \|.*$", written[heading], re.MULTILINE)
            for name in re.findall(r"`(\w+)`", match[1])
        }
        assert rows.keys() == rules.keys(), heading
        for name, rule in rules.items():
            assert KINDS[rule.kind].dtype in rows[name]
            assert ("**" in rows[name]) == rule.required
            assert rule.meaning.replace("*", "×") in rows[name]
            for bound in filter(None, (rule.low, rule.high)):
                assert str(bound.value) in rows[name]
                assert bound.effect == schema.NO_MEANING or bound.effect in rows[name]
            parted |= {name, *rule.parts} if rule.parts else set()
    (of_two_parts,) = re.findall(r"^Neurons with a complex state.*?\n\n", page, re.MULTILINE | re.DOTALL)
    assert all(f"`{name}`" in of_two_parts for name in parted)
    with pytest.raises(ValueError, match="0 places"):
        generator.fill("no marks")
