"""The numbers that the library is meant to reach, and whether the results do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from report import FLOATS, LAVA_DL, OURS, by_operation, measured, sides
from tables import extra, fastest, limit, per_element, ratio, shape_text, spread

Row = Mapping[str, Any]

LAVA_DL_NEURON = {(32, 512, 300): 40, (16, 2048, 100): 30, (8, 128, 2000): 80}
FLOAT_NEURON = 8
LIMIT = {"fixed": 3, "learnt": 4}
BYTES = 16
LAVA_DL_LOSS, TORCH_LOSS = 20, 3
SMALL_LOSS = (32, 10, 300)
GOAL_LOSSES = ("window 20", "SpikeTime")
LAVA_DL_PILOTNET = 5
LAVA_DL_STEP, LAVA_DL_STEP_MEMORY = 10, 1 / 3
SPREAD = 1.5
FIRST_CALL = 0.05
TRACE = 4
SHARE = 0.05


class Goal(NamedTuple):
    """A number, and the bound that it is to keep."""

    text: str
    value: float
    bound: float
    at_least: bool

    @property
    def reached(self) -> bool:
        """Whether it does."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def neuron(rows: Sequence[Row]) -> Iterator[Goal]:
    """Against lava-dl, and against the fastest of the others."""
    for row in rows:
        for side in sides(row, OURS):
            case = f"{side} ({shape_text(row['shape'])}), decays {row['decays']}"
            for name, starts, bound in (
                ("lava-dl", [LAVA_DL], LAVA_DL_NEURON[tuple(row["shape"])]),
                ("fastest float neuron", FLOATS, FLOAT_NEURON),
            ):
                other = fastest(row, sides(row, *starts))
                if other:
                    yield Goal(f"{case}: {name}", ratio(row, side, other), bound, True)


def limits(rows: Sequence[Row]) -> Iterator[Goal]:
    """Of the bandwidth."""
    for row in rows:
        for side in row["times"]:
            bound = LIMIT[side.split(": ")[1].split(",")[0]]
            for part in ("forward", "backward"):
                case = f"{side} ({shape_text(row['shape'])}), {row['memory']}: {part} over limit"
                yield Goal(case, per_element(row, side, part) / limit(row), bound, False)


def memory(rows: Sequence[Row]) -> Iterator[Goal]:
    """Of a neuron."""
    for row in rows:
        for side in row["bytes"]:
            if side.startswith(OURS):
                yield Goal(f"{side}, decays {row['decays']}: bytes", row["bytes"][side], BYTES, False)


def loss(rows: Sequence[Row]) -> Iterator[Goal]:
    """Against lava-dl and torch."""
    for row in measured(rows):
        if not any(word in row["loss"] for word in GOAL_LOSSES):
            continue
        small = tuple(row["shape"]) == SMALL_LOSS
        for start, bound in ((LAVA_DL, LAVA_DL_LOSS), ("torch", TORCH_LOSS)):
            other = fastest(row, sides(row, start))
            if other:
                case = f"{row['loss']} ({shape_text(row['shape'])}): {other}"
                yield Goal(case, ratio(row, OURS, other), 1 if small else bound, True)


def training(rows: Sequence[Row]) -> Iterator[Goal]:
    """A step."""
    for row in rows:
        if LAVA_DL not in row["times"]:
            continue
        for side in sides(row, OURS):
            yield Goal(f"training step, {side}: lava-dl", ratio(row, side, LAVA_DL), LAVA_DL_STEP, True)
            peak, theirs = row["peaks"][side], row["peaks"][LAVA_DL]
            yield Goal(f"training step, {side}: memory over lava-dl's", peak / theirs, LAVA_DL_STEP_MEMORY, False)


def pilotnet(rows: Sequence[Row]) -> Iterator[Goal]:
    """Of sigma-delta."""
    for row in rows:
        if LAVA_DL in row["times"]:
            text = f"PilotNet, frames of {row['frames']}: lava-dl"
            yield Goal(text, ratio(row, OURS, LAVA_DL), LAVA_DL_PILOTNET, True)


def regularizers(rows: Sequence[Row]) -> Iterator[Goal]:
    """Of a matrix, and beside a step."""
    for row in rows:
        if row["of"] == "dale":
            yield Goal("DaleLawL2: the trace in torch", ratio(row, OURS, "torch: trace"), TRACE, True)
        else:
            text = f"penalties: share of a training step{', weight norm' * row.get('weight_norm', False)}"
            yield Goal(text, extra(row, OURS, f"{OURS}, penalties"), SHARE, False)


def linear(rows: Sequence[Row]) -> Iterator[Goal]:
    """Over the length."""
    for side, values in by_operation(rows).items():
        yield Goal(f"{side}: worst over best length", spread(list(values.values())), SPREAD, False)


def first(rows: Sequence[Row]) -> Iterator[Goal]:
    """Of the first call."""
    for row in rows:
        one, two = row["seconds"]
        yield Goal(f"{row['operation']}: first call, s more than the second", one - two, FIRST_CALL, False)


GOALS = {
    "neuron": neuron,
    "limit": limits,
    "memory": memory,
    "loss": loss,
    "training": training,
    "pilotnet": pilotnet,
    "regularizers": regularizers,
    "linear": linear,
    "first": first,
}


def goals(groups: Mapping[str, Sequence[Row]]) -> list[Goal]:
    """Those of the parts that were measured."""
    return [goal for name, rows in groups.items() for goal in GOALS[name](rows)]


def text(found: Sequence[Goal]) -> str:
    """A line for each that is missed, and how many are reached."""
    missed = [goal for goal in found if not goal.reached]
    lines = [f"{len(found) - len(missed)} of {len(found)} goals are reached"]
    for goal in missed:
        lines.append(
            f"  missed: {goal.text} {goal.value:.3g}, {'at least' if goal.at_least else 'at most'} {goal.bound:.3g}"
        )
    return "\n".join(lines)
