"""Tensors by name: a tensor, nested dictionaries and lists of tensors, or a module with what its parameters mean."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from slayerloss._check import ArgumentError, check_sequence, check_tensor, check_type, message
from slayerloss.kernels.weight_penalty import shared_values

Tree = Any
"""A tensor or a number; a dictionary, list or tuple of trees; pairs of names and trees; or a torch.nn.Module."""
Patterns = str | Sequence[str]
"""Names as `fnmatch` has them: "*.weight"."""


@runtime_checkable
class _SaysWhatTheyMean(Protocol):
    def natural_parameters(self) -> dict[str, Tensor]:
        """What this module's own parameters mean, by name."""


class Place(NamedTuple):
    """Where a module holds a parameter, or what a parameter means."""

    name: str
    """From the outermost module on."""
    module: torch.nn.Module
    own: str
    """Its name inside `module`."""

    @property
    def value(self) -> Tensor:
        """The tensor that is there now, differentiable with respect to the parameters that it is made of."""
        tensor: Tensor = _meanings(self.module)[self.own]
        return tensor


def places(module: torch.nn.Module) -> Iterator[Place]:
    """Every parameter of a module once, under its name, in the order of `named_parameters`.

    A part with a method `natural_parameters` says itself what its own parameters mean: a neuron that its decays are
    fractions, which it stores as logarithms; a synapse that its weight is one tensor, with weight norm, too. A
    parametrised tensor (`torch.nn.utils.parametrize`) is what the parametrisation computes.

    Example:
        >>> from slayerloss import block
        >>> dense = block.cuba.Dense(dict(threshold=1, current_decay=0.5, voltage_decay=0.1), 3, 2, weight_norm=True)
        >>> [place.name for place in places(dense)]
        ['neuron.current_decay', 'neuron.voltage_decay', 'synapse.weight']
    """
    seen = set()
    for path, part in module.named_modules():
        if "parametrizations" in path.split("."):
            continue
        prefix = uncompiled(path)
        for own, identity in _identities(part).items():
            if identity not in seen:  # tied weights
                seen.add(identity)
                yield Place(f"{prefix}.{own}" if prefix else own, part, own)


def uncompiled(path: str) -> str:
    """The name that a module or parameter has in a model of which nothing is compiled.

    Example:
        >>> uncompiled("0._orig_mod.weight")
        '0.weight'
    """
    return ".".join(step for step in path.split(".") if step != "_orig_mod")


def _identities(part: torch.nn.Module) -> dict[str, Hashable]:
    """What is the same where the parameters of parts are tied, by name: the parameters that are stored for it."""
    own_stored = {own: value for own, value in part._parameters.items() if value is not None}
    computing = {own: [*at.parameters()] for own, at in _parametrizations(part).items()}
    identities: dict[str, Hashable] = {own: id(value) for own, value in own_stored.items()}
    if not isinstance(part, _SaysWhatTheyMean):
        return identities | {own: (own, frozenset(map(id, behind))) for own, behind in computing.items()}
    stored = [*own_stored.values(), *itertools.chain(*computing.values())]
    frozen = [value for value in stored if not value.requires_grad]
    with torch.enable_grad():
        meanings = _meanings(part)
    for own, value in meanings.items():
        behind = [*frozen, *_leaves_behind(value)] if value.requires_grad else stored
        is_stored = any(value is each for each in stored)
        identities[own] = id(value) if is_stored else (own, frozenset(map(id, behind or [part])))
    return {own: identities[own] for own in meanings}


