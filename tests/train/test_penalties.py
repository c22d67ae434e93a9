"""Penalties in a training: from a recipe, in any LightningModule, logged, resumed."""

from __future__ import annotations

import csv
import inspect
import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import yaml
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import ArgumentError, DtypeError, SlayerError, block, loss, regularizer, train
from slayerloss.regularizer import ActivityPenalty, BaseRegularization, Penalty, Regularized, WeightSchedule
from slayerloss.train.checkpoint import CheckpointFiles
from slayerloss.train.penalties import ON_ACTIVITY, ON_PARAMETERS, build_penalties
from slayerloss.train.trainer import quiet

RAMP = {"type": "ramp", "begin": 0.2, "end": 0.8}
PENALTIES: dict[str, Any] = {
    "size": {"type": "L1", "names": "*.weight", "weight": 0.001, "schedule": RAMP},
    "dale": {"type": "DaleHinge", "names": "dense2.synapse.weight", "weight": 0.01},
    "near": {"type": "WeightsDistance", "names": "*.synapse.weight", "weight": 0.01},
    "decays": {"type": "Bounds", "lower": {"*.voltage_decay": 0.2}, "weight": 2.0},
}
NEURON = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1, "scale_grad": 3, "requires_grad": True}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("recordings") / "data")


@pytest.fixture
def file(recordings: Path, tmp_path: Path) -> Path:
    changes = {"regularizers": PENALTIES, "sparsity": {"max_rate": 0.01, "lam": 3.0}}
    return write_recipe_file(tmp_path / "recipe.yaml", tiny_recipe(recordings, **changes))


def rows(run: train.Run) -> list[dict[str, float]]:
    with open(run.folder / "metrics.csv") as metrics:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(metrics)]


def test_every_penalty_has_its_column_and_the_loss_stands_alone(file: Path, tmp_path: Path) -> None:
    options = ["--optimizer.lr=0", "--regularizers.dale.weight", "0.02", "--data.augment=[]", "--data.shuffle=false"]
    recipe = train.read_recipe(file, options)
    assert recipe.regularizers is not None
    assert recipe.regularizers["dale"] == {**PENALTIES["dale"], "weight": 0.02}
    run = train.fit(recipe, tmp_path / "run", test=True)
    found = rows(run)
    assert [name for name in found[0] if name.startswith("penalty_")] == [
        f"penalty_{name}" for name in ("dale", "decays", "near", "size", "sparsity")
    ]
    learner = train.build_learner(recipe, run.data().train)
    weights = [each.synapse.weight.detach() for each in learner.network.children()]  # nothing learns
    size = 0.001 * float(sum(weight.abs().sum() for weight in weights))
    ramp = WeightSchedule(**RAMP)
    steps = [size * sum(ramp((3 * epoch + i) / 12) for i in range(3)) / 3 for epoch in range(4)]
    assert [row["penalty_size"] for row in found] == pytest.approx(steps, rel=1e-5)
    assert found[0]["penalty_decays"] == pytest.approx(2 * 2 * (0.2 - 0.1) ** 2, rel=1e-2)
    assert all(row["penalty_near"] == 0 for row in found)
    assert found[0]["penalty_sparsity"] > 0
    plain = train.read_recipe(file, [*options, "--sparsity=null", "--regularizers=null"])
    alone = rows(train.fit(plain, tmp_path / "plain"))
    for with_penalties, without in zip(found, alone, strict=True):
        assert {name: with_penalties[name] for name in without} == without


def test_penalties_act_on_what_is_learned(file: Path, tmp_path: Path) -> None:
    strong = ["--regularizers.decays.weight=1000", "--trainer.max_epochs=8", "--optimizer.lr=0.03"]
    found = rows(train.fit(train.read_recipe(file, strong), tmp_path / "run"))
    assert found[-1]["penalty_decays"] < 0.5 * found[0]["penalty_decays"]


def test_the_argument_sparsity_is_a_penalty() -> None:
    network = train.Network({"a": block.cuba.Dense(NEURON, 6, 5), "b": block.cuba.Dense(NEURON, 5, 3)})
    learner = train.Learner(network, loss.SpikeRate(0.6, 0.1), sparsity=loss.SparsityEnforcer(0.0, lam=4.0))
    assert isinstance(learner.loss, Regularized)
    learner.loss.attach(network)
    spikes = network(torch.ones(2, 6, 9))
    learner.loss(spikes, torch.tensor([0, 1]))
    rate = network.outputs(torch.ones(2, 6, 9))["a"].mean()
    torch.testing.assert_close(learner.loss.terms["sparsity"], 4 * rate.square())
    regularized = Regularized(loss.SpikeRate(0.6, 0.1), {"size": lambda: network.a.synapse.weight.sum()})
    other = train.Learner(network, regularized, sparsity=loss.SparsityEnforcer())
    assert list(other.loss.penalties) == ["size", "sparsity"]
    assert "network" not in " ".join(other.loss.state_dict())


