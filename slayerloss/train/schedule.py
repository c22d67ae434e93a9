"""Learning rate over the steps of a training, as a factor of the optimiser's."""

from __future__ import annotations

import math

from slayerloss._check import check_choice, check_range

_SHAPES = ("constant", "linear", "cosine", "one_cycle")


class Schedule:
    """A factor of the learning rate: it rises during the warm-up, and falls to the end.

    Args:
        type: "constant" stays at 1, "linear" falls on a straight line, "cosine" on a half cosine; "one_cycle" rises and
            falls on half cosines.
        warmup: the fraction of the steps that rise, in [0, 1]; None for 0, with "one_cycle" for 0.3.
        final: the factor at the end, at least 0.

    Example:
        >>> schedule = Schedule("cosine", warmup=0.2)
        >>> [round(schedule(step, 10), 2) for step in range(10)]
        [0.33, 0.67, 1.0, 0.96, 0.85, 0.69, 0.5, 0.31, 0.15, 0.04]
    """

    def __init__(self, type: str = "constant", warmup: float | None = None, final: float = 0.0) -> None:
        check_choice("schedule", "type", type, _SHAPES)
        self.type = type
        self.warmup = (0.3 if type == "one_cycle" else 0.0) if warmup is None else warmup
        self.final = final
        check_range("schedule", "warmup", self.warmup, 0, 1)
        check_range("schedule", "final", final, 0)

    def __call__(self, step: int, num_steps: float) -> float:
        """The factor at `step` of `num_steps`; an endless training stays at the beginning of the fall."""
        rise = self.warmup * num_steps if math.isfinite(num_steps) else 0
        if step < rise:
            done = (step + 1) / (rise + 1)
            return (1 - math.cos(math.pi * done)) / 2 if self.type == "one_cycle" else done
        left = 1 - (step - rise) / (num_steps - rise) if num_steps > rise else 1.0
        left = max(left, 0.0)
        shape = {"constant": 1.0, "linear": left}.get(self.type, (1 - math.cos(math.pi * left)) / 2)
        return self.final + (1 - self.final) * shape
