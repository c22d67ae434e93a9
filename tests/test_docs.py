"""What the documentation says is so: its code runs, its commands exist, its reference has every public name."""

from __future__ import annotations

import doctest
import importlib
import io
import re
import shlex
import types
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_public_api import PUBLIC

from slayerloss import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(set((ROOT / "docs").rglob("*.md")) - set((ROOT / "docs" / "_build").rglob("*.md")))
CARDS = sorted((ROOT / "datasets").rglob("*.md"))
FENCE = re.compile(r"^(```+|:::+)(?P<kind>[^\n`]*)\n(?P<text>.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = [name for name in PUBLIC if name not in ("", "cli", "kernels")]


class Block(NamedTuple):
    """A fenced block: what stands behind the fence, its text, its first line's number in the file."""

    kind: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = FENCE.finditer(text)
    return [Block(m["kind"].strip(), m["text"], text.count("\n", 0, m.start("text"))) for m in found]


def run_python(page: Path) -> int:
    """Run a page's Python, doctests and plain code, from top to bottom in one namespace; the number of blocks."""
    namespace: dict[str, Any] = {"__name__": page.stem}
    number = 0
    for block in blocks(page):
        if not block.kind.startswith(("python", "{code-cell}")):
            continue
        number += 1
        if ">>> " not in block.text:
            source = re.sub(r"\A(:.*\n)+", "", block.text)  # a code cell's options
            exec(compile("\n" * block.line + source, str(page), "exec"), namespace)
            continue
        test = doctest.DocTestParser().get_doctest(block.text, namespace, page.name, str(page), block.line)
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(test, out=report.write, clear_globs=False)
        assert runner.failures == 0, report.getvalue()
        namespace = test.globs
    return number


def identify(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to write to, and no windows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text("utf-8")], ids=identify)
def test_python_of_a_page_runs(page: Path) -> None:
    assert run_python(page) > 0


@pytest.mark.parametrize("card", CARDS, ids=identify)
def test_python_of_a_dataset_card_runs(card: Path, shared: Path, workplace: Path) -> None:
    for name in ("NMNIST", "oxford"):
        (workplace / name).symlink_to(shared / "data" / name)
    assert run_python(card) > 0


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_commands_of_a_page_give_what_it_says(page: Path) -> None:
    for block in blocks(page):
        if block.kind != "console":
            continue
        for command, expected in re.findall(r"^\$ slayerloss (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
            out = io.StringIO()
            with redirect_stdout(out):
                cli.main(shlex.split(command))
            same = doctest.OutputChecker().check_output(expected, out.getvalue(), FLAGS)
            assert same, f"slayerloss {command} gives\n{out.getvalue()}\n{page} says\n{expected}"


def commands(block: Block) -> list[str]:
    return block.text.replace("\\\n", " ").splitlines()


def help_of(command: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit):
        cli.main([command, "--help"])
    return out.getvalue()


@pytest.mark.parametrize("page", [*PAGES, *CARDS], ids=identify)
def test_commands_of_a_page_exist(page: Path) -> None:
    called = [line for block in blocks(page) if block.kind in ("sh", "console") for line in commands(block)]
    known: dict[str, str] = {}
    for line in called:
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if len(words) < 2 or words[0] != "slayerloss" or words[1] == "--help":
            continue
        text = known.setdefault(words[1], help_of(words[1]))
        for option in (word.split("=")[0] for word in words[2:] if word.startswith("-")):
            base = re.sub(r"^(--(network|loss|optimizer|schedule|sparsity|regularizers))\..*", r"\1", option)
            assert re.search(rf"(?<![\w-]){re.escape(base)}\b", text), f"{page}: slayerloss {words[1]} has no {option}"


def documented() -> list[Any]:
    """What the pages of the reference list, module by module."""
    found = []
    for page in sorted((ROOT / "docs" / "reference").glob("*.rst")):
        module = ""
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith(".. currentmodule::"):
                module = line.split()[-1]
            elif re.fullmatch(r"   [A-Za-z_][\w.]*", line):
                thing: Any = importlib.import_module(module)
                for part in line.strip().split("."):
                    thing = getattr(thing, part)
                found.append(thing)
    return found


def test_the_reference_has_every_public_name() -> None:
    there = {id(thing) for thing in documented()}
    missing = []
    for name in MODULES:
        module = importlib.import_module(f"slayerloss.{name}")
        for public in module.__all__:
            thing = getattr(module, public)
            if not isinstance(thing, types.ModuleType) and id(thing) not in there:
                missing.append(f"{name}.{public}")
    assert missing == []
