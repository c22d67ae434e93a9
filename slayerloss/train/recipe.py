"""Recipes: everything that decides how a training ends, as YAML, as dataclasses and as options of a command line.

Nothing here imports torch or lightning, so that the command line can say what is wrong at once.
"""

from __future__ import annotations

import dataclasses
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slayerloss._check import ArgumentError, FormatError, check_choice, check_installed, message
from slayerloss.io import replacing

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

Options = dict[str, Any]
"""A thing by the name of its class, and the arguments of that class: {"type": "Adam", "lr": 0.001}."""

SHIPPED = Path(__file__).parent.parent / "recipes"
"""The recipes inside the package."""

T = TypeVar("T")


@dataclass
class DataOptions:
    """The recordings.

    Args:
        type: dataset of slayerloss.data: Digits, NMNIST or Oxford
        root: folder of the dataset; Digits needs none
        num_steps: time steps of each recording; null gives each its own length and pads the batches
        step_ms: width of a time step in ms
        count: count the events of a bin instead of marking it
        rounding: floor, or nearest (Oxford: lava-dl) as lava-dl bins
        batch_size: recordings of a training step, of all processes together
        eval_batch_size: the same for validation and test; null takes batch_size
        valid_fraction: share of the training recordings of each class that is held back for validation
        split_seed: chooses which recordings these are
        augment: augmentations of slayerloss.data.augment in their order, for instance [{type: Shift, max_pixels: 2}]
        shuffle: draw a new order for each epoch
        passes: passes over the training recordings in one epoch
        limit: use only so many training recordings, and as many for the test; null takes all
        workers: processes that read ahead; 0 reads in the training process
    """

    type: str = "Digits"
    root: str | None = None
    num_steps: int | None = 300
    step_ms: float = 1.0
    count: bool = False
    rounding: str = "floor"
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
        layers: layers of slayerloss.block.cuba from input to output, for instance [{type: Flatten}, {type: Dense,
            out_neurons: 10, weight_norm: true, neuron: {threshold: 1.0}}]; what a layer says of its neurons comes first
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
        loss: loss of slayerloss.loss and its arguments
        decision: classifier of slayerloss.classifier and its arguments; null for a regression
        sparsity: arguments of slayerloss.loss.SparsityEnforcer on the hidden layers; null for none
        optimizer: optimiser of torch.optim and its arguments
        schedule: factor of the learning rate: type constant, linear, cosine or one_cycle; warmup and final as numbers
        average: validate, test and keep the exponential moving average of the parameters with this decay per step; null
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
    parser = recipe_parser("recipe")
    return parse_recipe(parser, ["--config", str(path), *options])[0]


def write_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """Write a recipe as YAML, complete or not at all."""
    import yaml

    text = yaml.safe_dump(dataclasses.asdict(recipe), sort_keys=False, allow_unicode=True, width=120)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def recipe_parser(prog: str, **arguments: Any) -> ArgumentParser:
    """A command line with one option for each value of a recipe, and --config; errors are raised."""
    check_installed(prog, "jsonargparse", "train")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from jsonargparse import ArgumentParser

        parser = ArgumentParser(prog=prog, exit_on_error=False, **arguments)
        parser.add_argument("--config", action="config", metavar="RECIPE", help="the recipe, a YAML file")
        parser.add_class_arguments(Recipe)
    return parser


def parse_recipe(parser: ArgumentParser, args: Sequence[str]) -> tuple[Recipe, Options]:
    """The recipe that a command line gives, and the values of the parser's other options.

    Raises:
        ArgumentError: an option is unknown, or a value has the wrong type.
        FormatError: a recipe is no YAML.
        OSError: it cannot be read.
    """
    whole, items = _without_items(args)
    values = _parse(parser, [_checked(parser, argument) for argument in _with_files(whole)])
    names = [option.name for option in dataclasses.fields(Recipe)]
    recipe = _from_dict(Recipe, {name: values[name] for name in names})
    for key, text in items:
        _set_item(recipe, key, text)
    return recipe, {name: value for name, value in values.items() if name not in names}


def _parse(parser: ArgumentParser, args: Sequence[str]) -> Options:
    from argparse import ArgumentError as ParserError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            values: Options = parser.parse_args(args).as_dict()
            return values
    except ParserError as error:
        raise ArgumentError(_reworded(re.sub(r"\s+", " ", error.message))) from None


def _reworded(text: str) -> str:
    """jsonargparse's complaint about the type of a value, as ours."""
    match = re.match(r'Parser key "([\w.]+)":.*value: (.*)', text)
    if match is None:
        return text
    kind: type | None = Recipe
    expected = ""
    for name in match[1].split("."):
        options = {} if kind is None else {option.name: str(option.type) for option in dataclasses.fields(kind)}
        expected, kind = options.get(name, "another type"), None if kind is None else _fields(kind).get(name)
    return message(
        "recipe", f"{match[1]} has the wrong type", expected.replace("Options", "{type: NAME, ...}"), match[2]
    )


