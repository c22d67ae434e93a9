"""From a recipe to the things it names: recordings, network, loss, decision, optimiser."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch.utils.data import Subset

from slayerloss import classifier, data, loss
from slayerloss._check import ArgumentError, check_choice, message
from slayerloss.regularizer import Regularized
from slayerloss.train.create import by_name, check_kind, create
from slayerloss.train.data import EventData, Samples
from slayerloss.train.learner import Learner
from slayerloss.train.network import Network, build_network, output_size
from slayerloss.train.penalties import build_penalties, check_layers, of_enforcer
from slayerloss.train.recipe import DataOptions, Recipe
from slayerloss.train.schedule import Schedule

_DATASETS = ("Digits", "NMNIST", "Oxford")
_OF_A_SPLIT = ("train", "indices", "transform", "augment_seed")
"""What a dataset takes, so that training, validation and test have recordings of their own."""
_LOSSES = ("SpikeMax", "SpikeMoid", "SpikeRate", "SpikeTime")
_DECISIONS = ("Rate", "MovingWindow")


def build_data(options: DataOptions, seed: int = 0) -> EventData:
    """The recordings of a recipe: training and validation now, the test when it is asked for.

    Args:
        options: of the recipe.
        seed: of the order and the augmentation.

    Raises:
        ArgumentError: an option is unknown or out of range.
        FormatError: the folder holds no recordings.
    """
    known = [name for name, value in vars(data.augment).items() if dataclasses.is_dataclass(value)]
    augment = [by_name("data.augment", data.augment, known, step) for step in options.augment]
    whole = _dataset(options, train=True)
    chosen, held_back = _split(whole, options)
    # The dataset takes positions, so that the augmentation of a recording does not depend on the split.
    train = _dataset(options, train=True, indices=chosen, transform=augment, augment_seed=seed)
    valid = _dataset(options, train=True, indices=held_back) if len(held_back) else None
    return EventData(
        train,
        valid,
        functools.partial(_test, options),
        batch_size=options.batch_size,
        eval_batch_size=options.eval_batch_size,
        shuffle=options.shuffle,
        passes=options.passes,
        workers=options.workers,
        padded=options.num_steps is None,
        seed=seed,
    )


def _dataset(options: DataOptions, **arguments: Any) -> Any:
    create = _dataset_type(options.type)
    known = dict(inspect.signature(create).parameters)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        known |= inspect.signature(data.EventDataset).parameters
    missing = [] if options.type in _DATASETS else [name for name in _OF_A_SPLIT if name not in known]
    if missing:
        rule, way_out = f"the arguments {', '.join(_OF_A_SPLIT)}", "Hand **options on to EventDataset"
        problem, got = f"{options.type} cannot give a split its recordings", f"no {', '.join(missing)}"
        raise ArgumentError(message("recipe", problem, rule, got, way_out))
    if "root" in known and options.root is None:
        way_out = "Give it as --data.root FOLDER"
        raise ArgumentError(message("recipe", "data.root is missing", f"the folder of {options.type}", "null", way_out))
    if "root" not in known and options.root is not None:
        rule = f"none: {options.type} takes no root"
        raise ArgumentError(message("recipe", "data.root is not used", rule, repr(options.root), "Leave it out"))
    if "sparse" not in known and options.sparse:
        rule = f"false: {options.type} gives dense tensors only"
        raise ArgumentError(message("recipe", "data.sparse is not used", rule, True, "Leave it out"))
    for name in ("root", "num_steps", "step_ms", "count", "rounding", "sparse"):
        arguments.setdefault(name, getattr(options, name))
    return create(**{name: value for name, value in arguments.items() if name in known})


def _dataset_type(name: str) -> Callable[..., Any]:
    """A dataset of slayerloss.data, or any class by its import path, such as gestures.Gestures."""
    module, _, attribute = name.rpartition(".")
    if not module:
        check_choice("recipe", "data.type", name, _DATASETS)
        return cast(Callable[..., Any], getattr(data, name))
    try:
        return cast(Callable[..., Any], getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        way_out = f"Set PYTHONPATH to the folder of {module.partition('.')[0]}"
        raise ArgumentError(
            message("recipe", f"data.type {name!r} is missing", "module.Class", error, way_out)
        ) from None


def _split(dataset: Any, options: DataOptions) -> tuple[Sequence[int], Sequence[int]]:
    """The recordings to train with and those to validate with, `limit` of them in all."""
    if not hasattr(dataset, "labels"):
        if options.valid_fraction or options.augment:
            rule = f"valid_fraction 0 and no augment for {options.type}, which has no classes"
            raise ArgumentError(message("recipe", "data does not fit the dataset", rule, dataclasses.asdict(options)))
        return range(len(dataset)), ()
    kept = _limited(dataset.labels, options)
    first, second = data.stratified_split(dataset.labels[kept], options.valid_fraction, options.split_seed)
    if not len(first):
        got, way_out = f"none of {len(dataset.labels)}", "Raise data.limit, or lower data.valid_fraction"
        raise ArgumentError(message("recipe", "nothing is left to train with", "at least one recording", got, way_out))
    return kept[first], kept[second]


def _limited(labels: torch.Tensor, options: DataOptions) -> Any:
    """The positions of `limit` recordings, each class with its share."""
    fraction = 1.0 if options.limit is None else min(1.0, options.limit / len(labels))
    return data.stratified_split(labels, fraction, options.split_seed)[1]


def _test(options: DataOptions) -> Samples:
    dataset = _dataset(options, train=False)
    if options.limit is None or not hasattr(dataset, "labels"):
        return cast(Samples, dataset)
    return Subset(dataset, _limited(dataset.labels, options).tolist())


def build_learner(recipe: Recipe, dataset: Samples) -> Learner:
    """The network of a recipe with its loss, decision and optimiser.

    Args:
        recipe: its `network` is completed by what the data say: input_shape.
        dataset: the training recordings.

    Raises:
        ArgumentError, ShapeError: a name is unknown, or something does not fit the recordings.
    """
    events, _ = dataset[0]
    recipe.network.input_shape = list(events.shape[:-1])
    network = build(recipe)
    num_outputs = output_size(network, recipe.network.input_shape)
    if recipe.decision is not None:
        check_classes(dataset, num_outputs, "training")
    optimizer = functools.partial(_optimizer, recipe.optimizer)
    optimizer(network.parameters())  # is refused here, before anything is written
    return Learner(
        network,
        _loss(recipe, network),
        build_decision(recipe),
        num_classes=num_outputs,
        optimizer=optimizer,
        schedule=create("schedule", Schedule, recipe.schedule),
        seed=recipe.seed,
    )


def _loss(recipe: Recipe, network: Network) -> torch.nn.Module:
    """The loss of a recipe, with its penalties if there are any."""
    alone: torch.nn.Module = by_name("loss", loss, _LOSSES, recipe.loss)
    penalties = build_penalties(recipe.regularizers or {}, network, recipe.seed)
    if not penalties and recipe.sparsity is None:
        return alone
    regularized: Regularized = create("regularizers (Regularized)", Regularized, {}, alone, penalties)
    if recipe.sparsity is not None:
        sparsity = of_enforcer(create("sparsity", loss.SparsityEnforcer, recipe.sparsity))
        check_layers("sparsity", sparsity, network)
        create("sparsity (Regularized)", regularized.add, {}, "sparsity", sparsity)
    return regularized


def check_classes(dataset: Samples, num_outputs: int, which: str) -> None:
    """See that a network has an output for each class of its recordings.

    Args:
        dataset: with `labels`, or a part of such a one; anything else is not looked at.
        num_outputs: of the network.
        which: of the recordings they are, for the message.

    Raises:
        ArgumentError: there are too few.
    """
    whole = dataset.dataset if isinstance(dataset, Subset) else dataset
    labels = getattr(whole, "labels", None)
    if labels is not None and isinstance(dataset, Subset):
        labels = labels[list(dataset.indices)]
    if labels is not None and int(labels.max()) >= num_outputs:
        way_out = "Change out_neurons of the last layer, or use the recordings that the network was made for"
        rule = f"at least {int(labels.max()) + 1}, one for each class of the {which} recordings"
        raise ArgumentError(message("recipe", "network has too few outputs", rule, num_outputs, way_out))


def build_decision(recipe: Recipe) -> Callable[..., torch.Tensor] | None:
    """What makes of the output spikes (N, C, T) the classes (N,), or (N, T); None for a regression."""
    if recipe.decision is None:
        return None
    decision: Callable[..., torch.Tensor] = by_name("decision", classifier, _DECISIONS, recipe.decision)
    return decision


def build(recipe: Recipe) -> Network:
    """The untrained network of a recipe that knows its input_shape; its weights follow from the seed."""
    if recipe.network.input_shape is None:
        raise ArgumentError(message("recipe", "network.input_shape is missing", "(C, H, W) or (C,)", "null"))
    torch.manual_seed(recipe.seed)
    return build_network(recipe.network.layers, recipe.network.neuron, recipe.network.input_shape)


def _optimizer(options: Mapping[str, Any], parameters: Iterable[Any]) -> torch.optim.Optimizer:
    unfit = ("Optimizer", "SparseAdam")  # the base class; one that takes no dense gradients
    known = sorted(name for name, value in vars(torch.optim).items() if isinstance(value, type) and name not in unfit)
    check_kind("optimizer", known, options)
    arguments = {name: value for name, value in options.items() if name != "type"}
    optimizer: torch.optim.Optimizer = create("optimizer", getattr(torch.optim, options["type"]), arguments, parameters)
    return optimizer
