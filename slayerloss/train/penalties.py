"""Penalties in a training: made from a recipe; followed, weighted and logged while lightning trains."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from slayerloss import regularizer
from slayerloss._check import ArgumentError, DtypeError, check_choice, message
from slayerloss.loss import SparsityEnforcer
from slayerloss.regularizer import BaseRegularization, LayerActivity, Penalty, Regularized, WeightSchedule
from slayerloss.regularizer.collector import modules_by_name
from slayerloss.train.create import check_kind, create

ON_PARAMETERS = (
    "Bounds",
    "DaleHinge",
    "DaleLaw",
    "DaleLawL2",
    "ExcRatioTargetRegularization",
    "InhRatioTargetRegularization",
    "L1",
    "L2",
    "Lp",
    "OperatorNorm",
    "SignRatio",
    "WeightsDistance",
)
ON_ACTIVITY = (
    "Hoyer",
    "MembraneExcursion",
    "RateBand",
    "SynapticOperations",
    "TemporalSmoothness",
    "TotalEvents",
    "TrevesRolls",
)
_OF_PENALTIES = ("type", "weight", "schedule", "layers")
"""What each penalty of a recipe may have, beside the arguments of its type."""


class RegularizerCallback(Callback):
    """Lets lightning train with a `Regularized` loss, in any LightningModule that has one among its parts.

    While the trainer trains, the loss looks at the activity of its model, and knows the progress: steps of the
    optimiser out of those that there will be; an endless training stays at the beginning. In a validation or test,
    where the loss is in eval mode and has no penalties, it does not look, nor after an error. Each weighted penalty is
    logged as `penalty_<name>`, the mean over the steps of an epoch and over the processes. `Learner` brings it along.

    Args:
        model: what penalties on activity look at if their loss does not know; None for the LightningModule.

    Raises:
        ArgumentError: (when a trainer begins) two losses have penalties of one name.

    Example:
        >>> import lightning.pytorch as pl
        >>> trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=[RegularizerCallback()])
    """

    def __init__(self, model: torch.nn.Module | None = None) -> None:
        self.model = model
        self.num_steps = 1.0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        names = [name for loss in _losses(pl_module) for name in loss.penalties]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            problem, rule = "two losses have penalties of one name", "another name for each, under which it is logged"
            raise ArgumentError(message("RegularizerCallback", problem, rule, ", ".join(map(repr, twice))))
        for loss in _losses(pl_module):
            loss.attach(loss.model or self.model or pl_module)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for loss in _losses(pl_module):
            loss.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, str(trainer.state.fn))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.num_steps = max(1.0, float(trainer.estimated_stepping_batches))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        for loss in _losses(pl_module):
            loss.progress = min(trainer.global_step / self.num_steps, 1.0)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        for loss in _losses(pl_module):
            values = {f"penalty_{name}": loss.terms[name] for name in loss.penalties if name in loss.terms}
            pl_module.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, batch_size=1)
            loss.clear()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for loss in _losses(pl_module):
            if not loss.training:  # then it has no penalties
                loss.pause()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for loss in _losses(pl_module):
            loss.resume()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        for loss in _losses(pl_module):
            loss.clear()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_validation_start(trainer, pl_module)

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.on_validation_batch_end(trainer, pl_module)


def _losses(module: torch.nn.Module) -> Iterator[Regularized]:
    return (part for part in module.modules() if isinstance(part, Regularized))


def build_penalties(options: Mapping[str, Any], network: torch.nn.Module, seed: int = 0) -> dict[str, Penalty]:
    """The penalties that a recipe lists.

    Args:
        options: name -> type, a penalty of slayerloss.regularizer, with the arguments of that class, and the weight,
            schedule and layers of `Penalty`. What needs reference_weights takes the network's as they are now.
        network: whose parameters and layers are penalised.
        seed: of what is drawn, such as the signs of Dale's law, unless the penalty has its own.

    Raises:
        SlayerError: a name, type or argument is unknown (the nearest is named), or does not fit.

    Example:
        >>> model = torch.nn.Linear(3, 2)
        >>> penalty = build_penalties({"size": {"type": "L1", "weight": 0.5, "names": "weight"}}, model)["size"]
        >>> penalty.weight, list(penalty.term.named())
        (0.5, ['weight'])
    """
    return {name: _build(f"regularizers.{name}", each, network, seed) for name, each in options.items()}


def _build(place: str, options: Any, network: torch.nn.Module, seed: int) -> Penalty:
    if not isinstance(options, Mapping):
        raise DtypeError(message("recipe", f"{place} is no table", "{type: NAME, ...}", repr(options)))
    check_kind(place, sorted(ON_PARAMETERS + ON_ACTIVITY), options)
    kind = getattr(regularizer, options["type"])
    given = (network,) if issubclass(kind, BaseRegularization) else ()
    known = dict(list(inspect.signature(kind).parameters.items())[len(given) :])
    for name in options:
        check_choice("recipe", f"{place}: {name!r}", name, [*_OF_PENALTIES, *known])
    arguments = {name: value for name, value in options.items() if name not in _OF_PENALTIES}
    if "seed" in known:
        arguments.setdefault("seed", seed)
    elif "reference_weights" in known:
        arguments.setdefault("reference_weights", network)
    own = {name: options[name] for name in _OF_PENALTIES[1:] if name in options}
    if own.get("schedule") is not None:
        if not isinstance(own["schedule"], Mapping):
            raise DtypeError(message("recipe", f"{place}.schedule is no table", "{type: NAME, ...}", own["schedule"]))
        own["schedule"] = create(f"{place}.schedule", WeightSchedule, own["schedule"])
    penalty: Penalty = create(place, Penalty, own, create(f"{place} ({options['type']})", kind, arguments, *given))
    check_layers(place, penalty, network)
    return penalty


def check_layers(place: str, penalty: Penalty, network: torch.nn.Module) -> None:
    """See that a network has the layers of a penalty.

    Raises:
        ArgumentError: it has not.
    """
    if penalty.on_activity:
        create(place, penalty.chosen, {}, modules_by_name(network))


def of_enforcer(enforcer: SparsityEnforcer) -> Penalty:
    """A SparsityEnforcer as the penalty that it is, on all hidden layers."""
    return Penalty(functools.partial(_of_layer, enforcer), enforcer.lam)


def _of_layer(enforcer: SparsityEnforcer, activity: LayerActivity) -> Tensor:
    return enforcer.penalty(activity.spikes, activity.lengths)
