"""A training whose numbers are no longer finite ends at once, and names the layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision

from slayerloss import ArgumentError, DivergedError, SlayerError, cli, train
from slayerloss.regularizer import L2, MembraneExcursion, Penalty, Regularized
from slayerloss.train.finite import check_step
from slayerloss.train.trainer import quiet

PARAMETERS = (
    "conv1.synapse.weight",
    "conv1.neuron.current_decay",
    "conv1.neuron.voltage_decay",
    "dense2.synapse.weight_g",
    "dense2.synapse.weight_v",
    "dense2.neuron.current_decay",
    "dense2.delay.delay",
)


@pytest.fixture
def recipe(recipe_file: Path) -> train.Recipe:
    return train.read_recipe(recipe_file, ["--trainer.max_epochs=2"])


def run(recipe: train.Recipe, spoil: Any, scaler: Any = None) -> train.Learner:
    """Train with lightning alone; `spoil` changes the learner before, or is a callback."""
    data = train.build_data(recipe.data)
    learner = train.build_learner(recipe, data.train)
    callbacks = [spoil] if isinstance(spoil, pl.Callback) else []
    if not callbacks:
        spoil(learner)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=recipe.trainer.max_epochs,
        callbacks=callbacks,
        plugins=None if scaler is None else [MixedPrecision("16-mixed", "cpu", scaler)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    with quiet():
        trainer.fit(learner, data)
    return learner


def poison(learner: train.Learner, name: str, value: float = float("nan")) -> None:
    with torch.no_grad():
        learner.network.get_parameter(name).flatten()[0] = value


class PoisonAfter(pl.Callback):
    """What the optimiser might do in a step."""

    def __init__(self, step: int, value: float) -> None:
        self.step, self.value = step, value

    def on_train_batch_end(self, trainer: pl.Trainer, learner: Any, *_: object) -> None:
        if trainer.global_step == self.step:
            poison(learner, "dense2.synapse.weight_v", self.value)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_bad_parameter_is_named(recipe: train.Recipe, name: str) -> None:
    layer, _, parameter = name.partition(".")
    with pytest.raises(DivergedError, match=rf"the parameter of layer {layer} \({parameter}\) is not finite"):
        run(recipe, lambda learner: poison(learner, name))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [1, 2])
def test_what_a_step_spoils_is_found_in_the_next_or_at_the_end(recipe: train.Recipe, step: int, value: float) -> None:
    recipe.trainer.max_epochs = 1
    recipe.data.batch_size, recipe.data.valid_fraction = 6, 0.0
    with pytest.raises(DivergedError, match=r"parameter of layer dense2 \(synapse\.weight_v\)"):
        run(recipe, PoisonAfter(step, value))


class Infinite(torch.nn.Module):
    reduction = "sum"

    def forward(self, spikes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (spikes.sum() + 1) * 1e38 * 1e38


class Large(torch.nn.Module):
    """Its gradient is finite, and not when it is scaled a lot."""

    reduction = "sum"

    def forward(self, spikes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return 1e4 * spikes.sum()


class Steep(torch.nn.Module):
    """Finite, but its gradient is not: the slope of a square root at 0."""

    reduction = "sum"

    def forward(self, spikes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (spikes - spikes.detach()).abs().sum().sqrt()


def give_loss(loss: torch.nn.Module) -> Any:
    return lambda learner: setattr(learner, "loss", loss)


def test_an_infinite_loss_is_named_with_the_layer_it_comes_from(recipe: train.Recipe) -> None:
    with pytest.raises(DivergedError, match=r"the loss of what layer dense2 sends is not finite; .* got inf"):
        run(recipe, give_loss(Infinite()))


def test_a_bad_gradient_is_named(recipe: train.Recipe) -> None:
    with pytest.raises(DivergedError, match="the gradient of layer dense2"):
        run(recipe, give_loss(Steep()))


def give_penalty(term: Any, **options: Any) -> Any:
    """Beside the loss, and one that is well."""

    def give(learner: train.Learner) -> None:
        penalties = {
            "well": lambda: learner.network.dense2.synapse.weight.square().sum(),
            "bad": Penalty(term(learner)),
        }
        learner.loss = Regularized(learner.loss, penalties, learner.network)

    return give


@pytest.mark.parametrize("scaled", [False, True])
def test_a_penalty_with_a_bad_gradient_is_named_with_its_parameter(recipe: train.Recipe, scaled: bool) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0) if scaled else None
    spoil = give_penalty(lambda learner: lambda: (0 * learner.network.conv1.synapse.weight).sum().sqrt())
    with pytest.raises(DivergedError, match=r"the gradient of penalty 'bad' at 'conv1\.synapse\.weight' is not finite"):
        run(recipe, spoil, scaler)


def test_an_infinite_penalty_is_named_with_its_layer(recipe: train.Recipe) -> None:
    spoil = give_penalty(lambda learner: lambda activity: (activity.spikes.sum() + 1) * 1e38 * 1e38)
    with pytest.raises(DivergedError, match=r"the value of penalty 'bad' at 'conv1' is not finite.*weight of 'bad'"):
        run(recipe, spoil)


def test_a_penalty_that_refuses_what_is_too_large_is_named(recipe: train.Recipe) -> None:
    def spoil(learner: train.Learner) -> None:
        poison(learner, "conv1.synapse.weight", 1e30)
        give_penalty(lambda learner: L2(learner.network, names="*.weight", squared=True))(learner)

    with pytest.raises(DivergedError, match=r"the value of penalty 'bad' at 'conv1\.synapse\.weight' is not finite"):
        run(recipe, spoil)


def test_other_refusals_of_a_penalty_stay_what_they_are(recipe: train.Recipe) -> None:
    spoil = give_penalty(lambda learner: lambda activity: MembraneExcursion(upper=1.0)(activity))
    with pytest.raises(ArgumentError, match="penalty 'bad', layer 'conv1', MembraneExcursion: conv1 has no voltage"):
        run(recipe, spoil)


def test_a_bad_loss_beside_good_penalties_is_the_loss(recipe: train.Recipe) -> None:
    def spoil(learner: train.Learner) -> None:
        learner.loss = Infinite()
        give_penalty(lambda learner: lambda activity: activity.spikes.mean())(learner)

    with pytest.raises(DivergedError, match="the loss of what layer dense2 sends is not finite"):
        run(recipe, spoil)


def test_a_bad_parameter_is_named_before_the_penalties_on_it(recipe: train.Recipe) -> None:
    def spoil(learner: train.Learner) -> None:
        give_penalty(lambda learner: lambda: learner.network.conv1.synapse.weight.sum())(learner)
        poison(learner, "conv1.synapse.weight")

    with pytest.raises(DivergedError, match=r"the parameter of layer conv1 \(synapse\.weight\) is not finite"):
        run(recipe, spoil)


def test_the_last_layer_with_a_bad_gradient_is_where_it_began() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    check_step(network, torch.ones(()))
    network[0].weight.grad[0, 0] = network[1].weight.grad[0, 0] = float("nan")
    with pytest.raises(DivergedError, match=r"gradient of layer 1 \(weight\).* got 1 NaN"):
        check_step(network, torch.ones(()))
    check_step(network, torch.ones(()), gradients=False)
    network[1].weight.grad = network[0].weight.grad = torch.full((2, 2), 3e38)  # their sum overflows: all is well
    check_step(network, torch.ones(()))


def test_a_scaler_may_search_for_its_scale(recipe: train.Recipe) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126, growth_interval=1000)
    learner = run(recipe, give_loss(Large()), scaler)
    assert 1 < scaler.get_scale() < 2.0**126  # it has skipped steps
    assert all(bool(p.isfinite().all()) for p in learner.parameters())


def test_a_gradient_that_no_scale_makes_finite_ends_a_training_with_a_scaler(recipe: train.Recipe) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with pytest.raises(DivergedError, match="the gradient of layer dense2"):
        run(recipe, give_loss(Steep()), scaler)
    assert scaler.get_scale() <= 1


def test_a_scaler_hides_no_infinite_loss(recipe: train.Recipe) -> None:
    with pytest.raises(DivergedError, match="the loss of what layer dense2 sends"):
        run(recipe, give_loss(Infinite()), torch.amp.GradScaler("cpu"))


def test_other_refusals_of_a_layer_stay_what_they_are(recipe: train.Recipe) -> None:
    def shrink(learner: train.Learner) -> None:
        learner.network[0] = torch.nn.Identity()

    with pytest.raises(SlayerError) as refused:
        run(recipe, shrink)
    assert not isinstance(refused.value, DivergedError)


def test_the_command_line_says_it_in_one_line(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(train.Learner, "on_train_start", lambda learner: poison(learner, "conv1.synapse.weight"))
    assert cli.main(["fit", "--config", str(recipe_file), "--out", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("slayerloss fit: the parameter of layer conv1 (synapse.weight) is not finite;")
    assert printed.count("\n") == 1