def _leaves_behind(value: Tensor) -> Iterator[Tensor]:
    """The leaves from which a tensor was computed."""
    if value.grad_fn is None:
        yield value
    seen, left = set(), [value.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [parent for parent, _ in node.next_functions]
            if hasattr(node, "variable"):  # where a gradient is kept
                yield node.variable


def _meanings(part: torch.nn.Module) -> dict[str, Tensor]:
    """What the parameters of a part itself mean, not those of its parts.

    While gradients are shared, it is computed once, so that all gradients go back through that together. What a
    backward pass went through may have no graph any more, and is computed again.
    """
    known = shared_values()
    if known is None:
        return _computed(part)
    key = part, torch.is_grad_enabled()
    if key not in known:
        known[key] = _computed(part)
        for value in known[key].values():
            if value.grad_fn is not None:
                value.register_hook(functools.partial(_forget, known, key))
    meanings: dict[str, Tensor] = known[key]
    return meanings


def _forget(known: dict[Any, Any], key: Any, grad: Tensor) -> None:
    known.pop(key, None)


def _computed(part: torch.nn.Module) -> dict[str, Tensor]:
    if isinstance(part, _SaysWhatTheyMean):
        return part.natural_parameters()
    own: dict[str, Tensor] = {name: value for name, value in part._parameters.items() if value is not None}
    return own | {name: getattr(part, name) for name in _parametrizations(part)}


def _parametrizations(part: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """What computes the parametrised tensors of a part, by their names."""
    return dict(cast(torch.nn.ModuleDict, part.parametrizations)) if parametrize.is_parametrized(part) else {}


def leaves(function: str, params: Tree) -> dict[str, Tensor]:
    """The tensors of a tree by name, "" for a tensor itself and "a.0" for the first of a list at "a".

    Args:
        function: who asks, for errors.
        params: a tree; numbers in it become tensors.

    Raises:
        ArgumentError: two tensors have the same name.
        DtypeError: something in it is neither a tensor nor a number.

    Example:
        >>> leaves("here", {"a": [torch.ones(2), 3.0]})
        {'a.0': tensor([1., 1.]), 'a.1': tensor(3.)}
    """
    if isinstance(params, torch.nn.Module):
        return {place.name: place.value for place in places(params)}
    return {name: _tensor(function, name, value) for name, value in flat(function, params).items()}


def _tensor(function: str, name: str, value: Any) -> Tensor:
    if isinstance(value, (int, float)):
        return torch.as_tensor(value, dtype=torch.get_default_dtype())
    check_tensor(function, name or "params", value)
    tensor: Tensor = value
    return tensor


def flat(function: str, tree: Any) -> dict[str, Any]:
    """Whatever stands in nested dictionaries, lists and tuples, by name.

    Raises:
        ArgumentError: two names are the same.

    Example:
        >>> flat("here", {"a": [None, 3.0], "b": {"c": 1}})
        {'a.0': None, 'a.1': 3.0, 'b.c': 1}
    """
    by_name: dict[str, Any] = {}
    for name, leaf in _named(tree):
        if name in by_name:
            problem, rule = f"two parts of the tree are called {name!r}", "a name for each"
            raise ArgumentError(message(function, problem, rule, "two of them", "Rename one of its keys"))
        by_name[name] = leaf
    return by_name


def _named(tree: Any) -> Iterator[tuple[str, Any]]:
    tree = readable(tree)
    if isinstance(tree, Mapping):
        items: Any = tree.items()
    elif isinstance(tree, (list, tuple)):
        items = enumerate(tree)
    else:
        yield "", tree
        return
    for name, part in items:
        for rest, leaf in _named(part):
            yield f"{name}.{rest}" if rest else str(name), leaf


def readable(tree: Any) -> Any:
    """A tree that can be read twice: a list of an iterator's, a dictionary of pairs as `named_parameters` gives them.

    Example:
        >>> readable(iter([("a", 1.0), ("b", 2.0)]))
        {'a': 1.0, 'b': 2.0}
    """
    tree = list(tree) if isinstance(tree, Iterator) else tree
    if not isinstance(tree, (list, tuple)) or not tree:
        return tree
    pairs = all(isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str) for each in tree)
    return dict(tree) if pairs else tree


def mapped(function: str, params: Tree, change: Callable[[str, Tensor], Any]) -> Any:
    """The same structure with change(name, tensor) in each place; of a module, a dictionary by name.

    Example:
        >>> mapped("here", {"a": [torch.ones(2)]}, lambda name, tensor: (name, len(tensor)))
        {'a': [('a.0', 2)]}
    """
    params = readable(params)
    new = iter([change(name, tensor) for name, tensor in leaves(function, params).items()])
    if isinstance(params, torch.nn.Module):
        return {place.name: value for place, value in zip(places(params), new, strict=True)}
    return _rebuilt(params, new)


def _rebuilt(tree: Any, values: Iterator[Any]) -> Any:
    tree = readable(tree)
    if isinstance(tree, Mapping):
        return {name: _rebuilt(part, values) for name, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [_rebuilt(part, values) for part in tree]
        return parts if isinstance(tree, list) else tuple(parts)
    return next(values)


def matched(function: str, names: Sequence[str], others: Any, what: str) -> dict[str, Any]:
    """What another tree has for each name.

    Args:
        function: who asks, for errors.
        names: of `leaves`.
        others: a tree with the same names.
        what: `others` are, for errors.

    Raises:
        ArgumentError: it has other names; those that are missing and those that are too many are listed.

    Example:
        >>> matched("here", ["a", "b"], {"b": 2, "a": 1}, "bounds")
        {'a': 1, 'b': 2}
    """
    by_name = flat(function, others)
    missing, extra = [name for name in names if name not in by_name], [name for name in by_name if name not in names]
    if missing or extra:
        wrong = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(extra)}"] * bool(extra)
        problem = f"{what} are not those of the parameters"
        raise ArgumentError(message(function, problem, ", ".join(names) or "none", " and ".join(wrong)))
    return {name: by_name[name] for name in names}


def chosen(function: str, names: Sequence[str], patterns: Patterns | None, what: str = "parameter") -> list[str]:
    """The names that at least one pattern matches, all for None, in their order; `what` is named, for errors.

    Raises:
        ArgumentError: a pattern matches none of them.
        DtypeError: a pattern is no text.

    Example:
        >>> chosen("here", ["0.weight", "0.bias", "1.weight"], "*.weight")
        ['0.weight', '1.weight']
    """
    if patterns is None:
        return list(names)
    rule = "a pattern, or a list of patterns"
    patterns = [patterns] if isinstance(patterns, str) else check_sequence(function, "names", patterns, rule=rule)
    for pattern in patterns:
        check_type(function, "names", pattern, str, rule)
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.3)
            way_out = f"Did you mean {near[0]!r}?" if near else ""
            rule = f"a name or pattern of {', '.join(names) or 'names'}"
            raise ArgumentError(message(function, f"{pattern!r} names no {what}", rule, repr(pattern), way_out))
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def total(terms: Sequence[Tensor]) -> Tensor:
    """The sum of 0-d tensors on the device of the first, one to which `backward` applies also if it is constant.

    Example:
        >>> total([])
        tensor(0., requires_grad=True)
    """
    if not terms:
        return torch.zeros((), requires_grad=torch.is_grad_enabled())
    result = sum((term.to(terms[0].device) for term in terms[1:]), terms[0])
    if result.requires_grad or not torch.is_grad_enabled():
        return result
    return result + torch.zeros_like(result, requires_grad=True)
