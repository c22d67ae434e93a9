"""`slayerloss fit`: train by a recipe, or go on with a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slayerloss._check import ArgumentError, message
from slayerloss.cli._parser import free_folder, print_files, print_results, what_is_left

if TYPE_CHECKING:
    from slayerloss.train import Recipe

_USAGE = """slayerloss fit --config RECIPE [--out DIR] [--test] [--KEY VALUE ...]
       slayerloss fit --resume RUN [--test] [--KEY VALUE ...]"""

_DESCRIPTION = """Train by a recipe, or go on with a training. Every value of the recipe can be overridden, for instance
--trainer.max_epochs 3, --data.root ../nmnist, --network.layers.1.out_neurons 64, --loss.true_rate=0.3."""


def main(arguments: Sequence[str]) -> int:
    """Train; see `slayerloss fit --help`."""
    from slayerloss.train.options import parse_recipe, recipe_parser

    parser = recipe_parser("slayerloss fit", usage=_USAGE, description=_DESCRIPTION)
    parser.add_argument("--out", metavar="DIR", help="folder of the run; without it runs/NAME, with a free number")
    parser.add_argument("--resume", metavar="RUN", help="go on from the last complete checkpoint of a run")
    parser.add_argument("--test", action="store_true", help="then measure the best checkpoint on the test recordings")
    recipe, options = parse_recipe(parser, arguments)
    resume, configs = options["resume"], options["config"] or []
    if resume is not None:
        way_out = "A run keeps its recipe and its folder; single values may be given, such as --data.root FOLDER"
        for name in ("out", "config"):
            if options[name]:
                problem = f"--{name} does not go with --resume"
                raise ArgumentError(message("command line", problem, "one of them", "both", way_out))
        from slayerloss.train import Run

        run = Run.open(resume)
        recipe, _ = parse_recipe(parser, ["--config", str(run.folder / "recipe.yaml"), *arguments])
    elif not configs:
        way_out = "--config digits trains on the embedded digits"
        raise ArgumentError(message("command line", "--config is missing", "a recipe", "none", way_out))
    out = Path(resume or options["out"] or free_folder(_name(Path(str(configs[-1])))))
    return _train(recipe, out, resume=resume is not None, test=options["test"])


def _train(recipe: Recipe, out: Path, resume: bool, test: bool) -> int:
    from slayerloss import train
    from slayerloss.train.run import first_process

    try:
        run = train.fit(recipe, out, resume=resume, test=test)
    except KeyboardInterrupt:
        if first_process():
            print(what_is_left(out))
        return 130
    if first_process():
        if test:
            print_results(run.results())
        print_files(run=run.folder, best=run.checkpoint("best"), metrics=run.folder / "metrics.csv")
        commands = ["plot", "export"] if test else ["test", "plot", "export"]
        print("Next: " + ", ".join(f"slayerloss {command} {out}" for command in commands))
    return 0


def _name(config: Path) -> str:
    """NAME of NAME.yaml or datasets/NAME/recipe.yaml, NAME-OTHER of datasets/NAME/OTHER.yaml."""
    if config.parent.parent.name != "datasets":
        return config.stem
    return config.parent.name + ("" if config.stem == "recipe" else f"-{config.stem}")
