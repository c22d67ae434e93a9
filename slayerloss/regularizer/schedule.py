"""The weight of a penalty over a training."""

from __future__ import annotations

import math

from slayerloss._check import check_choice, check_range

_SHAPES = ("constant", "ramp", "cosine")


class WeightSchedule:
    """A factor in [0, 1] of a penalty's weight: 0 before `begin`, and 1 from `end` on.

    done = (progress - begin) / (end - begin), between 0 and 1; ramp: factor = done; cosine: (1 - cos(pi done)) / 2;
    constant: 1 from `begin` on.

    Args:
        type: "constant", "ramp" or "cosine".
        begin: fraction of the training at which the penalty begins, in [0, 1].
        end: fraction at which it has its whole weight, in (begin, 1]; "constant" has it at once.

    Raises:
        ArgumentError: the type is unknown, or a fraction out of range.

    Example:
        >>> schedule = WeightSchedule("ramp", begin=0.2, end=0.6)
        >>> [round(schedule(progress), 2) for progress in (0.0, 0.2, 0.3, 0.6, 1.0)]
        [0.0, 0.0, 0.25, 1.0, 1.0]
    """

    def __init__(self, type: str = "constant", begin: float = 0.0, end: float = 1.0) -> None:
        check_choice("WeightSchedule", "type", type, _SHAPES)
        self.type = type
        self.begin = check_range("WeightSchedule", "begin", begin, 0, 1)
        self.end = check_range("WeightSchedule", "end", end, self.begin, 1, low_open=True)

    def __call__(self, progress: float) -> float:
        """The factor at `progress`, the fraction of the training that is done, in [0, 1]."""
        if self.type == "constant":
            return float(progress >= self.begin)
        done = min(max((progress - self.begin) / (self.end - self.begin), 0.0), 1.0)
        return done if self.type == "ramp" else (1 - math.cos(math.pi * done)) / 2

    @property
    def changes(self) -> bool:
        """Whether the factor is ever another than 1."""
        return self.type != "constant" or self.begin > 0

    def __repr__(self) -> str:
        return f"WeightSchedule({self.type!r}, begin={self.begin:g}, end={self.end:g})"
