"""What a folder may hold when a training begins or goes on, and what is said of checkpoints that do not fit."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from slayerloss import ArgumentError, FormatError, cli, train
from slayerloss.train.callbacks import Checkpoints
from slayerloss.train.recipe import differences, plain
from slayerloss.train.resume import FREE

CONSTANT = ["--schedule.type=constant", "--schedule.warmup=null", "--trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def trained(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train.fit(train.read_recipe(recipe_file, CONSTANT), tmp_path_factory.mktemp("runs") / "run").folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A trained run that may be spoilt."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def edit_recipe(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "recipe.yaml"
    recipe = yaml.safe_load(path.read_text())
    edit(recipe)
    path.write_text(yaml.safe_dump(recipe))


def uses(folder: Path) -> dict[str, Callable[[], object]]:
    """All that reads the last checkpoint."""
    run = train.Run.open(folder)
    return {
        "network": lambda: run.network("last"),
        "test": lambda: run.test("last"),
        "resume": lambda: train.fit(run.recipe, folder, resume=True),
    }


USES = ("network", "test", "resume")


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-20],
        lambda content: b"no checkpoint at all" * 100,
        lambda content: content[2000:],
    ],
    ids=["empty", "hundred", "half", "end", "text", "beginning"],
)
def test_a_damaged_checkpoint_is_named(folder: Path, use: str, spoil: Callable[[bytes], bytes]) -> None:
    path = folder / "checkpoints" / "last.ckpt"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(FormatError, match=r"^run: '.*last\.ckpt' is damaged; expected a checkpoint .*Take the other"):
        uses(folder)[use]()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}], ids=["list", "parameters"])
def test_another_file_of_torch_is_no_checkpoint(folder: Path, use: str, content: object) -> None:
    torch.save(content, folder / "checkpoints" / "last.ckpt")
    with pytest.raises(FormatError, match=r"last\.ckpt' is no checkpoint; expected a checkpoint that slayerloss fit"):
        uses(folder)[use]()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda recipe: recipe["network"]["layers"][1].update(out_neurons=4),
            r"layers\.1\.out_neurons.*expected 3, go",
        ),
        (lambda recipe: recipe["network"]["layers"][1].update(delay=False), r"layers\.1\.delay.*expected True, got Fa"),
        (lambda recipe: recipe["network"]["neuron"].update(threshold=0.7), r"neuron\.threshold.*expected 0\.3, got 0"),
        (lambda recipe: recipe["network"]["layers"].pop(), r"layers\.1.*expected .*Dense.*got None"),
    ],
)
@pytest.mark.parametrize("use", USES)
def test_an_edited_recipe_does_not_fit_its_checkpoint(folder: Path, use: str, edit: Callable, said: str) -> None:
    edit_recipe(folder, edit)
    if use == "resume" and "layers.1.*" in said:
        said = "too few outputs|layers.1"  # what is left of the network does not fit the data
    with pytest.raises((FormatError, ArgumentError), match=said):
        uses(folder)[use]()


@pytest.mark.parametrize("use", USES)
def test_a_checkpoint_without_its_recipe_is_compared_by_parameters(folder: Path, use: str) -> None:
    path = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["recipe"]
    torch.save(checkpoint, path)
    uses(folder)[use]()
    edit_recipe(folder, lambda recipe: recipe["network"]["layers"][1].update(out_neurons=4))
    with pytest.raises(FormatError, match=r"last\.ckpt' does not fit the recipe; expected .*\(4,.*got \(3,.*Put recip"):
        uses(folder)[use]()


def test_a_damaged_best_checkpoint_is_named_where_a_training_ends_with_the_test(folder: Path) -> None:
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"PK")
    with pytest.raises(FormatError, match=r"best\.ckpt' is damaged"):
        train.fit(train.Run.open(folder).recipe, folder, resume=True, test=True)


@pytest.mark.parametrize(
    "option",
    [
        "--seed=7",
        "--data.batch_size=2",
        "--data.eval_batch_size=2",
        "--patience=9",
        "--average=0.5",
        "--loss.true_rate=0.6",
        "--optimizer.lr=0.02",
        "--schedule.final=0.5",
        "--network.layers.0.neuron.dropout=0.3",
        "--trainer.gradient_clip_val=1",
        "--trainer.precision=bf16-mixed",
        "--trainer.accumulate_grad_batches=2",
        "--trainer.check_val_every_n_epoch=2",
    ],
)
def test_what_changes_the_result_cannot_change(folder: Path, option: str) -> None:
    before = (folder / "recipe.yaml").read_text()
    recipe = train.read_recipe(folder / "recipe.yaml", [option])
    key = option[2:].partition("=")[0]
    with pytest.raises(ArgumentError, match=f"^fit: {key} is not what '.*' was begun with; expected .*Begin a new run"):
        train.fit(recipe, folder, resume=True)
    assert (folder / "recipe.yaml").read_text() == before


def test_what_does_not_change_the_result_may_change(folder: Path, recipe_file: Path) -> None:
    moved = shutil.copytree(recipe_file.parent / "data", folder.parent / "moved")
    options = [f"--data.root={moved}", "--data.workers=1", "--trainer.accelerator=auto", "--trainer.strategy=ddp"]
    options += ["--trainer.enable_progress_bar=true", "--trainer.deterministic=true"]
    recipe = train.read_recipe(folder / "recipe.yaml", [*options, "--trainer.strategy=auto"])
    train.fit(recipe, folder, resume=True)
    assert train.Run.open(folder).recipe == recipe


def test_the_free_values_are_values_of_a_recipe() -> None:
    values = plain(train.Recipe())
    for key in FREE:
        section, name = key.split(".")
        assert name in values[section]


def test_the_end_may_change_if_the_learning_rate_does_not_depend_on_it(folder: Path) -> None:
    path = folder / "recipe.yaml"
    train.fit(train.read_recipe(path, ["--trainer.max_epochs=3"]), folder, resume=True)
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
    with pytest.raises(ArgumentError, match=r"max_epochs is not what .* further already"):
        train.fit(train.read_recipe(path, ["--trainer.max_epochs=2"]), folder, resume=True)
    with pytest.raises(ArgumentError, match=r"max_steps is not what .* further already"):
        train.fit(train.read_recipe(path, ["--trainer.max_steps=1"]), folder, resume=True)


@pytest.mark.parametrize("schedule", ["type: one_cycle", "type: cosine", "type: constant, warmup: 0.1"])
def test_the_end_of_other_schedules_stays(recipe_file: Path, tmp_path: Path, schedule: str) -> None:
    options = [f"--schedule={{{schedule}}}", "--trainer.max_epochs=1"]
    run = train.fit(train.read_recipe(recipe_file, options), tmp_path / "run")
    longer = train.read_recipe(run.folder / "recipe.yaml", ["--trainer.max_epochs=2"])
    with pytest.raises(ArgumentError, match=r"max_epochs is not what .* schedule depends on the end"):
        train.fit(longer, run.folder, resume=True)


def test_a_training_that_died_before_an_epoch_was_complete_begins_anew(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def die(self: train.Learner, batch: object, batch_idx: int) -> None:
        raise MemoryError("no more")

    out = tmp_path / "run"
    recipe = train.read_recipe(recipe_file, CONSTANT)
    recipe.trainer.enable_progress_bar = True
    with monkeypatch.context() as patched:
        patched.setattr(train.Learner, "training_step", die)
        with pytest.raises(MemoryError):
            train.fit(recipe, out)
    assert (out / "recipe.yaml").exists()
    other = dataclasses.replace(recipe, seed=5)
    capsys.readouterr()
    run = train.fit(other, out)
    assert f"no epoch of the training in '{out}' is complete: it begins anew" in capsys.readouterr().out
    assert train.Run.open(out).recipe.seed == 5
    assert run.checkpoint("last").is_file()


def test_a_folder_with_a_checkpoint_is_not_begun_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "recipe.yaml").rename(folder / "recipe.old")  # the checkpoints are what would be lost
    with pytest.raises(ArgumentError, match="holds a run"):
        train.fit(train.read_recipe(folder / "recipe.old"), folder)
    (folder / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(ArgumentError, match="holds a run"):
        train.fit(train.read_recipe(folder / "recipe.old"), folder)


def test_the_command_line_says_the_same(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["fit", "--resume", str(folder), "--trainer.gradient_clip_val=1"]) == 2
    assert "trainer.gradient_clip_val is not what" in capsys.readouterr().err


def test_differences_see_what_is_only_on_one_side() -> None:
    assert list(differences({"a": [1, 2], "b": {}}, {"a": [1], "b": {"c": None, "d": 1}})) == [
        ("a.1", 2, None),
        ("b.d", None, 1),
    ]


def test_what_a_recipe_holds_that_is_not_plain_is_refused(recipe_file: Path, tmp_path: Path) -> None:
    recipe = train.read_recipe(recipe_file)
    recipe.loss["class_weights"] = torch.ones(3)
    recipe.loss["type"] = "SpikeMax"
    del recipe.loss["true_rate"], recipe.loss["false_rate"]
    with pytest.raises(TypeError, match="a value is not plain"):
        train.fit(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_checkpoints_say_what_they_were_trained_by(trained: Path) -> None:
    recipe = plain(train.Run.open(trained).recipe)
    for name in ("best", "last"):
        assert torch.load(trained / "checkpoints" / f"{name}.ckpt", weights_only=True)["recipe"] == recipe
    assert Checkpoints(trained, "valid_loss").recipe is None
