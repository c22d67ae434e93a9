"""What the commands share: a parser whose errors are ours, and printing."""

from __future__ import annotations

import argparse
import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from slayerloss._check import ArgumentError

if TYPE_CHECKING:
    from slayerloss.train import Run


class Parser(argparse.ArgumentParser):
    """Raises ArgumentError where argparse ends the process."""

    def __init__(self, prog: str, description: str, **options: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, description=description, allow_abbrev=False, formatter_class=formatter, **options)

    def error(self, text: str) -> NoReturn:
        choices = [str(choice) for action in self._actions for choice in action.choices or ()]
        wrong = re.search(r"(?:unrecognized arguments: |invalid choice: ')(\S+?)(?:'|=|\s|$)", text)
        near = difflib.get_close_matches(wrong[1], [*self._option_string_actions, *choices], 1) if wrong else []
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ArgumentError(f"{text}.{meant} `{self.prog} --help` says what it takes.")


def add_run(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that works on a run."""
    parser.add_argument("run", metavar="RUN", help="folder of the run, as slayerloss fit made it")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which (default: best)")
    parser.add_argument("--root", metavar="DIR", help="where the recordings are, if not where the recipe says")


def open_run(options: argparse.Namespace) -> Run:
    """The run that the arguments name."""
    from slayerloss.train import Run

    run = Run.open(options.run)
    if options.root is not None:
        run.recipe.data.root = options.root
    return run


def print_results(results: dict[str, Any]) -> None:
    """Print metrics, how many recordings were silent, and the events of the input and each layer in one line."""
    from slayerloss.train.callbacks import format_metric

    for name, value in results.items():
        if name.startswith("test_") and name not in ("test_recordings", "test_silent"):
            print(f"{name} {format_metric(name, value)}")
    if results.get("test_silent"):
        silent, recordings = int(results["test_silent"]), int(results["test_recordings"])
        print(f"{silent:,} of {recordings:,} recordings had no output spike; they count as class 0")
    events = {name.removeprefix("events_"): value for name, value in results.items() if name.startswith("events_")}
    print("events per recording: " + ", ".join(f"{name} {value:,.0f}" for name, value in events.items()))


def print_files(**files: Path) -> None:
    """Print where things lie, a line each."""
    width = max(len(name) for name in files)
    for name, path in files.items():
        print(f"  {name.replace('_', ' '):{width}}  {path}")


def free_folder(name: str) -> Path:
    """runs/NAME, with a number if that is taken."""
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder


def what_is_left(folder: Path) -> str:
    """After an interrupt of a training: what of it is on the disk, and how to go on."""
    from slayerloss.train.recipe import LAST  # not from what imports lightning: that import may be what was interrupted

    if (folder / "checkpoints" / LAST).is_file():
        return f"interrupted; slayerloss fit --resume {folder} goes on from the last complete epoch"
    if folder.exists():
        return f"interrupted before an epoch was complete: there is nothing to go on from in {folder}; begin it again"
    return "interrupted before anything was written"
