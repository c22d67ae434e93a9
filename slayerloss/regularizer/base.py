"""What all penalties on parameters share: their tensors, their factor, and what they compare with."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_range, check_sequence, check_shape, check_type, message
from slayerloss.functional import _tree
from slayerloss.functional._tree import Patterns, Tree
from slayerloss.kernels.weight_penalty import shared_passes


class BaseRegularization(torch.nn.Module, abc.ABC):
    """A penalty on parameters; a subclass says in `forward` which.

    The parameters stay those of the model: they are not in this module's `parameters()` and `state_dict()`. Those of a
    module are looked up in every call, so that what loads, moves or replaces them goes on as always. Of a module they
    are what its parameters mean (`functional`): decays as fractions in [0, 1], a weight also under weight norm.

    Args:
        params: a tensor; nested dictionaries or lists of tensors, or pairs of names and tensors; or a torch.nn.Module.
        Lambda: factor of the penalty.
        names: which of them, as patterns such as ``"*.weight"``; None for all.

    Raises:
        ArgumentError: a module or an iterator has no parameters, a pattern names none, or Lambda is not finite.
        DtypeError: `params` holds something else than tensors.

    Example:
        >>> class SumOfSquares(BaseRegularization):
        ...     def forward(self):
        ...         return self.total(weight.square().sum() for weight in self.params)
        >>> penalty = SumOfSquares(torch.nn.Linear(3, 2), Lambda=0.1, names="weight")
        >>> penalty().backward()
        >>> list(penalty.named()), list(penalty.parameters())
        (['weight'], [])

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.BaseRegularization``.
    """

    def __init__(self, params: Tree, Lambda: float = 1.0, *, names: Patterns | None = None) -> None:
        super().__init__()
        name = type(self).__name__
        self.Lambda = check_range(name, "Lambda", Lambda)
        self._places: dict[str, _tree.Place] | None = None
        self._tensors: dict[str, Tensor] = {}
        if isinstance(params, torch.nn.Module):
            everywhere = {place.name: place for place in _tree.places(params)}
            self._places = {key: everywhere[key] for key in _tree.chosen(name, list(everywhere), names)}
        else:
            given = _tree.leaves(name, params)
            self._tensors = {key: given[key] for key in _tree.chosen(name, list(given), names)}
        if not self.parameter_names() and isinstance(params, (torch.nn.Module, Iterator)):
            once = "What gives its items once, such as model.parameters(), may have given them before"
            way_out = once if isinstance(params, Iterator) else ""
            raise ArgumentError(message(name, "there are no parameters", "at least one", "none", way_out))
        self._num_references = 0

    def parameter_names(self) -> list[str]:
        """The names of the tensors, none of which is looked at or computed."""
        return list(self._tensors if self._places is None else self._places)

    def named(self) -> dict[str, Tensor]:
        """The tensors as they are now, by name."""
        return dict(self._tensors) if self._places is None else {n: place.value for n, place in self._places.items()}

    @property
    def params(self) -> list[Tensor]:
        """The tensors as they are now."""
        return list(self.named().values())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Lambda times the penalty."""
        return self.Lambda * super().__call__(*args, **kwargs)

    @abc.abstractmethod
    def forward(self) -> Tensor:
        """The penalty, 0-d, to which `backward` applies."""

    @staticmethod
    def total(terms: Iterable[Tensor]) -> Tensor:
        """The sum of 0-d tensors; 0 of none."""
        return _tree.total(list(terms))

    def set_references(self, references: Iterable[Tensor]) -> None:
        """Keep a tensor for each parameter to compare it with, as buffers: saved and moved with this module.

        Raises:
            ArgumentError, ShapeError: there are more or fewer than parameters, or one has another shape.
        """
        name, tensors = type(self).__name__, self.named()
        given = check_sequence(name, "reference_weights", list(references))
        if len(given) != len(tensors):
            problem, rule = "reference_weights do not match the parameters", f"{len(tensors)}, one for each"
            raise ArgumentError(message(name, problem, rule, len(given)))
        for i, (reference, (key, tensor)) in enumerate(zip(given, tensors.items(), strict=True)):
            check_shape(name, f"reference of {key or 'the parameter'}", reference, tensor.shape)
            self.register_buffer(f"reference_{i}", reference.detach().clone().to(tensor.device))
        self._num_references = len(given)

    @property
    def references(self) -> list[Tensor]:
        """What was given to `set_references`."""
        return [self.get_buffer(f"reference_{i}") for i in range(self._num_references)]

    def extra_repr(self) -> str:
        return f"{', '.join(self.parameter_names()) or 'nothing'}, Lambda={self.Lambda:g}"


class RegularizationList(torch.nn.Module):
    """The sum of several penalties, each with its own Lambda.

    Args:
        regularizations: penalties; any iterable.

    Example:
        >>> from slayerloss.regularizer import L1, L2
        >>> weight = torch.tensor([3.0, -4.0])
        >>> RegularizationList([L1(weight, 0.5), L2(weight, 2.0)])()
        tensor(13.5000, grad_fn=<AddBackward0>)

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.RegularizationList``.
    """

    def __init__(self, regularizations: Iterable[torch.nn.Module] = ()) -> None:
        super().__init__()
        self.regularizations = torch.nn.ModuleList()
        for regularization in regularizations:
            self.append(regularization)

    def append(self, regularization: torch.nn.Module) -> None:
        """Add a penalty."""
        rule = "a torch.nn.Module that gives a penalty"
        check_type("RegularizationList", "regularization", regularization, torch.nn.Module, rule)
        self.regularizations.append(regularization)

    def __iter__(self) -> Iterator[torch.nn.Module]:
        return iter(self.regularizations)

    def __len__(self) -> int:
        return len(self.regularizations)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The sum, 0-d; 0 of none."""
        with shared_passes(self):
            return _tree.total([regularization(*args, **kwargs) for regularization in self])
