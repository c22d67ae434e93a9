"""Docstrings as the pages show them: plain formulas in lines of their own, and links out of the blocks' arguments."""

from __future__ import annotations

import inspect
import itertools
import re
from typing import Any

from sphinx.application import Sphinx

_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Example|Note|References):$")
_ANGLES = re.compile(
    r"(?<![`:])`([^`]*<[^`]*)`(?!`)"
)  # what a role would take for a title and its target
_FORMULA = re.compile(r"^\S.*(?<![=<>!])=(?!=)")


def _polish(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    if isinstance(obj, type) and not any(
        lines
    ):  # `block.cuba.Dense` and its like have that of their layer
        lines[:] = (inspect.getdoc(obj) or "").splitlines()
    head = list(itertools.takewhile(lambda line: not _SECTION.match(line), lines))
    polished = []
    for is_text, group in itertools.groupby(head, key=lambda line: bool(line.strip())):
        paragraph = list(group)
        is_formula = (
            is_text
            and polished
            and _FORMULA.match(paragraph[0])
            and paragraph[-1][-1] not in ".:"
        )
        polished += _as_formula(paragraph) if is_formula else paragraph
    lines[: len(head)] = polished
    lines[:] = [_ANGLES.sub(r"``\1``", line) for line in lines]


def _as_formula(paragraph: list[str]) -> list[str]:
    """A literal block, an equation a line: two blanks behind a comma or semicolon part them in the docstrings."""
    equations = re.split(r"[;,]  +|;\n", "\n".join(paragraph).replace("`", ""))
    equations = [equation for text in equations for equation in text.split("\n")]
    return ["::", "", *(f"    {equation}" for equation in equations)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _polish, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