class Killed(BaseException):
    """Stands for a signal that nothing can catch."""


def test_a_resumed_run_has_its_references_and_schedules(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = train.read_recipe(file, ["--average=0.5"])
    whole = train.fit(recipe, tmp_path / "whole")
    saved = CheckpointFiles.save_checkpoint

    def save(self: CheckpointFiles, checkpoint: dict, path: Path, storage_options: object = None) -> None:
        if checkpoint["epoch"] == 2:
            raise Killed
        saved(self, checkpoint, path, storage_options)

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointFiles, "save_checkpoint", save)
        with pytest.raises(Killed):
            train.fit(recipe, tmp_path / "parts")
    parts = train.fit(recipe, tmp_path / "parts", resume=True)
    ours, theirs = (torch.load(run.checkpoint("last"), weights_only=True)["state_dict"] for run in (parts, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    names = [name for name in theirs if name.startswith("loss.")]
    assert names == [f"loss.penalties.{n}.term.reference_{i}" for n, i in (("dale", 0), ("near", 0), ("near", 1))]
    assert (parts.folder / "metrics.csv").read_text() == (whole.folder / "metrics.csv").read_text()
    assert rows(parts)[-1]["penalty_near"] > 0
    with pytest.raises(ArgumentError, match=r"regularizers\.size\.weight is not what .* was begun with"):
        train.fit(train.read_recipe(file, ["--average=0.5", "--regularizers.size.weight=2"]), parts.folder, resume=True)


def test_a_schedule_of_a_weight_fixes_the_end(file: Path, tmp_path: Path) -> None:
    constant = ["--schedule={type: constant}", "--trainer.max_epochs=1"]
    run = train.fit(train.read_recipe(file, constant), tmp_path / "run")
    path = run.folder / "recipe.yaml"
    with pytest.raises(ArgumentError, match=r"max_epochs is not what .* A schedule depends on the end"):
        train.fit(train.read_recipe(path, ["--trainer.max_epochs=2"]), run.folder, resume=True)
    free = [*constant, "--regularizers.size.schedule={type: constant}"]
    run = train.fit(train.read_recipe(file, free), tmp_path / "free")
    longer = train.read_recipe(run.folder / "recipe.yaml", ["--trainer.max_epochs=2"])
    assert len(rows(train.fit(longer, run.folder, resume=True))) == 2


def test_a_run_from_before_penalties_goes_on(recordings: Path, tmp_path: Path) -> None:
    changes = {"schedule": {"type": "constant"}, "trainer__max_epochs": 1, "sparsity": {"max_rate": 0.01}}
    file = write_recipe_file(tmp_path / "recipe.yaml", tiny_recipe(recordings, **changes))
    run = train.fit(train.read_recipe(file), tmp_path / "run")
    values = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    del values["regularizers"]
    (run.folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    checkpoint = torch.load(run.checkpoint("last"), weights_only=True)
    del checkpoint["recipe"]["regularizers"]
    metrics = checkpoint["callbacks"]["MetricsFile"]["rows"]
    metrics[0]["train_sparsity"] = metrics[0].pop("penalty_sparsity")
    torch.save(checkpoint, run.checkpoint("last"))
    longer = train.read_recipe(run.folder / "recipe.yaml", ["--trainer.max_epochs=2"])
    train.fit(longer, run.folder, resume=True)
    with open(run.folder / "metrics.csv") as metrics_file:
        first, second = csv.DictReader(metrics_file)
    assert (first["penalty_sparsity"], second["train_sparsity"]) == ("", "")
    assert float(second["penalty_sparsity"]) >= 0


@pytest.mark.parametrize(
    ("penalty", "said"),
    [
        ("L1", r"regularizers\.mine is no table; expected {type: NAME, \.\.\.}, got 'L1'"),
        ({"type": "Bound"}, r"regularizers\.mine\.type is unknown; expected one of .*'L1'.*Did you mean 'Bounds'"),
        ({"weight": 1.0}, r"regularizers\.mine has no type; expected one of .*'L1'.*got only 'weight'"),
        ({"type": "L1", "wieght": 1.0}, r"regularizers\.mine: 'wieght' is unknown; .*Did you mean 'weight'"),
        ({"type": "L1", "name": "*"}, r"regularizers\.mine: 'name' is unknown; .*Did you mean 'names'"),
        ({"type": "L1", "weight": "much"}, r"regularizers\.mine: weight has the wrong type; expected float"),
        ({"type": "L1", "names": "*.wieght"}, r"regularizers\.mine \(L1\): '\*\.wieght' names no parameter"),
        ({"type": "L1", "layers": "conv1"}, r"regularizers\.mine: .*layers chooses nothing of a term on parameters"),
        ({"type": "L1", "schedule": "ramp"}, r"regularizers\.mine\.schedule is no table"),
        ({"type": "L1", "schedule": {"type": "rampe"}}, r"regularizers\.mine\.schedule: .*type is unknown.*'ramp'"),
        ({"type": "L1", "schedule": {"end": 2.0}}, r"regularizers\.mine\.schedule: .*end is out of range"),
        ({"type": "Bounds", "kind": "squares"}, r"regularizers\.mine \(Bounds\): kind is unknown.*'squared'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(file: Path, tmp_path: Path, penalty: Any, said: str) -> None:
    recipe = train.read_recipe(file)
    recipe.regularizers = {"mine": penalty}
    with pytest.raises(SlayerError, match=f"^recipe: {said}|^{said}"):
        train.fit(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ([{"type": "L1"}], DtypeError, "regularizers"),
        ({"a b": {"type": "L1"}}, ArgumentError, r"regularizers .*: a penalty's name is no name"),
        ({"loss": {"type": "L1"}}, ArgumentError, "regularizers .*: a penalty's name is taken"),
        ({"sparsity": {"type": "L1"}}, ArgumentError, "sparsity .*: a penalty's name is taken"),
    ],
)
def test_the_table_of_penalties_is_checked(file: Path, tmp_path: Path, given: Any, error: Any, said: str) -> None:
    recipe = train.read_recipe(file)
    recipe.regularizers = given
    with pytest.raises(error, match=said):
        train.fit(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_network_without_hidden_layers_says_so(recordings: Path, tmp_path: Path) -> None:
    layers = [{"type": "Flatten"}, {"type": "Dense", "out_neurons": 3}]
    changes = {"network__layers": layers, "sparsity": {"max_rate": 0.01}}
    recipe = train.read_recipe(write_recipe_file(tmp_path / "recipe.yaml", tiny_recipe(recordings, **changes)))
    with pytest.raises(ArgumentError, match=r"sparsity: .*there is no hidden spiking block"):
        train.fit(recipe, tmp_path / "run")


def test_the_example_of_the_documentation_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(regularizers:.*?)```", page, re.DOTALL)
    layers = [
        {"type": "Conv", "out_features": 3, "kernel_size": 3, "weight_scale": 4},
        {"type": "Flatten"},
        {"type": "Dense", "out_neurons": 5},
        {"type": "Dense", "out_neurons": 2},
    ]
    network = train.build_network(layers, {**NEURON, "voltage_decay": 0.001}, (2, 6, 6))
    penalties = build_penalties(yaml.safe_load(text)["regularizers"], network)
    regularized = Regularized(loss.SpikeRate(0.2, 0.03), penalties, network)
    regularized.progress = 0.15
    regularized(network(torch.ones(2, 2, 6, 6, 9)), torch.tensor([0, 1])).backward()
    assert {name: value > 0 for name, value in regularized.terms.items()} == dict.fromkeys(
        ["loss", "rates", "decays", "dale"], True
    )
    assert {name: penalties[name].factor(0.15) for name in penalties} == {"rates": 2.5, "decays": 10, "dale": 0.001}


def test_recipes_know_every_penalty() -> None:
    classes = {name: getattr(regularizer, name) for name in regularizer.__all__}
    modules = {n: c for n, c in classes.items() if inspect.isclass(c) and issubclass(c, torch.nn.Module)}
    on_parameters = {n for n, c in modules.items() if issubclass(c, BaseRegularization) and c is not BaseRegularization}
    assert on_parameters == set(ON_PARAMETERS)
    on_activity = {n for n, c in modules.items() if issubclass(c, ActivityPenalty) and c is not ActivityPenalty}
    assert on_activity == set(ON_ACTIVITY)


class Plain(pl.LightningModule):
    """Not one of ours, of two layers."""

    def __init__(self, penalties: dict[str, Penalty]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = block.cuba.Dense(NEURON, 6, 5, weight_scale=4), block.cuba.Dense(NEURON, 5, 3)
        self.criterion = Regularized(loss.SpikeRate(0.6, 0.1), penalties)
        self.seen: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        events, labels = batch
        total = self.criterion(self.last(self.first(events)), labels)
        self.seen.append((self.criterion.progress, self.criterion.terms))
        return total

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(module: pl.LightningModule, **options: Any) -> pl.Trainer:
    samples = [(torch.ones(6, 8), torch.tensor(i % 3)) for i in range(6)]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[train.RegularizerCallback()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with quiet():
        trainer.fit(module, torch.utils.data.DataLoader(samples, batch_size=2), **options)
    return trainer


def hooks(module: torch.nn.Module) -> int:
    """How many hooks there are, those of the voltage included."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_voltage_hooks")
    return sum(len(getattr(part, kind, ())) for part in module.modules() for kind in kinds)


def test_any_module_of_lightning_can_have_penalties() -> None:
    ramp = Penalty(lambda activity: activity.spikes.mean(), schedule=WeightSchedule("ramp"), layers="first")
    with pytest.raises(ArgumentError, match="progress is not known"):
        Plain({"rates": ramp}).criterion(torch.ones(1, 3, 4), torch.tensor([0]))
    module = Plain({"rates": ramp})
    trainer = fit(module)
    assert [progress for progress, _ in module.seen] == pytest.approx([i / 6 for i in range(6)])
    logged = [float(terms["rates"]) for _, terms in module.seen[3:]]
    assert float(trainer.callback_metrics["penalty_rates"]) == pytest.approx(sum(logged) / 3)
    assert all(value > 0 for value in logged)
    assert not any(part._forward_hooks for part in module.modules())


class Validated(Plain):
    """With a validation, which counts the hooks."""

    def __init__(self, penalties: dict[str, Penalty]) -> None:
        super().__init__(penalties)
        self.hooks: list[tuple[str, int]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.hooks.append(("train", hooks(self)))
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.hooks.append(("valid", hooks(self)))
        self.criterion(self.last(self.first(batch[0])), batch[1])


def test_nothing_is_looked_at_in_a_validation() -> None:
    module = Validated({"voltage": Penalty(regularizer.MembraneExcursion(upper=0.1), layers="first")})
    loader = torch.utils.data.DataLoader([(torch.ones(6, 8), torch.tensor(0))])
    trainer = fit(module, val_dataloaders=loader)
    steps = ["valid", *(["train"] * 3 + ["valid"]) * 2]  # with that before the training
    assert [stage for stage, _ in module.hooks] == steps
    assert all((count > 0) == (stage == "train") for stage, count in module.hooks)
    assert float(trainer.callback_metrics["penalty_voltage"]) > 0
    assert hooks(module) == 0


def test_an_error_leaves_no_hooks(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(activity: regularizer.LayerActivity) -> torch.Tensor:
        raise ZeroDivisionError

    module = Plain({"broken": Penalty(broken, layers="first")})
    with pytest.raises(ZeroDivisionError):
        fit(module)
    assert hooks(module) == 0
    recipe = train.read_recipe(recipe_file)
    samples = train.build_data(recipe.data)
    for sparsity in (None, loss.SparsityEnforcer()):
        network = train.build_learner(recipe, samples.train).network
        learner = train.Learner(network, loss.SpikeRate(0.6, 0.1), sparsity=sparsity)
        monkeypatch.setattr(learner, "on_before_optimizer_step", lambda _: broken(None))
        options = {"enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, **options)
        with quiet(), pytest.raises(ZeroDivisionError):
            trainer.fit(learner, samples)
        assert hooks(network) == 0


def test_two_losses_may_not_have_penalties_of_one_name() -> None:
    module = Plain({"rates": Penalty(lambda activity: activity.spikes.mean(), layers="first")})
    module.other = Regularized(torch.nn.MSELoss(), {"rates": lambda: module.last.synapse.weight.sum()})
    with pytest.raises(ArgumentError, match=r"RegularizerCallback: two losses have penalties of one name.*got 'rates'"):
        fit(module)
