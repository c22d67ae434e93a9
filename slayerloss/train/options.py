"""Recipes from YAML files and from a command line: jsonargparse knows the options and their types, what is said of a
wrong one is said here."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slayerloss._check import ArgumentError, FormatError, check_choice, check_installed, message
from slayerloss._path import check_file_to_read
from slayerloss.train.recipe import DataOptions, NetworkOptions, Options, Recipe, TrainerOptions

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SHIPPED = Path(__file__).parent.parent / "recipes"
"""The recipes inside the package."""

_SECTIONS = {"data": DataOptions, "network": NetworkOptions, "trainer": TrainerOptions}


def recipe_parser(prog: str, **arguments: Any) -> ArgumentParser:
    """A command line with --config and an option for each value of a recipe; others may be added."""
    check_installed(prog, "jsonargparse", "train")
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog=prog, exit_on_error=False, **arguments)
    text = f"a YAML file, or the name of a recipe that the package brings ({', '.join(shipped())})"
    text += "; later ones override earlier ones"
    parser.add_argument("--config", action="append", metavar="RECIPE", help=text)
    parser.add_class_arguments(Recipe)
    for action in parser._actions:  # what jsonargparse adds and a recipe does not need: --data FILE, --data.augment+
        action.option_strings = [text for text in action.option_strings if not text.endswith("+")]
        if action.dest in _SECTIONS:
            action.help = argparse.SUPPRESS
    return parser


def shipped() -> list[str]:
    """The names of the recipes that the package brings."""
    return sorted(file.stem for file in SHIPPED.glob("*.yaml"))


def parse_recipe(parser: ArgumentParser, args: Sequence[str]) -> tuple[Recipe, Options]:
    """The recipe that a command line gives, and the values of the parser's other options.

    Args:
        parser: from `recipe_parser`.
        args: of the command line. `--a.b.1.c VALUE` sets what is there in the recipe, also inside of lists.

    Raises:
        ArgumentError: an option or key is unknown, or a value has the wrong type.
        FormatError: a recipe is no YAML.
        OSError: it cannot be read.
    """
    own, overrides = _split(parser, args)
    options = {name: value for name, value in _parse(parser.parse_args, own).items() if name not in _names(Recipe)}
    values = dataclasses.asdict(Recipe())
    for name in options["config"] or []:
        _merge(values, _load(_find(name)))
    for key, text in overrides:
        _set(values, key, _value(text, key))
    _check_keys(Recipe, values, "")
    parsed = _parse(parser.parse_object, values)
    whole: Options = {name: parsed[name] for name in _names(Recipe)}
    for name, section in _SECTIONS.items():
        whole[name] = section(**whole[name])
    return Recipe(**whole), options


def _names(kind: type) -> list[str]:
    return [option.name for option in dataclasses.fields(kind)]


def _split(parser: ArgumentParser, args: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """A command line without the values of the recipe, and those."""
    own: list[str] = []
    overrides: list[tuple[str, str]] = []
    options = [text[2:] for action in parser._actions for text in action.option_strings if text.startswith("--")]
    options = [name for name in options if "." not in name]
    rest = iter(args)
    for argument in rest:
        key, equals, text = argument[2:].partition("=")
        if not argument.startswith("--"):
            own.append(argument)
            continue
        check_choice("command line", f"option --{key}", key.split(".")[0], options)
        if key.split(".")[0] not in _names(Recipe):
            own.append(argument)
            continue
        value = text if equals else next(rest, None)
        if value is None or (not equals and value.startswith("--")):
            raise ArgumentError(
                message("command line", f"--{key} has no value", "a value", value or "nothing after it")
            )
        overrides.append((key, value))
    return own, overrides


def _parse(parse: Any, values: Any) -> Options:
    """Parse with jsonargparse, whose complaints become ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            parsed: Options = parse(values).as_dict()
            return parsed
    except argparse.ArgumentError as error:
        text = re.sub(r"\s+", " ", str(error))
        match = re.search(r'key "([\w.]+)":.*value: (.*)', text)
        if match is None:
            way_out = "A recipe is given as --config RECIPE; `slayerloss fit --help` says what else there is."
            raise ArgumentError(f"{text}. {way_out}") from None
        section, _, name = match[1].rpartition(".")
        types = {option.name: str(option.type) for option in dataclasses.fields(_SECTIONS.get(section, Recipe))}
        expected = types.get(name, "another type").replace("Options", "{type: NAME, ...}")
        raise ArgumentError(message("recipe", f"{match[1]} has the wrong type", expected, match[2])) from None


