"""Recipes: everything that decides how a training ends.

Nothing here imports torch or lightning, so that the command line can say what is wrong at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slayerloss._check import ArgumentError, DtypeError, FormatError, check_integer, check_range, message
from slayerloss.io import replacing

BEST, LAST = "best.ckpt", "last.ckpt"
"""The checkpoints of a run."""

Options = dict[str, Any]
"""A thing by the name of its class, and the arguments of that class: {"type": "Adam", "lr": 0.001}."""


@dataclass
class DataOptions:
    """The recordings.

    Args:
        type: dataset of slayerloss.data: Digits, NMNIST or Oxford; or your own, such as gestures.Gestures
        root: folder of the dataset; Digits needs none
        num_steps: time steps of each recording; null gives each its own length and pads the batches
        step_ms: width of a time step in ms
        count: count the events of a bin instead of marking it
        rounding: floor, or nearest (Oxford: lava-dl) as lava-dl bins
        sparse: hand the recordings over as lists of events; the first layer is then faster where they are few
        batch_size: recordings of a training step, of all processes together
        eval_batch_size: the same for validation and test; null takes batch_size
        valid_fraction: share of the training recordings of each class that is held back for validation
        split_seed: chooses which recordings these are
        augment: augmentations of slayerloss.data.augment (Shift, Rotate, Scale, Jitter, Drop, Elastic) in their order,
            for instance [{type: Shift, max_pixels: 2}]
        shuffle: draw a new order for each epoch
        passes: passes over the training recordings in one epoch; a batch ends with its pass
        limit: use about so many training recordings, of each class its share, and as many for the test; null takes all
        workers: processes that read ahead; 0 reads in the training process
    """

    type: str = "Digits"
    root: str | None = None
    num_steps: int | None = 300
    step_ms: float = 1.0
    count: bool = False
    rounding: str = "floor"
    sparse: bool = False
    batch_size: int = 32
    eval_batch_size: int | None = None
    valid_fraction: float = 0.0
    split_seed: int = 0
    augment: list[Options] = field(default_factory=list)
    shuffle: bool = True
    passes: int = 1
    limit: int | None = None
    workers: int = 0


@dataclass
class NetworkOptions:
    """The network.

    Args:
        neuron: arguments of the neurons of all layers; dropout is a probability, norm a name of slayerloss.neuron.norm
        layers: blocks from input to output, those of slayerloss.block.cuba by their name (Affine, Average, Conv, ConvT,
            Dense, Flatten, Input, KWTA, Pool, Recurrent, TimeDecimation, Unpool), those of other neurons as
            alif.Dense, for instance [{type: Flatten}, {type: Dense, out_neurons: 10, weight_norm: true, neuron:
            {threshold: 1.0}}]; what a layer says of its neurons comes first
        input_shape: of a recording, without batch and time; null takes it from the data
    """

    neuron: Options = field(default_factory=dict)
    layers: list[Options] = field(default_factory=list)
    input_shape: list[int] | None = None


@dataclass
class TrainerOptions:
    """How the training runs; the names are those of lightning's Trainer.

    Args:
        max_epochs: passes over the data, times data.passes
        max_steps: end after so many steps of the optimiser; -1 never
        accelerator: cpu, gpu or auto
        devices: processes on this machine, one for each device
        num_nodes: machines
        strategy: ddp with several processes; auto with one
        precision: for instance 32-true or bf16-mixed
        gradient_clip_val: the longest gradient; null for any
        accumulate_grad_batches: batches of a step of the optimiser
        check_val_every_n_epoch: epochs from validation to validation
        deterministic: on a GPU, use only algorithms that give the same bits every time
        enable_progress_bar: show it, and a line for every epoch
    """

    max_epochs: int = 20
    max_steps: int = -1
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    gradient_clip_val: float | None = None
    accumulate_grad_batches: int = 1
    check_val_every_n_epoch: int = 1
    deterministic: bool = False
    enable_progress_bar: bool = True


@dataclass
class Recipe:
    """All that decides how a training ends.

    Args:
        seed: of the initial weights, the order, the augmentation and the dropout
        data: the recordings
        network: the network
        loss: loss of slayerloss.loss (SpikeMax, SpikeMoid, SpikeRate or SpikeTime) and its arguments
        decision: classifier of slayerloss.classifier (Rate or MovingWindow) and its arguments; null for a regression
        sparsity: arguments of slayerloss.loss.SparsityEnforcer on the hidden layers; null for none
        regularizers: penalties by names of your own, for instance {rates: {type: RateBand, max_rate: 0.1, weight: 0.5,
            layers: [0, 1], schedule: {type: ramp, end: 0.3}}, size: {type: L1, names: 0.synapse.weight}}: a class of
            slayerloss.regularizer and its arguments; weight; schedule of the weight: type constant, ramp or cosine,
            begin and end as numbers; of what layers send also layers, names or patterns, null for the hidden ones
        optimizer: optimiser of torch.optim and its arguments
        schedule: factor of the learning rate: type constant, linear, cosine or one_cycle; warmup and final as numbers
        average: validate, test and keep the exponential moving average of the network with this decay per step; null
            for the parameters themselves
        monitor: metric that chooses the best checkpoint, such as valid_loss; null takes the first that there is of
            valid_accuracy, valid_loss, train_accuracy, train_loss
        patience: stop after so many validations without a better value of monitor; null never
        trainer: how the training runs
    """

    seed: int = 0
    data: DataOptions = field(default_factory=DataOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    loss: Options = field(default_factory=lambda: {"type": "SpikeRate", "true_rate": 0.2, "false_rate": 0.03})
    decision: Options | None = field(default_factory=lambda: {"type": "Rate"})
    sparsity: Options | None = None
    regularizers: dict[str, Options] | None = None
    optimizer: Options = field(default_factory=lambda: {"type": "Adam", "lr": 0.001})
    schedule: Options = field(default_factory=lambda: {"type": "constant"})
    average: float | None = None
    monitor: str | None = None
    patience: int | None = None
    trainer: TrainerOptions = field(default_factory=TrainerOptions)


def read_recipe(path: str | os.PathLike[str], options: Sequence[str] = ()) -> Recipe:
    """Read a recipe and override some of its values.

    Args:
        path: a YAML file, or the name of a recipe that the package brings: "digits".
        options: as on the command line: ["--trainer.max_epochs", "3", "--network.layers.1.out_neurons=64"].

    Raises:
        ArgumentError: a key is unknown, or a value has the wrong type.
        FormatError: the file is no YAML.
        OSError: it cannot be read.

    Example:
        >>> read_recipe("digits", ["--data.batch_size", "8"]).data.batch_size
        8
    """
    from slayerloss.train.options import parse_recipe, recipe_parser

    return parse_recipe(recipe_parser("recipe"), [f"--config={path}", *options])[0]


def write_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """Write a recipe as YAML, complete or not at all."""
    import yaml

    text = yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False, allow_unicode=True, width=120)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


_LOWEST = {
    "seed": 0,
    "patience": 1,
    "data.batch_size": 1,
    "data.eval_batch_size": 1,
    "data.split_seed": 0,
    "data.passes": 1,
    "data.limit": 1,
    "data.workers": 0,
    "trainer.max_epochs": 1,
    "trainer.max_steps": 1,
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
}
"""The smallest values of whole numbers; -1 stands for no end in two of them."""

_TABLES = ("network.neuron", "loss", "optimizer", "schedule")
_LISTS = ("network.layers", "data.augment")


def check_recipe(recipe: Recipe) -> None:
    """See that the numbers of a recipe lie in their ranges. What is given by name is checked where it is created.

    Raises:
        ArgumentError: one does not.
        DtypeError: one is no number, or a part with arguments is no table.

    Example:
        >>> check_recipe(Recipe(seed=3))
    """
    for part, prefix in (
        (recipe, ""),
        (recipe.data, "data."),
        (recipe.network, "network."),
        (recipe.trainer, "trainer."),
    ):
        for option in dataclasses.fields(part):
            if getattr(part, option.name) is None and "None" not in str(option.type):
                raise DtypeError(message("recipe", f"{prefix}{option.name} has no value", str(option.type), "null"))
    for key, lowest in _LOWEST.items():
        value = _at(recipe, key)
        if value is not None and not (value == -1 and key.startswith("trainer.max_")):
            check_integer("recipe", key, value, lowest)
    check_range("recipe", "data.valid_fraction", recipe.data.valid_fraction, 0, 1)
    if recipe.trainer.gradient_clip_val is not None:
        way_out = "null leaves the gradient as it is"
        check_range("recipe", "trainer.gradient_clip_val", recipe.trainer.gradient_clip_val, 0, way_out=way_out)
    for key in _TABLES:
        if not isinstance(_at(recipe, key), Mapping):
            raise DtypeError(message("recipe", f"{key} is no table", "key: value", repr(_at(recipe, key))))
    if not isinstance(recipe.regularizers, Mapping | None):
        got = repr(recipe.regularizers)
        raise DtypeError(message("recipe", "regularizers is no table", "name: {type: NAME, ...}", got))
    for key in _LISTS:
        items = _at(recipe, key)
        if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
            raise DtypeError(message("recipe", f"{key} is no list", "[{type: NAME, ...}, ...]", repr(items)))
    if recipe.trainer.max_epochs == recipe.trainer.max_steps == -1:
        problem = "the training has no end"
        raise ArgumentError(message("recipe", problem, "trainer.max_epochs or trainer.max_steps", "-1 in both"))


def _at(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value


def plain(recipe: Recipe) -> Options:
    """A recipe as dictionaries, lists, texts and numbers.

    Raises:
        DtypeError: it holds something else, such as an array.
    """
    try:
        values: Options = json.loads(json.dumps(dataclasses.asdict(recipe)))
    except TypeError as error:
        raise DtypeError(message("recipe", "a value is not plain", "texts, numbers, lists, tables", error)) from None
    return values


def from_plain(values: Any) -> Recipe:
    """The recipe that `plain` made dictionaries of.

    Raises:
        FormatError: they are not those of a recipe.

    Example:
        >>> from_plain(plain(Recipe(seed=3))) == Recipe(seed=3)
        True
    """
    sections = {"data": DataOptions, "network": NetworkOptions, "trainer": TrainerOptions}
    try:
        recipe = Recipe(**{**values, **{name: kind(**values[name]) for name, kind in sections.items()}})
    except (TypeError, KeyError) as error:
        raise FormatError(message("recipe", "it is not one of this slayerloss", "its keys", error)) from None
    check_recipe(recipe)
    return recipe


def differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """What differs between two plain recipes: its key, and both values, None where there is none.

    Example:
        >>> list(differences({"layers": [{"out_neurons": 3}]}, {"layers": [{"out_neurons": 4}]}))
        [('layers.0.out_neurons', 3, 4)]
    """
    ours, theirs = _items(before), _items(now)
    if ours is None or theirs is None:
        if before != now:
            yield key, before, now
        return
    for name in dict.fromkeys([*ours, *theirs]):
        yield from differences(ours.get(name), theirs.get(name), f"{key}.{name}" if key else name)


def _items(value: Any) -> dict[str, Any] | None:
    if isinstance(value, list):
        return {str(i): item for i, item in enumerate(value)}
    return value if isinstance(value, dict) else None
