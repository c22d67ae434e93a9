"""Every deviation from lava-dl, by name: what a user who comes from there has to know.

A name says what is so here; the check shows it. What lava-dl does instead stands in the check's docstring. A new
deviation is one more function with `@deviation(name)` in one of MODULES, and the numbers of the facts that it answers
(lava_dl_defects.py).
"""

from __future__ import annotations

import importlib
import inspect

import pytest
from lava_dl_defects import ANSWERED, CONVENTIONS, DEVIATIONS, ITEMS

MODULES = [f"lava_dl_{part}_deviations" for part in ("neuron", "block", "other", "file")] + ["lava_dl_conventions"]
for module in MODULES:
    importlib.import_module(module)


@pytest.mark.parametrize("name", DEVIATIONS)
def test_deviation(name: str) -> None:
    DEVIATIONS[name]()


@pytest.mark.parametrize("name", CONVENTIONS)
def test_convention(name: str) -> None:
    CONVENTIONS[name]()


def test_every_deviation_says_what_lava_dl_does() -> None:
    for name, check in DEVIATIONS.items():
        assert "lava-dl" in (inspect.getdoc(check) or ""), name


def test_every_fact_of_the_list_is_answered() -> None:
    facts = {number: f"{item}: {fact}" for item, facts in ITEMS.items() for number, fact in facts.items()}
    assert [facts[number] for number in facts if number not in ANSWERED] == []
    assert set(ANSWERED) <= set(facts)


def test_a_fact_has_one_answer_so_that_none_hides_a_part_of_it() -> None:
    assert {fact: names for fact, names in ANSWERED.items() if len(names) > 1} == {}
