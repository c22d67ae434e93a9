"""lava-dl's public names stand on the page of names, and are where it says, with lava-dl's arguments in its order."""

from __future__ import annotations

import ast
import collections
import importlib
import inspect
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lava_dl_names import NEURONS, build

import slayerloss

PAGE = Path(__file__).resolve().parents[2] / "docs" / "names.md"
ROW = re.compile(r"^\| (?P<names>`.*?) \|(?P<place>.*?)\|.*\|$", re.MULTILINE)

BASES = {
    "neuron.base.Neuron": "the base of the neurons",
    "synapse.layer.GenericLayer": "the base of the synapses, which takes the weight",
    "synapse.complex.ComplexLayer": "the base of the complex ones, which takes the two parts",
}
"""Bases whose arguments are not lava-dl's, and what they are; their members are those of the classes made of them."""

NOT_GIVEN = "lava-dl's blocks look whether it is given, and put what is the default here in its place if not"
OWN_DEFAULTS = {
    ("block.", "pre_hook_fx"): NOT_GIVEN,
    ("bootstrap.block.", "pre_hook_fx"): NOT_GIVEN,
    ("block.sigma_delta.", "delay_shift"): NOT_GIVEN,
}
"""Arguments whose default is written otherwise, and why it is the same."""

EVERY = {
    "neuron.dynamics": "leaky_integrator,resonator,adaptive_threshold,adaptive_phase_th,adaptive_resonator",
    "neuron": ",".join(NEURONS),
    "block": ",".join(NEURONS),
}
"""What a star stands for behind these."""


def expand(text: str) -> list[str]:
    """The names that a text stands for: a.{b,c} for a.b and a.c, and a star for every module of its kind."""
    for place, modules in EVERY.items():
        text = text.replace(f"{place}.*", f"{place}.{{{modules}}}")
    parts = re.split(r"\{(.*?)\}", text)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def names_in(cell: str) -> list[str]:
    """All names in the code of a cell."""
    return [name for code in re.findall(r"`(.*?)`", cell) for name in expand(code)]


def read_page() -> tuple[dict[str, str], set[str]]:
    """lava-dl's name -> the name here, and what is left out."""
    here, left_out = PAGE.read_text(encoding="utf-8").split("## Left out")
    places: dict[str, str] = {}
    for row in ROW.finditer(here):
        names = names_in(row["names"])
        place = names if row["place"].strip() == "the same" else names_in(row["place"])
        assert not places.keys() & set(names), row[0]
        places |= dict(zip(names, place, strict=True))
    return places, {name for row in ROW.finditer(left_out) for name in names_in(row["names"])}


PLACES, LEFT_OUT = read_page()


def find(name: str) -> Any:
    """What slayerloss has under a name; None if nothing. A module hides behind a function of its name."""
    parts = ["slayerloss", *name.split(".")]
    for length in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = getattr(value, part, None)
        return value
    return None


def is_here(name: str) -> bool:
    """Whether slayerloss has something of that name, or the instances of its class have it."""
    owner, _, member = name.rpartition(".")
    value = find(owner)
    return find(name) is not None or (inspect.isclass(value) and hasattr(build(owner, value), member))


def function_of(name: str) -> Any:
    """The same, but the function where a module has its name."""
    package, _, last = name.rpartition(".")
    value = find(name)
    return getattr(find(package), last) if inspect.ismodule(value) and package else value


def arguments_of(value: Any) -> list[inspect.Parameter]:
    """What a function or a class takes, without self."""
    return [parameter for parameter in inspect.signature(value).parameters.values() if parameter.name != "self"]


def is_default(theirs: str | None, ours: inspect.Parameter) -> bool:
    """Whether an argument has lava-dl's default, given as its repr, or needs none as there."""
    if theirs is None or ours.default is ours.empty:
        return theirs is None and ours.default is ours.empty
    try:
        value = ast.literal_eval(theirs)
    except (SyntaxError, ValueError):
        return repr(ours.default) == theirs
    return bool(ours.default == (tuple(value) if isinstance(value, list) else value))


@pytest.fixture(scope="module")
def found(lava_dl: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """lava-dl's names, and the members of its classes, with the arguments of each."""
    path = tmp_path_factory.mktemp("names") / "names.json"
    lava_dl(Path(__file__).with_name("lava_dl_names.py"), path)
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def members(found: dict[str, dict[str, Any]]) -> dict[str, tuple[str, Any]]:
    """A member of a class that is here -> its place, and lava-dl's arguments."""
    there = {}
    for name, arguments in found["members"].items():
        owner, _, member = name.rpartition(".")
        if owner in PLACES and owner not in BASES and name not in LEFT_OUT:
            there[name] = PLACES.get(name, f"{PLACES[owner]}.{member}"), arguments
    return there


@pytest.mark.lava
def test_every_name_of_lava_dl_stands_on_the_page(found: dict[str, dict[str, Any]]) -> None:
    assert len(found["names"]) > 250
    assert not PLACES.keys() & LEFT_OUT
    on_page = (PLACES.keys() | LEFT_OUT) - found["members"].keys()
    assert sorted(found["names"].keys() - on_page) == [], "names that the page does not have"
    assert sorted(on_page - found["names"].keys()) == [], "names that lava-dl does not have"


def test_every_name_is_where_the_page_says() -> None:
    assert [place for place in PLACES.values() if not is_here(place)] == []


def test_what_is_left_out_is_not_here() -> None:
    assert [name for name in LEFT_OUT if is_here(name)] == []


def test_what_stands_for_what_is_left_out_is_here() -> None:
    left_out = PAGE.read_text(encoding="utf-8").split("## Left out")[1]
    instead = {code for row in ROW.finditer(left_out) for code in re.findall(r"`([\w.]+)`", row["place"])}
    assert len(instead) > 5
    assert [name for name in instead if find(name) is None and not hasattr(slayerloss, name)] == []


@pytest.mark.lava
def test_methods_properties_and_attributes_are_here(members: dict[str, tuple[str, Any]]) -> None:
    assert len(members) > 600
    assert [place for place, _ in members.values() if not is_here(place)] == []


@pytest.mark.lava
def test_arguments_have_lava_dls_names_in_its_order(
    found: dict[str, dict[str, Any]], members: dict[str, tuple[str, Any]]
) -> None:
    named = {name: (PLACES[name], arguments) for name, arguments in found["names"].items() if name in PLACES}
    compared: collections.Counter[str] = collections.Counter()
    for name, (place, theirs) in (named | members).items():
        value = function_of(place)
        if theirs is None or not callable(value) or name in BASES:
            continue
        ours = arguments_of(value)
        assert [parameter.name for parameter in ours[: len(theirs)]] == list(theirs), name
        own = {argument for start, argument in OWN_DEFAULTS if name.startswith(start)}
        changed = [p for p, default in zip(ours, theirs.values(), strict=False) if not is_default(default, p)]
        assert {p.name for p in changed} <= own, f"{name}: {changed}"
        required = [
            p for p in ours[len(theirs) :] if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
        assert required == [], f"{name}: {required} are not lava-dl's, and required"
        compared[name.split(".")[0]] += 1
    assert compared["block"] > 100
    assert compared["neuron"] > 50
    assert compared.total() > 300


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.b", ["a.b"]),
        ("a.{b,c}", ["a.b", "a.c"]),
        ("{a,b}.{c,d}", ["a.c", "a.d", "b.c", "b.d"]),
        ("block.*.A", [f"block.{name}.A" for name in NEURONS]),
    ],
)
def test_braces_stand_for_several_names(text: str, names: list[str]) -> None:
    assert expand(text) == names
