"""The benchmark: its arithmetic, its page, and that what it compares the losses with computes the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import slayerloss

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import cases  # noqa: E402
import goals  # noqa: E402
import harness  # noqa: E402
import report  # noqa: E402
import tables  # noqa: E402
from libraries import compositions, losses, operation, regularizers  # noqa: E402

WAYS = [(title, kind, window, mode, way) for title, kind, window, mode in cases.LOSSES
        for way in compositions.compositions(kind, window, mode)]  # fmt: skip
SHAPES = [(3, 5, 20), (2, 4, 130), (1, 3, 257)]


def seconds(forward: float, backward: float) -> dict[str, list[float]]:
    """A side whose best and median call take the same."""
    return harness.Times([forward], [backward]).summary()


def row(**sides: dict[str, list[float]]) -> dict[str, Any]:
    """A comparison at (2, 5, 10), 100 elements."""
    names = {"ours": "slayerloss", "lava": "lava-dl", "torch": "torch: cumsum", "other": "torch: conv"}
    return {"shape": [2, 5, 10], "loss": "SpikeTime", "times": {names[key]: value for key, value in sides.items()}}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("title", "kind", "window", "mode", "way"), WAYS, ids=lambda value: str(value))
def test_composition_equals_loss(
    title: str, kind: str, window: int | None, mode: str | None, way: str, shape: tuple[int, int, int]
) -> None:
    answers = []
    for loss in (
        losses.slayer_loss(slayerloss, kind, window, mode),
        compositions.compositions(kind, window, mode)[way],
    ):
        spikes, wanted = losses.arguments_of(kind, shape, window)
        value = loss(spikes, wanted)
        answers.append((value.detach(), *torch.autograd.grad(value, spikes)))
    torch.testing.assert_close(answers[0], answers[1], rtol=2e-4, atol=2e-5)


def test_times_are_summed_call_by_call() -> None:
    times = harness.Times()
    times.add([(1.0, 5.0), (2.0, 1.0)])
    times.add([(4.0, 4.0)])
    assert times.summary() == {"forward": [1.0, 2.0], "backward": [1.0, 4.0], "both": [3.0, 6.0]}


def test_ratios() -> None:
    case = row(ours=seconds(1e-6, 3e-6), lava=seconds(8e-6, 8e-6), torch=seconds(6e-6, 6e-6), other=seconds(2e-6, 8e-6))
    assert tables.per_element(case, "slayerloss") == pytest.approx(40)
    assert tables.per_element(case, "slayerloss", "forward") == pytest.approx(10)
    assert tables.ratio(case, "slayerloss", "lava-dl") == pytest.approx(4)
    assert tables.fastest(case, report.sides(case, "torch")) == "torch: conv"
    assert tables.fastest(case, []) is None
    assert "4.0x |          2.5x | conv" in report.loss([case])


def test_limit_is_that_of_the_better_stream() -> None:
    assert tables.limit({"bandwidth": {"copy": 24e9, "triad": 12e9}}) == pytest.approx(0.5)
    assert tables.spread([2.0, 3.0, 1.5]) == 2


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (1.5, "1.5"), (12.34, "12.3"), (1234.5, "1,230"), (123.4, "123")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert tables.number(value) == text


def test_table_is_aligned() -> None:
    text = tables.table(["name", "ms"], [["a", "1.25"], ["longer", "10"]])
    assert text.splitlines() == ["| name   |   ms |", "| ------ | ---: |", "| a      | 1.25 |", "| longer |   10 |"]


def test_a_win_of_another_is_stated() -> None:
    case = row(ours=seconds(2e-6, 2e-6), lava=seconds(1e-6, 1e-6), torch=seconds(4e-6, 4e-6))
    assert report.wins({"loss": [case]}) == ["SpikeTime, (2 x 5 x 10): slayerloss takes 2.0x the time of lava-dl."]
    memory = {"decays": "fixed", "bytes": {"slayerloss functional.cuba": 16.0, "lava-dl cuba.Neuron": 12.0}}
    assert len(report.wins({"memory": [memory]})) == 1
    memory["bytes"]["lava-dl cuba.Neuron"] = 20.0  # type: ignore[index]
    assert report.wins({"memory": [memory], "loss": [row(ours=seconds(1, 1), lava=seconds(2, 2))]}) == []


def test_goals() -> None:
    case = row(ours=seconds(1e-6, 1e-6), lava=seconds(20e-6, 21e-6), torch=seconds(2e-6, 3e-6))
    found = goals.goals({"loss": [case]})
    assert [goal.reached for goal in found] == [True, False]
    assert "1 of 2" in goals.text(found)
    assert "missed: SpikeTime (2 x 5 x 10): torch: cumsum 2.5, at least 3" in goals.text(found)


def test_ways_to_dales_law_are_equal() -> None:
    answers = []
    for way in (regularizers.dale, regularizers.dale_as_trace, regularizers.dale_by_element):
        made = way((40, 30))
        made.call()
        answers.append((made.value, *torch.autograd.grad(made.forward(), made.leaves)))
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0])


@pytest.mark.parametrize("weight_norm", [False, True])
def test_a_step_with_penalties_has_them_all_and_moves_nothing(weight_norm: bool) -> None:
    plain, penalized = (regularizers.step((2, 30, 5), penalties, weight_norm) for penalties in (False, True))
    terms = penalized.loss.terms
    for made in (plain, penalized, penalized):
        before = made.network[1].synapse.weight.detach().clone()
        made.call()
        assert torch.equal(made.network[1].synapse.weight, before)
    assert list(penalized.loss.terms) == ["loss", "bounds", "squares", "dale", "rates"] != list(terms)
    assert plain.value == pytest.approx(float(penalized.loss.terms["loss"]))
    assert penalized.value == pytest.approx(float(sum(penalized.loss.terms.values())))


def test_penalties() -> None:
    sides = {"slayerloss": seconds(1, 1), "slayerloss, penalties": seconds(1, 1.06)}
    step = {"of": "step", "shape": [2, 5, 10], "times": sides}
    found = list(goals.regularizers([step]))
    assert [(goal.value, goal.reached) for goal in found] == [(pytest.approx(0.03), True)]
    dale = {"of": "dale", "shape": [2, 5], "times": {"slayerloss": seconds(1, 1), "torch: trace": seconds(2, 4)}}
    assert [(goal.value, goal.reached) for goal in goals.regularizers([dale])] == [(3, False)]
    normed = {**step, "weight_norm": True}
    assert "weight norm" in next(goals.regularizers([normed])).text
    assert report.NORMED in report.regularizers([normed])
    text = report.regularizers([dale, step])
    assert report.NORMED not in text
    assert "3.0 %" in text
    assert "torch: trace" in text
    assert report.wins({"regularizers": [dale, step]}) == []


def test_different_numbers_are_not_compared() -> None:
    harness.check_equal("input", {}, 0)
    harness.check_equal("input", {"a": 1.0, "b": 1.0 + 1e-12}, 1e-9)
    with pytest.raises(ValueError, match="the input differs"):
        harness.check_equal("input", {"a": 1.0, "b": 1.1}, 1e-9)


def test_input_is_the_same_in_every_order() -> None:
    x = operation.random_input((2, 3, 4))
    assert torch.equal(operation.random_input((2, 3, 4), "TNC").movedim(0, -1), x)
    assert torch.equal(operation.random_input((2, 3, 4), "NTC").transpose(1, 2), x)
    first = operation.random_input((2, 3, 4), first="T")
    assert torch.equal(first, x)
    assert first.movedim(-1, 0).is_contiguous()


def test_unknown_part() -> None:
    assert cases.names(["memory", "neuron"]) == ["neuron", "memory"]
    with pytest.raises(ValueError, match="no part losses; there are neuron"):
        cases.names(["losses"])


def test_sides_take_turns_in_processes(capfd: pytest.CaptureFixture[str]) -> None:
    bench = harness.Bench(threads=1, rounds=2, seconds=0)
    bench.missing = {name: "not asked" for name in harness.LIBRARIES if name != "slayerloss"}
    broken = harness.Side("slayerloss broken", "slayerloss", "functional.cuba", {"learnable": "never"})
    try:
        result = bench.compare([*cases.OURS, broken, *cases.OTHERS], (2, 3, 7))
        rise = bench.ask("rise", cases.OURS[0], (2, 3, 7))
    finally:
        bench.close()
    assert list(result.times) == [side.name for side in cases.OURS]
    assert result.failed == {"slayerloss broken": "KeyError: 'never'"}
    assert all(part[0] > 0 for parts in result.times.values() for part in parts.values())
    assert len(set(result.values.values())) == 1  # the same rate of spikes
    assert rise >= 0


def test_page_is_that_of_the_results() -> None:
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    assert set(results["groups"]) <= set(report.TITLES) == set(cases.GROUPS) == set(goals.GOALS)
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert page == report.page(results)