def _find(name: str) -> Path:
    path = Path(name)
    return SHIPPED / f"{name}.yaml" if name in shipped() and not path.is_file() else path


def _load(path: Path) -> Any:
    if not path.exists():
        rule = f"a YAML file, or the name of a recipe that the package brings: {', '.join(shipped())}"
        raise ArgumentError(message("--config", "there is no such recipe", rule, repr(str(path))))
    check_file_to_read("--config", path)
    try:
        return _yaml(path.read_text(encoding="utf-8"), f"'{path}'") or {}
    except UnicodeDecodeError as error:
        got = f"bytes that are not UTF-8 from byte {error.start} on"
        raise FormatError(message("recipe", f"'{path}' is no text", "YAML", got)) from None


def _value(text: str, key: str) -> Any:
    """The value of --key; a pattern such as *.weight is a text, since an alias has nothing to stand for here."""
    return text if text.startswith("*") else _yaml(text, f"--{key}")


def _yaml(text: str, place: str) -> Any:
    import yaml

    try:
        value = yaml.load(text, Loader=_loader())
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that there is not
        where = _where(text, error)
        way_out = 'Put what begins with * into quotes: "*.weight"' if re.search(r"[:\[,-] *\*", where) else ""
        raise FormatError(message("recipe", f"{place} is no YAML", "key: value", where, way_out)) from None
    try:
        json.dumps(value, default=str, skipkeys=True)
    except (ValueError, RecursionError):
        raise FormatError(message("recipe", f"{place} holds itself", "values with an end", "an alias in it")) from None
    return value


def _where(text: str, error: Exception) -> str:
    """The line at which the parser gave up; what it says itself if it does not know."""
    mark = getattr(error, "problem_mark", None)
    position = getattr(error, "position", None) if mark is None else mark.index
    if position is None:
        return str(error)
    lines = text.split("\n")
    number = min(text.count("\n", 0, position), len(text.rstrip().split("\n")) - 1)
    return f"{lines[number].rstrip()[:80]!r} in line {number + 1}"


@functools.lru_cache
def _loader() -> Any:
    """YAML's safe loader, for which 1e-3 is a number, as it is in YAML 1.2."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))
    return Loader


def _merge(values: Options, new: Any) -> None:
    """Put the values of a recipe over others, section by section."""
    if not isinstance(new, Mapping):
        raise FormatError(message("recipe", "the file is no table", "key: value", repr(new)))
    for name, value in new.items():
        if name in _SECTIONS and isinstance(value, Mapping):
            values[name].update(value)
        else:
            values[name] = value


def _set(values: Options, key: str, value: Any) -> None:
    """Set what a key such as network.layers.1.out_neurons stands for."""
    *parents, last = key.split(".")
    place: Any = values
    for part in parents:
        place = place[_index(place, part, key)] if isinstance(place, list) else _inside(place, part, key)
    if isinstance(place, list):
        place[_index(place, last, key)] = value
    else:
        place[last] = value


def _inside(place: Options, part: str, key: str) -> Any:
    if place.get(part) is None:
        place[part] = {}
    if not isinstance(place[part], dict | list):
        raise ArgumentError(message("command line", f"--{key} is not there", f"{part} with parts", place[part]))
    return place[part]


def _index(place: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise ArgumentError(message("command line", f"--{key} is not there", f"an index below {len(place)}", part))
    return int(part)


def _check_keys(kind: type, values: Any, place: str) -> None:
    """Refuse keys that a recipe, or a section of it, does not have."""
    if not isinstance(values, Mapping):
        raise FormatError(message("recipe", f"{place.rstrip('.')} is no table", "key: value", repr(values)))
    for key in values:
        check_choice("recipe", f"key {place + str(key)!r}", key, _names(kind))
        if kind is Recipe and key in _SECTIONS:
            _check_keys(_SECTIONS[key], values[key], f"{key}.")
