"""Create what a recipe names, from arguments that were written by hand: whatever is wrong is said with its place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from slayerloss._check import ArgumentError, DtypeError, SlayerError, check_choice, message

_SIMPLE: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "None": (type(None),),
    "Tensor": (Tensor,),
    "torch.Tensor": (Tensor,),
}
_ALIASES = {"Size": "int | tuple[int, int]"}
_TUPLES = ("tuple[int, ...]", "tuple[int, int]")
# Annotations by which a value from a recipe is checked; other ones leave that to what is created.


def by_name(place: str, module: Any, known: Sequence[str], options: Mapping[str, Any]) -> Any:
    """Create what `options["type"]` names, with the other options as arguments.

    Args:
        place: in the recipe, for errors.
        module: where the classes are.
        known: their names.
        options: type and arguments.

    Raises:
        SlayerError: the type or an argument is unknown, or an argument is missing, of the wrong type or out of range.

    Example:
        >>> from slayerloss import loss
        >>> by_name("loss", loss, ["SpikeTime"], {"type": "SpikeTime", "time_constant": 2.0})
        SpikeTime()
    """
    check_kind(place, known, options)
    arguments = {name: value for name, value in options.items() if name != "type"}
    return create(f"{place} ({options['type']})", getattr(module, options["type"]), arguments)


def check_kind(place: str, known: Sequence[str], options: Mapping[str, Any]) -> None:
    """Refuse options without a type, or with one that is not known.

    Example:
        >>> check_kind("loss", ["SpikeMax"], {"window": 20})
        Traceback (most recent call last):
        ...
        slayerloss._check.ArgumentError: recipe: loss has no type; expected one of 'SpikeMax', got only 'window'.
    """
    if "type" not in options:
        rule, got = (
            "one of " + ", ".join(map(repr, known)),
            "only " + ", ".join(map(repr, options)) if options else "none",
        )
        raise ArgumentError(message("recipe", f"{place} has no type", rule, got))
    check_choice("recipe", f"{place}.type", options["type"], known)


def create(place: str, function: Callable[..., Any], options: Mapping[str, Any], *given: Any) -> Any:
    """Call `function` with what is given and with options.

    Args:
        place: in the recipe, for errors.
        function: a class or function.
        options: arguments by name, as a recipe has them; objects among them are left as they are.
        given: arguments by position that the recipe does not have.

    Raises:
        SlayerError: an argument is unknown, missing, of the wrong type or out of range.
    """
    signature = inspect.signature(function)
    check_arguments(place, list(signature.parameters.values())[len(given) :], options)
    try:
        signature.bind(*given, **options)
    except TypeError as error:
        raise ArgumentError(message("recipe", f"{place}: {error}", "all arguments", dict(options))) from None
    try:
        return function(*given, **options)
    except SlayerError as error:
        who, _, problem = str(error).partition(": ")
        raise type(error)(f"{place}: {problem if who in place else error}") from None
    except (RuntimeError, TypeError, ValueError) as error:
        text = str(error).split("\n")[0].rstrip(". ")
        raise ArgumentError(message("recipe", f"{place}: {text}", "arguments that fit", dict(options))) from None


def check_arguments(place: str, parameters: Sequence[inspect.Parameter], options: Mapping[str, Any]) -> None:
    """Refuse options that are not among the parameters, or not of a simple type that these are annotated with.

    Example:
        >>> check_arguments("here", list(inspect.signature(by_name).parameters.values()), {"place": 3})
        Traceback (most recent call last):
        ...
        slayerloss._check.DtypeError: recipe: here: place has the wrong type; expected str, got 3.
    """
    annotations = {parameter.name: _annotation(parameter) for parameter in parameters}
    for name, value in options.items():
        check_choice("recipe", f"{place}: argument {name!r}", name, list(annotations))
        kinds = annotations[name].split(" | ")
        if all(kind in _SIMPLE or kind in _TUPLES for kind in kinds) and not any(_is(value, kind) for kind in kinds):
            raise DtypeError(message("recipe", f"{place}: {name} has the wrong type", annotations[name], repr(value)))


def _annotation(parameter: inspect.Parameter) -> str:
    given = parameter.annotation
    text = given if isinstance(given, str) else inspect.formatannotation(given)
    return " | ".join(_ALIASES.get(kind, kind) for kind in text.split(" | "))


def _is(value: Any, kind: str) -> bool:
    """Whether a value is of a simple type; True is no number here."""
    if kind in _TUPLES:
        return isinstance(value, tuple) and all(_is(item, "int") for item in value)
    return isinstance(value, _SIMPLE[kind]) and (kind == "bool" or not isinstance(value, bool))
