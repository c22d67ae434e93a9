"""A loss with penalties beside it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from block_zoo import COMPILES
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError, block, loss
from slayerloss.functional import membrane_excursion, rate_band
from slayerloss.regularizer import (
    ActivityCollector,
    BaseRegularization,
    LayerActivity,
    MembraneExcursion,
    Penalty,
    Regularized,
    SynapticOperations,
    WeightSchedule,
)

NEURON = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1, "scale_grad": 3, "requires_grad": True}
EVENTS = (torch.rand(3, 6, 12, generator=torch.Generator().manual_seed(0)) < 0.5).float()
LABELS = torch.tensor([0, 2, 1])
LENGTHS = torch.tensor([12, 7, 9])


class Squares(BaseRegularization):
    """The squared distance to half less than the parameters are when it is made."""

    def __init__(self, params: Any, Lambda: float = 1.0, *, names: Any = None) -> None:
        super().__init__(params, Lambda, names=names)
        self.set_references([x - 0.5 for x in self.params])

    def forward(self) -> Tensor:
        return self.total((x - y).square().sum() for x, y in zip(self.params, self.references, strict=True))


def events(activity: LayerActivity) -> Tensor:
    """Spikes per sample and step."""
    return rate_band(activity.spikes, 0.0, 0.05, lengths=activity.lengths)


def make_model(weight_norm: bool = False) -> torch.nn.Sequential:
    torch.manual_seed(0)
    sizes = {"first": (6, 5), "second": (5, 4), "last": (4, 3)}
    layers = {name: block.cuba.Dense(NEURON, *each, weight_scale=4) for name, each in sizes.items()}
    layers["second"] = block.cuba.Dense(NEURON, 5, 4, weight_scale=4, weight_norm=weight_norm)
    model = torch.nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


def make(model: torch.nn.Module, **changes: Any) -> Regularized:
    penalties = {
        "rates": Penalty(events, 0.5, **changes),
        "size": Penalty(Squares(model, names="*.weight"), 0.01),
    }
    return Regularized(loss.SpikeRate(0.6, 0.1), penalties, model)


def by_hand(model: torch.nn.Sequential, layers: tuple[str, ...], lengths: Tensor | None = None) -> dict[str, Tensor]:
    """The values of `make`, from its parts."""
    sent, x = {}, EVENTS
    for name, layer in model.named_children():
        x = sent[name] = layer(x)
    rates = sum(rate_band(sent[name], 0.0, 0.05, lengths=lengths) for name in layers)
    return {
        "loss": loss.SpikeRate(0.6, 0.1)(x, LABELS, lengths=lengths),
        "rates": 0.5 * rates,
        "size": 0.01 * sum((x * 0 + 0.5).square().sum() for n, x in model.named_parameters() if "weight" in n),
    }


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: x.grad for name, x in model.named_parameters() if x.grad is not None}


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "padded"])
def test_the_loss_gets_its_penalties_in_training_and_not_in_eval_mode(lengths: Tensor | None) -> None:
    model = make_model()
    regularized = make(model)
    total = regularized(model(EVENTS), LABELS, lengths=lengths)
    expected = by_hand(model, ("first", "second"), lengths)
    torch.testing.assert_close(total, sum(expected.values()))
    torch.testing.assert_close(regularized.terms, {name: value.detach() for name, value in expected.items()})
    assert all(value > 0 and not value.requires_grad for value in regularized.terms.values())
    regularized.eval()
    torch.testing.assert_close(regularized(model(EVENTS), LABELS, lengths=lengths), expected["loss"])
    assert list(regularized.terms) == ["loss"]


def test_gradients_are_those_of_the_sum() -> None:
    model, other = make_model(), make_model()
    make(model)(model(EVENTS), LABELS).backward()
    parts = by_hand(other, ("first", "second"))
    size = 0.01 * sum((x - (x.detach() - 0.5)).square().sum() for n, x in other.named_parameters() if "weight" in n)
    (parts["loss"] + parts["rates"] + size).backward()
    torch.testing.assert_close(gradients(model), gradients(other))
    assert gradients(model)["first.synapse.weight"].any()


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [
        (None, ("first", "second")),
        ("*", ("first", "second", "last")),
        ("[fs]*", ("first", "second")),
        (["last", "first"], ("first", "last")),
        (0, ("first",)),
        ([-1, "first"], ("first", "last")),
    ],
)
def test_layers_are_chosen_by_names_and_positions(layers: Any, chosen: tuple[str, ...]) -> None:
    model = make_model()
    regularized = make(model, layers=layers)
    regularized(model(EVENTS), LABELS)
    torch.testing.assert_close(regularized.terms["rates"], by_hand(model, chosen)["rates"].detach())


def test_penalties_on_voltages_get_them() -> None:
    model = make_model()
    regularized = Regularized(loss.SpikeRate(0.6, 0.1), {"voltage": MembraneExcursion(upper=0.1)}, model)
    regularized(model(EVENTS), LABELS).backward()
    assert regularized.terms["voltage"] > 0
    with ActivityCollector(model, voltage=True) as collector:
        model(EVENTS)
        voltages = [layer.voltage for layer in collector.activity.values()]
    expected = sum(membrane_excursion(voltage, None, 0.1) for voltage in voltages[:-1])
    torch.testing.assert_close(regularized.terms["voltage"], expected.detach())


def test_a_schedule_follows_the_progress() -> None:
    model = make_model()
    regularized = make(model, schedule=WeightSchedule("ramp", begin=0.2, end=0.6))
    whole = by_hand(model, ("first", "second"))["rates"].detach()
    for progress, factor in ((0.1, 0), (0.3, 0.25), (1.0, 1.0)):
        regularized.progress = progress
        regularized(model(EVENTS), LABELS)
        torch.testing.assert_close(regularized.terms["rates"], factor * whole)


def test_what_does_not_count_yet_is_not_evaluated() -> None:
    def fails() -> Tensor:
        raise AssertionError

    regularized = Regularized(torch.nn.MSELoss(), {"late": Penalty(fails, schedule=WeightSchedule(begin=0.5))})
    regularized.progress = 0.4
    x = torch.ones(2, requires_grad=True)
    regularized(x, torch.zeros(2)).backward()
    assert regularized.terms["late"] == 0


def test_any_loss_and_any_function_will_do() -> None:
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    regularized = Regularized(lambda x, y, scale=1.0: scale * (x - y).square().sum(), {"size": weight.abs().sum})
    total = regularized(weight.float(), torch.zeros(3), scale=2.0)
    assert total.item() == 9.0
    assert (regularized.reduction, regularized.ignore_index) == ("mean", None)
    other = Regularized(loss.SpikeMax(reduction="sum", ignore_index=-1), {})
    assert (other.reduction, other.ignore_index) == ("sum", -1)


def test_what_counts_arrivals_leaves_out_the_layer_that_hears_the_data() -> None:
    model = make_model()
    answer = loss.SpikeRate(0.2, 0.03)
    by_default = Regularized(answer, {"synapses": SynapticOperations()}, model)
    by_name = Regularized(answer, {"synapses": Penalty(SynapticOperations(), layers=[1, 2])}, model)
    spikes = model(EVENTS)
    assert by_default(spikes, LABELS) == by_name(spikes, LABELS)
    assert by_default.terms["synapses"] == by_name.terms["synapses"] > 0
    work = by_default(spikes, LABELS) - answer(spikes, LABELS)
    (gradient,) = torch.autograd.grad(work, model[0].synapse.weight)
    assert gradient.any()


def test_other_modules_are_layers_if_they_are_named() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(12, 12), torch.nn.ReLU(), torch.nn.Linear(12, 12))
    penalty = Penalty(lambda activity: activity.spikes.mean(), layers="1")
    regularized = Regularized(torch.nn.MSELoss(), {"rates": penalty}, model)
    regularized(model(EVENTS), EVENTS)
    torch.testing.assert_close(regularized.terms["rates"], model[1](model[0](EVENTS)).mean().detach())
    with pytest.raises(ArgumentError, match="'relu' names no layer"):
        Regularized(torch.nn.MSELoss(), {"rates": Penalty(events, layers="relu")}, model)
    with pytest.raises(ArgumentError, match=r"no hidden spiking block.*Name the layers.* out of sequential, 0, 1, 2"):
        Regularized(torch.nn.MSELoss(), {"rates": Penalty(events)}, model)


def test_a_layer_that_was_not_called_is_named() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(12, 12), torch.nn.ReLU())
    penalties = {f"of_{name}": Penalty(events, layers=name) for name in ("0", "1")}
    regularized = Regularized(torch.nn.MSELoss(), penalties, model)
    with pytest.raises(
        ArgumentError, match=r"penalty 'of_1', .*'1' names no layer that was called; .*pattern of 0, got"
    ):
        regularized(model[0](EVENTS), EVENTS)


def test_cells_that_are_called_step_by_step_need_a_word_where_there_is_space() -> None:
    model, images = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), torch.rand(2, 1, 5, 5, 4)
    seen = []

    def shape(activity: LayerActivity) -> Tensor:
        seen.append(tuple(activity.spikes.shape))
        return activity.spikes.mean()

    for stepwise in (True, False):
        penalties = {"rates": Penalty(shape, layers="0")}
        regularized = Regularized(torch.nn.MSELoss(), penalties, model, stepwise=stepwise)
        sent = model(images[..., 0])
        regularized(sent, sent.detach()).backward()
        regularized.close()
    assert seen == [(2, 2, 3, 3, 1), (2, 2, 3, 3)]


def test_the_model_is_not_registered_and_references_are_saved() -> None:
    model = make_model()
    regularized = make(model)
    assert list(regularized.parameters()) == []
    assert list(regularized.state_dict()) == [f"penalties.size.term.reference_{i}" for i in range(3)]
    other = make(make_model())
    with torch.no_grad():
        model.first.synapse.weight.zero_()
    other.load_state_dict({name: value + 1 for name, value in regularized.state_dict().items()})
    torch.testing.assert_close(
        other.penalties["size"].term.references[0], regularized.penalties["size"].term.references[0] + 1
    )


def test_closing_leaves_the_model_as_it_was_and_attach_goes_on() -> None:
    model = make_model()
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    regularized = make(model)
    regularized(model(EVENTS), LABELS)
    first = regularized.terms["rates"]
    regularized.close()
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    with pytest.raises(ArgumentError, match=r"there is no model to look at.*Give it as model=, or to attach"):
        regularized(model(EVENTS), LABELS)
    regularized.attach()
    with pytest.raises(ArgumentError, match=r"the model has sent nothing.*Call the model"):
        regularized(EVENTS[:, :3], LABELS)
    regularized(model(EVENTS), LABELS)
    torch.testing.assert_close(regularized.terms["rates"], first)


def test_a_pause_leaves_the_model_without_hooks() -> None:
    model = make_model()
    regularized = Regularized(loss.SpikeRate(0.6, 0.1), {"voltage": MembraneExcursion(upper=0.1)}, model)

    def hooks() -> list[Any]:
        kinds = ("_forward_pre_hooks", "_forward_hooks", "_voltage_hooks")
        return [list(getattr(part, kind, {}).items()) for part in model.modules() for kind in kinds]

    before = hooks()
    assert any(before)
    regularized(model(EVENTS), LABELS)
    first = regularized.terms["voltage"]
    regularized.pause()
    assert not any(hooks())
    with pytest.raises(ArgumentError, match="the model has sent nothing"):
        regularized(model(EVENTS), LABELS)
    regularized.resume()
    assert hooks() == before
    regularized(model(EVENTS), LABELS)
    torch.testing.assert_close(regularized.terms["voltage"], first)
    regularized.close()
    regularized.resume()
    assert not any(hooks())


@COMPILES
def test_a_compiled_model_stays_compiled_over_a_pause() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    model = torch.compile(make_model(), backend=backend)
    regularized = Regularized(loss.SpikeRate(0.6, 0.1), {"voltage": MembraneExcursion(upper=0.1)}, model)
    counted = []
    for _ in range(3):
        regularized(model(EVENTS), LABELS)
        assert regularized.terms["voltage"] > 0
        regularized.pause()
        with torch.no_grad():
            model(EVENTS)
        regularized.resume()
        counted.append(len(graphs))
    assert counted == counted[:1] * 3


def test_a_copy_looks_at_the_copy_of_its_model() -> None:
    pair = torch.nn.ModuleDict({"model": make_model()})
    pair["loss"] = make(pair["model"])
    pair["loss"](pair["model"](EVENTS), LABELS)
    twin = copy.deepcopy(pair)
    with torch.no_grad():
        twin["model"].first.synapse.weight.mul_(0.1)
    twin["loss"](twin["model"](EVENTS), LABELS)
    expected = by_hand(twin["model"], ("first", "second"))["rates"].detach()
    torch.testing.assert_close(twin["loss"].terms["rates"], expected)
    pair["loss"](pair["model"](EVENTS), LABELS)
    assert not torch.equal(pair["loss"].terms["rates"], expected)


def test_a_training_with_penalties_lowers_them() -> None:
    model = make_model(weight_norm=True)
    penalties = {"rates": Penalty(events, 30.0), "size": Penalty(Squares(model, names="*.weight"), 0.1)}
    regularized = Regularized(loss.SpikeRate(0.6, 0.1), penalties, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    seen = []
    for _ in range(20):
        optimizer.zero_grad()
        regularized(model(EVENTS), LABELS).backward()
        optimizer.step()
        seen.append(regularized.terms)
    assert seen[-1]["size"] < seen[0]["size"]
    assert seen[-1]["rates"] < seen[0]["rates"]


def test_a_compiled_model() -> None:
    model = make_model()
    plain = make(model)
    plain(model(EVENTS), LABELS).backward()
    expected, grads = plain.terms, {name: x.clone() for name, x in gradients(model).items()}
    model.zero_grad()
    plain.close()
    compiled = torch.compile(model, backend="eager")
    regularized = make(compiled)
    regularized(compiled(EVENTS), LABELS).backward()
    torch.testing.assert_close(regularized.terms, expected)
    torch.testing.assert_close(gradients(model), grads)
    regularized.close()


@pytest.mark.parametrize(
    ("make_it", "error", "said"),
    [
        (lambda m: Penalty(3), DtypeError, "Penalty: term is no function"),
        (lambda m: Penalty(events, weight=float("nan")), ArgumentError, "Penalty: weight is out of range"),
        (lambda m: Penalty(events, schedule="ramp"), DtypeError, "Penalty: schedule is no function"),
        (lambda m: Penalty(events, layers=1.5), DtypeError, "Penalty: layers is no sequence"),
        (lambda m: Penalty(events, layers=[1.5]), DtypeError, "Penalty: layers is of the wrong type"),
        (lambda m: Penalty(events, layers=True), DtypeError, "Penalty: layers is of the wrong type.*got True"),
        (lambda m: Penalty(events, layers=[0, False]), DtypeError, "Penalty: layers is of the wrong type.*got False"),
        (lambda m: Penalty(m.first.synapse.weight.sum, layers="first"), ArgumentError, "layers chooses nothing of"),
        (lambda m: Regularized(3, {}), DtypeError, "Regularized: loss is no function"),
        (lambda m: Regularized(events, [events]), DtypeError, "Regularized: penalties is of the wrong type"),
        (lambda m: Regularized(events, {"a.b": events}), ArgumentError, "a penalty's name is no name"),
        (lambda m: Regularized(events, {"loss": events}), ArgumentError, "a penalty's name is taken.*got 'loss'"),
        (lambda m: Regularized(events, {"keys": events}), ArgumentError, "a penalty's name is taken"),
        (lambda m: Regularized(events, {}, stepwise=2), DtypeError, "Regularized: stepwise is neither True nor False"),
        (lambda m: Regularized(events, {"a": events}, 3), DtypeError, "Regularized: model is of the wrong type"),
        (lambda m: make(m, layers="frist"), ArgumentError, "'frist' names no layer.*Did you mean 'first'"),
        (lambda m: make(m, layers=3)(m(EVENTS), LABELS), ArgumentError, "layers is out of range"),
        (
            lambda m: Regularized(events, {"a": Penalty(events, layers=0)}, torch.nn.ReLU()),
            ArgumentError,
            "there is no spiking block of this library; expected at least 1 in the model, got none. Name the layers",
        ),
        (
            lambda m: Regularized(lambda *_: 0.5, {"a": lambda: torch.ones(())})(EVENTS, EVENTS),
            DtypeError,
            "Regularized: the loss is not a tensor; .* got float",
        ),
        (
            lambda m: Regularized(loss.SpikeRate(0.6, 0.1), {"a": lambda activity: 0.5}, m)(m(EVENTS), LABELS),
            DtypeError,
            "penalty 'a', layer 'first', Regularized: the value of the term is not a tensor; .* got float",
        ),
        (lambda m: make(m, schedule=WeightSchedule())(m(EVENTS), LABELS), ArgumentError, "progress is not known"),
        (lambda m: setattr(make(m), "progress", 1.5), ArgumentError, r"progress is out of range; .* \[0, 1\], got 1.5"),
        (
            lambda m: Regularized(torch.nn.MSELoss(), {"a": lambda: torch.ones(2)})(EVENTS, EVENTS),
            ShapeError,
            r"penalty 'a' has the wrong shape; expected \(\), got \(2,\)",
        ),
        (
            lambda m: Regularized(torch.nn.MSELoss(), {"a": lambda: 3.0})(EVENTS, EVENTS),
            DtypeError,
            "penalty 'a' is not a tensor",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(make_it: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make_it(make_model())


def test_one_layer_has_no_hidden_one() -> None:
    model = block.cuba.Dense(NEURON, 6, 3)
    with pytest.raises(ArgumentError, match=r"no hidden spiking block.*got 'dense'\. Name the layers.*dense"):
        Regularized(loss.SpikeRate(0.6, 0.1), {"rates": events}, model)
    regularized = Regularized(loss.SpikeRate(0.6, 0.1), {"rates": Penalty(events, layers="*")}, model)
    assert regularized(model(EVENTS), LABELS) > 0
