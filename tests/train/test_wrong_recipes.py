"""Whatever is wrong in a recipe is said with its place, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slayerloss import ArgumentError, DtypeError, FormatError, SlayerError, train

NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}


def refusal(layer: dict[str, Any]) -> str:
    layers = [{"type": "Flatten"}, layer] if layer.get("type") == "Dense" else [layer]
    with pytest.raises(SlayerError) as refused:
        train.build_network(layers, NEURON, (2, 8, 8))
    return str(refused.value)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"out_neurons": "foo"}, "(Dense): out_neurons has the wrong type; expected int, got 'foo'."),
        ({"out_neurons": 3.5}, "(Dense): out_neurons has the wrong type; expected int, got 3.5."),
        ({"out_neurons": True}, "(Dense): out_neurons has the wrong type; expected int, got True."),
        ({"out_neurons": [1, 2]}, "out_neurons has the wrong type"),
        ({"out_neurons": -3}, "is out of range; expected an integer of at least 1 and at most 2147483647, got -3"),
        ({"type": "Conv", "out_features": 2}, "missing a required argument: 'kernel_size'"),
        ({"weight_norm": "foo"}, "weight_norm has the wrong type; expected bool, got 'foo'."),
        ({"delay": 1}, "delay has the wrong type; expected bool, got 1."),
        ({"delay_shift": "foo"}, "delay_shift is unknown"),
        ({"weight_scale": None}, "weight_scale has the wrong type; expected float, got None."),
        ({"mask": "foo"}, "mask has the wrong type; expected Tensor | None, got 'foo'."),
        ({"in_neurons": "foo"}, "in_neurons has the wrong type; expected int | tuple[int, ...], got 'foo'."),
        ({"neuron": 3}, "neuron is no table; expected key: value, got 3."),
        ({"neuron": None}, "neuron is no table; expected key: value, got None."),
        ({"neuron": {"threshold": "foo"}}, "neuron: threshold has the wrong type; expected float, got 'foo'."),
        ({"neuron": {"treshold": 1}}, "Did you mean 'threshold'"),
        ({"neuron": {"current_decay": "foo"}}, "current_decay is not a number"),
        ({"neuron": {"requires_grad": "foo"}}, "neuron: requires_grad has the wrong type; expected bool, got 'foo'."),
        ({"neuron": {"shared_param": 1}}, "neuron: shared_param has the wrong type; expected bool, got 1."),
        ({"neuron": {"dropout": 3}}, "neuron: dropout is out of range; expected a number in [0, 1], got 3"),
        ({"neuron": {"dropout": float("nan")}}, "neuron: dropout is out of range"),
        ({"neuron": {"dropout": "foo"}}, "dropout is no module"),
        ({"neuron": {"norm": "foo"}}, "norm is unknown; expected one of 'MeanOnlyBatchNorm'"),
        ({"neuron": {"norm": 3}}, "norm is no class"),
        (
            {"type": "Conv", "out_features": 2, "kernel_size": "foo"},
            "(Conv): kernel_size has the wrong type; expected int | ",
        ),
        ({"type": "Conv", "out_features": 2, "kernel_size": [1, 2, 3]}, "kernel_size is not a pair"),
        ({"type": "Conv", "out_features": 2, "kernel_size": 3, "stride": 0}, "stride is out of range"),
        ({"type": "Pool", "kernel_size": [1, "foo"]}, "kernel_size has the wrong type"),
        ({"type": "Input", "weight": "foo"}, "weight has the wrong type; expected float | None, got 'foo'."),
        ({"type": "Average", "num_outputs": "foo"}, "num_outputs has the wrong type"),
        ({"type": "Flatten", "foo": 3}, "argument 'foo' is unknown"),
    ],
)
def test_a_wrong_argument_of_a_layer_is_named(layer: dict[str, Any], said: str) -> None:
    dense = "type" not in layer
    text = refusal({"type": "Dense", "out_neurons": 3, **layer} if dense else layer)
    assert said in text
    assert f"network.layers.{int(dense)}" in text
    assert text.count("expected") == 1  # one message, not one inside of another


@pytest.mark.parametrize("name", ["a.b", "", 3, ["a"], "outputs", "forward", "training"])
def test_a_name_that_cannot_be_one_is_refused(name: object) -> None:
    assert "name is no name" in refusal({"type": "Dense", "out_neurons": 3, "name": name})


@pytest.mark.parametrize(
    "option",
    [
        "--seed=-1",
        "--patience=0",
        "--data.batch_size=0",
        "--data.eval_batch_size=-1",
        "--data.split_seed=-1",
        "--data.valid_fraction=2",
        "--data.passes=0",
        "--data.limit=0",
        "--data.workers=-1",
        "--trainer.max_epochs=0",
        "--trainer.max_epochs=-2",
        "--trainer.max_steps=0",
        "--trainer.devices=0",
        "--trainer.num_nodes=0",
        "--trainer.gradient_clip_val=-1",
        "--trainer.accumulate_grad_batches=0",
        "--trainer.check_val_every_n_epoch=0",
    ],
)
def test_a_number_out_of_its_range_is_named(recipe_file: Path, tmp_path: Path, option: str) -> None:
    key = option[2:].partition("=")[0]
    with pytest.raises(ArgumentError, match=f"^recipe: {key} is out of range"):
        train.fit(train.read_recipe(recipe_file, [option]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--loss=null", "loss has no value"),
        ("--data.augment=null", "data.augment has no value; expected list"),
        ("--data.passes=null", "data.passes has no value; expected int, got null"),
        ("--trainer.max_epochs=null", "trainer.max_epochs has no value"),
        ("--loss.true_rate=foo", r"loss \(SpikeRate\): true_rate has the wrong type"),
        ("--loss.reduction=foo", r"loss \(SpikeRate\): .*reduction is unknown"),
        ("--optimizer.lr=foo", "optimizer: .*lr|'foo'"),
        ("--optimizer.type=SparseAdam", "optimizer.type is unknown"),
        ("--data.augment.0.max_pixels=foo", r"data.augment \(Shift\): max_pixels has the wrong type"),
        ("--trainer.check_val_every_n_epoch=9", "valid_accuracy is never measured"),
        ("--trainer.max_epochs=-1", "the training has no end"),
        ("--trainer.precision=foo", "trainer does not fit"),
        ("--trainer.accelerator=foo", "trainer does not fit"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_written(
    recipe_file: Path, tmp_path: Path, option: str, said: str
) -> None:
    with pytest.raises(SlayerError, match=said):
        train.fit(train.read_recipe(recipe_file, [option]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}", "2024-99-99", "[" * 2000])
def test_yaml_without_an_end_is_refused(recipe_file: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match=r"--loss.true_rate (holds itself|is no YAML)"):
        train.read_recipe(recipe_file, [f"--loss.true_rate={text}"])
    shared = "network: {neuron: &a {threshold: 1.0}}\nloss: {type: SpikeRate, other: *a}"  # an alias is no circle
    path = tmp_path / "recipe.yaml"
    path.write_text(shared)
    assert train.read_recipe(path).loss["other"] == {"threshold": 1.0}


def test_parts_of_the_wrong_kind_are_refused(recipe_file: Path, tmp_path: Path) -> None:
    for section, name, value, said in (
        (None, "loss", "SpikeRate", "loss is no table"),
        ("network", "layers", {"type": "Dense"}, r"network\.layers is no list"),
        ("data", "augment", ["Shift"], r"data\.augment is no list"),
        ("data", "batch_size", 2.5, r"data\.batch_size is not an integer"),
    ):
        recipe = train.read_recipe(recipe_file)
        setattr(getattr(recipe, section) if section else recipe, name, value)
        with pytest.raises(DtypeError, match=said):
            train.fit(recipe, tmp_path / "run")


def test_wrong_types_are_errors_of_types() -> None:
    with pytest.raises(DtypeError):
        train.build_network([{"type": "Dense", "out_neurons": "foo"}], NEURON, (4,))


def test_a_pattern_is_a_text_on_the_command_line_and_wants_quotes_in_a_file(tmp_path: Path) -> None:
    options = ["--regularizers.size.type", "L1", "--regularizers.size.names", "*.weight"]
    assert train.read_recipe("digits", options).regularizers == {"size": {"type": "L1", "names": "*.weight"}}
    path = tmp_path / "recipe.yaml"
    path.write_text("regularizers: {size: {type: L1, names: *.weight}}\n")
    said = r'is no YAML; .* in line 1\. Put what begins with \* into quotes: "\*\.weight"'
    with pytest.raises(FormatError, match=said):
        train.read_recipe(path)