_ITEM = re.compile(r"--([a-z_.]+)\.(\d+)\.([a-z_.]+)(?:=(.*))?", re.DOTALL)


def _without_items(args: Sequence[str]) -> tuple[list[str], list[tuple[tuple[str, int, str], str]]]:
    """Take the options of items of lists, such as `--network.layers.1.out_neurons 64`, out of a command line."""
    whole: list[str] = []
    items = []
    rest = iter(args)
    for argument in rest:
        match = _ITEM.fullmatch(argument)
        if match is None:
            whole.append(argument)
            continue
        text = match[4] if match[4] is not None else next(rest, None)
        if text is None:
            raise ArgumentError(message("command line", f"{argument} has no value", "a value", "the end"))
        items.append(((match[1], int(match[2]), match[3]), text))
    return whole, items


def _set_item(recipe: Recipe, key: tuple[str, int, str], text: str) -> None:
    import yaml

    path, index, name = key
    target: Any = recipe
    for part in path.split("."):
        target = target.get(part) if isinstance(target, dict) else getattr(target, part, None)
    if not isinstance(target, list) or index >= len(target):
        rule = f"an index below {len(target)}" if isinstance(target, list) else "network.layers or data.augment"
        raise ArgumentError(message("command line", f"--{path}.{index} is not there", rule, index))
    *path_inside, last = name.split(".")
    item = target[index]
    for part in path_inside:
        item = item.setdefault(part, {})
    value = yaml.safe_load(text)
    item[last] = float(value) if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+e[-+]?\d+", value) else value


def _with_files(args: Sequence[str]) -> list[str]:
    """The command line with `--config=FILE` in one argument each, and names of shipped recipes as their files."""
    joined: list[str] = []
    rest = iter(args)
    for argument in rest:
        if argument == "--config":
            argument = f"--config={next(rest, '')}"
        if argument.startswith("--config="):
            argument = f"--config={_find(argument.removeprefix('--config='))}"
        joined.append(argument)
    return joined


def _find(name: str) -> Path:
    path, shipped = Path(name), SHIPPED / f"{name}.yaml"
    if not path.is_file() and shipped.is_file():
        return shipped
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        rule = f"a YAML file, or one of the recipes that the package brings ({names})"
        raise ArgumentError(message("--config", "there is no such recipe", rule, repr(name)))
    return path


def _checked(parser: ArgumentParser, argument: str) -> str:
    """The argument itself; an unknown option, or unknown key of a recipe, is refused with the nearest name."""
    if argument.startswith("--config="):
        _check_keys(Recipe, _load(Path(argument.removeprefix("--config="))), "")
    elif argument.startswith("--"):
        name = argument[2:].split("=")[0].rstrip("+")
        others = [text[2:] for action in parser._actions for text in action.option_strings if text.startswith("--")]
        if name not in others:
            _check_path(name.split("."), [text for text in others if "." not in text])
    return argument


def _load(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = re.sub(r"\s+", " ", str(error))
        raise FormatError(message("recipe", f"'{path}' is no YAML", "a recipe", where)) from None


def _check_keys(kind: type, values: Any, place: str) -> None:
    """Refuse keys of a recipe that its dataclass does not have."""
    if not isinstance(values, Mapping):
        raise FormatError(message("recipe", f"{place or 'the file'} is no table", "key: value", repr(values)))
    known = _fields(kind)
    for key, value in values.items():
        check_choice("recipe", f"key {place + str(key)!r}", key, list(known))
        inner = known[key]
        if inner is not None and value is not None:
            _check_keys(inner, value, f"{place}{key}.")


def _check_path(path: list[str], options: list[str]) -> None:
    known = _fields(Recipe)
    check_choice("command line", f"option --{'.'.join(path)}", path[0], options)
    inner = known.get(path[0])
    if inner is not None and len(path) > 1:
        names = list(_fields(inner))
        check_choice("command line", f"--{'.'.join(path)}: option {path[1]!r}", path[1], names)


def _fields(kind: type) -> dict[str, type | None]:
    """The names of a dataclass's fields, each with its class if that is a dataclass itself."""
    inner = {"data": DataOptions, "network": NetworkOptions, "trainer": TrainerOptions} if kind is Recipe else {}
    return {option.name: inner.get(option.name) for option in dataclasses.fields(kind)}


def _from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    inner = _fields(kind)
    known = {name: value if (k := inner[name]) is None else _from_dict(k, value) for name, value in values.items()}
    return kind(**known)
