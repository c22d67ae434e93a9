"""Texts that fit: names of files, classes and layers may be of any length, and figures are not."""

from __future__ import annotations

from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

_SAFE = 1.03  # a renderer rounds the letters to its pixels
_ELLIPSIS = "\u2026"


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text in points.

    Example:
        >>> width_of("", 9.0), width_of("wide", 9.0) < width_of("wider", 9.0)
        (0.0, True)
    """
    if not text.strip():
        return 0.0
    font = FontProperties(weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1) * _SAFE


def shortened(text: str, points: float, size: float, bold: bool = False) -> str:
    """The text, or as much of its beginning and its end as fits into a width, with three dots between them.

    Example:
        >>> shortened("short", 200, 9.0), shortened("recordings/of/the/second/day/00819.bin", 100, 9.0)
        ('short', 'recording\u202600819.bin')
    """
    if width_of(text, size, bold) <= points:
        return text
    low, high = 0, len(text) - 1  # letters that are kept: `low` fit, if only as none
    while low < high:
        kept = (low + high + 1) // 2
        if width_of(_without_middle(text, kept), size, bold) <= points:
            low = kept
        else:
            high = kept - 1
    return _without_middle(text, low)


def _without_middle(text: str, kept: int) -> str:
    first = (kept + 1) // 2
    return text[:first] + _ELLIPSIS + text[len(text) - (kept - first) :]


def wrapped(text: str, points: float, size: float, bold: bool = False) -> str:
    """The text in lines that fit into a width, broken at blanks; a word that alone is too long loses its middle.

    Example:
        >>> wrapped("recording 0/00819.bin, class 0", 90, 9.0)
        'recording\\n0/00819.bin, class\\n0'
    """
    lines = []
    for line in text.split("\n"):
        current = ""
        for word in (shortened(word, points, size, bold) for word in line.split(" ")):
            longer = f"{current} {word}" if current else word
            if current and width_of(longer, size, bold) > points:
                lines.append(current)
                longer = word
            current = longer
        lines.append(current)
    return "\n".join(lines)
