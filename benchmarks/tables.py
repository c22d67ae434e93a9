"""Tables in Markdown, aligned so that they can be read in a terminal too, and the arithmetic of their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

Times = Mapping[str, Mapping[str, Sequence[float]]]
"""By the name of a side: [smallest, median] seconds of "forward", "backward" and "both"."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; numbers, which are all columns but the first, stand on the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in pairs(cells)]
        return f"| {' | '.join([first, *others])} |"

    def pairs(cells: Sequence[str]) -> list[tuple[int, tuple[str, int]]]:
        return list(enumerate(zip(cells, widths, strict=True)))

    rule = (
        "| " + " | ".join("-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)) + " |"
    )
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def number(value: float) -> str:
    """Three digits."""
    if value == 0 or value != value:
        return f"{value:g}"
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if "e" in digits or abs(value) >= 100 else digits


def times(value: float) -> str:
    """A ratio."""
    return f"{value:.0f}x" if value >= 20 else f"{value:.1f}x" if value >= 2 else f"{value:.2f}x"


def shape_text(shape: Sequence[int]) -> str:
    """32 x 512 x 300."""
    return " x ".join(f"{size:,}" for size in shape)


def smallest(row: Mapping[str, Any], side: str, part: str = "both") -> float:
    """Seconds of a side's best call."""
    return float(row["times"][side][part][0])


def per_element(row: Mapping[str, Any], side: str, part: str = "both") -> float:
    """Nanoseconds per element of a side's best call."""
    return smallest(row, side, part) / prod(row["shape"]) * 1e9


def ratio(row: Mapping[str, Any], side: str, other: str, part: str = "both") -> float:
    """How many times as long as `side` the other takes."""
    return smallest(row, other, part) / smallest(row, side, part)


def extra(row: Mapping[str, Any], side: str, other: str, part: str = "both") -> float:
    """By what share of the time of `side` the other takes longer."""
    return ratio(row, side, other, part) - 1


def fastest(row: Mapping[str, Any], sides: Sequence[str], part: str = "both") -> str | None:
    """The one that takes the least time, of those that were measured."""
    measured = [side for side in sides if side in row["times"]]
    return min(measured, key=lambda side: smallest(row, side, part)) if measured else None


def limit(row: Mapping[str, Any], bytes_per_element: float = 12) -> float:
    """Nanoseconds per element at the measured bandwidth."""
    return bytes_per_element / max(row["bandwidth"].values()) * 1e9


def spread(values: Sequence[float]) -> float:
    """The worst over the best."""
    return max(values) / min(values)
