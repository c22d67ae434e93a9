"""Directives that take their content from the repository itself: a command's help, the lists of deviations and habits."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]


class Help(SphinxDirective):
    """`{help} COMMAND`: what `slayerloss COMMAND --help` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The text, as it is."""
        command = [sys.executable, "-m", "slayerloss.cli", self.arguments[0], "--help"]
        done = subprocess.run(
            command,
            env={**os.environ, "COLUMNS": "94"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return [nodes.literal_block(done.stdout, done.stdout, language="text")]


class Checks(SphinxDirective):
    """A table of the checks in some tests: their names, which say what is so, and their docstrings beside them."""

    decorator: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[str, str]]

    def run(self) -> list[nodes.Node]:
        """A section heading, as a rubric, and a table for each section of the tests."""
        tables: dict[str, list[str]] = {}
        for name in self.files:
            path = ROOT / "tests" / name
            text = path.read_text(encoding="utf-8")
            self.env.note_dependency(str(path))
            sections = {
                text.count("\n", 0, m.start()) + 1: m[1]
                for m in re.finditer(r"^# (\w.*)$", text, re.MULTILINE)
            }
            for line, here, there in _checks(ast.parse(text), self.decorator):
                section = sections[max(start for start in sections if start < line)]
                here = here if "_" in here.split()[0] else here[:1].upper() + here[1:]
                row = f"* - {here}.\n  - {there}"
                tables.setdefault(section, []).append(row)
        lines = []
        for section, rows in tables.items():
            head = [f"* - {self.columns[0]}", f"  - {self.columns[1]}"]
            lines += [
                f":::{{rubric}} {section}",
                ":::",
                ":::{list-table}",
                ":header-rows: 1",
                ":widths: 1 1",
                "",
                *head,
                *"\n".join(rows).split("\n"),
            ]
            lines += [":::", ""]
        return self.parse_text_to_nodes("\n".join(lines))


class Deviations(Checks):
    """`{deviations}`: everything that is otherwise than in lava-dl."""

    decorator = "deviation"
    files = tuple(
        f"lava_dl_{part}_deviations.py" for part in ("neuron", "block", "other", "file")
    )
    columns = ("slayerloss", "lava-dl")


class Conventions(Checks):
    """`{conventions}`: what is as in lava-dl unless an option asks for something else."""

    decorator = "convention"
    files = ("lava_dl_conventions.py",)
    columns = ("by default", "the other way")


def _checks(tree: ast.Module, decorator: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and docstring of each check."""
    for node in tree.body:
        for call in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id == decorator
            ):
                yield (
                    node.lineno,
                    ast.literal_eval(call.args[0]),
                    " ".join((ast.get_docstring(node) or "").split()),
                )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("help", Help)
    app.add_directive("deviations", Deviations)
    app.add_directive("conventions", Conventions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
