"""lava-dl's losses, classifiers and neuron: values and gradients where they are right, and finite ones where not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_cases import Case, array, assert_is_golden, golden_cases

from slayerloss import classifier, loss
from slayerloss.neuron.cuba import Neuron

RTOL = 1e-5
"""The cases are of float32."""


@pytest.fixture(scope="module")
def cases(shared: Path) -> dict[str, Case]:
    return {id_: case for id_, case in golden_cases(shared).items() if case["fn"].startswith("lava.")}


@pytest.fixture
def case(cases: dict[str, Case], request: pytest.FixtureRequest) -> Case:
    return cases[request.param]


def spikes(case: Case) -> torch.Tensor:
    return array(case["inputs"]["input"], torch.float32).requires_grad_()


def label(case: Case, classes: bool = True) -> torch.Tensor:
    return array(case["inputs"]["label"], torch.float32).to(torch.int64 if classes else torch.float32)


LOSSES: dict[str, tuple[torch.nn.Module, bool]] = {
    **{
        f"lava_{name}_{reduction}": (make(reduction=reduction), classes)
        for reduction in ("sum", "mean")
        for name, make, classes in (
            ("SpikeTime", lambda reduction: loss.SpikeTime(5, 100, reduction=reduction), False),
            ("SpikeRate", lambda reduction: loss.SpikeRate(0.2, 0.03, reduction=reduction), True),
            ("SpikeMax_prob", lambda reduction: loss.SpikeMax(reduction=reduction), True),
            ("SpikeMax_softmax", lambda reduction: loss.SpikeMax(mode="softmax", reduction=reduction), True),
            ("SpikeMoid", lambda reduction: loss.SpikeMoid(alpha=0.5, theta=0.1, reduction=reduction), False),
        )
    },
    "lava_SpikeTime_o2": (loss.SpikeTime(2, 6, filter_order=2), False),
    "lava_SpikeMax_mw_softmax": (loss.SpikeMax(moving_window=3, mode="softmax"), True),
    "lava_SpikeMax_mw_lab_t": (loss.SpikeMax(moving_window=3, mode="softmax"), True),
    "lava_SpikeRate_mw_lab_t": (loss.SpikeRate(0.2, 0.03, moving_window=3), True),
    "lava_SpikeMoid_mw_2d": (loss.SpikeMoid(moving_window=3), False),
    "lava_SpikeMoid_mw_3d": (loss.SpikeMoid(moving_window=3), False),
}
"""The loss, and whether its labels are numbers of classes."""
WINDOW = classifier.MovingWindow(3)
CLASSIFIERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "lava_Rate_predict": classifier.Rate.predict,
    "lava_Rate_rate": classifier.Rate.rate,
    "lava_Rate_conf_probability": lambda x: classifier.Rate.confidence(x, mode="probability"),
    "lava_Rate_conf_softmax": lambda x: classifier.Rate.confidence(x, mode="softmax"),
    "lava_Rate_conf_logsoftmax": lambda x: classifier.Rate.confidence(x, mode="logsoftmax"),
    "lava_MW_rate": WINDOW.rate,
    "lava_MW_conf": WINDOW.confidence,
    "lava_MW_predict": WINDOW.predict,
}


@pytest.mark.parametrize("case", LOSSES, indirect=True)
def test_losses(case: Case) -> None:
    assert case["expect"] == "value"
    call, classes = LOSSES[case["id"]]
    x = spikes(case)
    value = call(x, label(case, classes))
    assert_is_golden(value, case["out"], RTOL)
    wanted = array(case["grad"], torch.float32)
    (gradient,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(gradient, wanted, rtol=RTOL, atol=RTOL * float(wanted.abs().max()))


@pytest.mark.parametrize("case", CLASSIFIERS, indirect=True)
def test_classifiers(case: Case) -> None:
    assert case["expect"] == "value"
    answer = CLASSIFIERS[case["id"]](spikes(case))
    assert_is_golden(answer.float(), case["out"], RTOL)


@pytest.mark.parametrize("case", ["lava_SparsityEnforcer"], indirect=True)
def test_sparsity_enforcer(case: Case) -> None:
    assert case["expect"] == "value"
    enforcer = loss.SparsityEnforcer(0.1, 2.0)
    for layer in case["inputs"]["append"]:
        enforcer.append(array(layer, torch.float32))
    assert_is_golden(enforcer.loss, case["out"], RTOL)


@pytest.mark.parametrize("case", ["lava_cuba"], indirect=True)
def test_neuron(case: Case) -> None:
    """Bit by bit."""
    assert case["expect"] == "value"
    neuron = Neuron(threshold=1.25, current_decay=0.25, voltage_decay=0.03125)
    current, voltage = neuron.dynamics(spikes(case))
    assert torch.equal(current, array(case["current"], torch.float32))
    assert torch.equal(voltage, array(case["voltage"], torch.float32))
    assert torch.equal(neuron(spikes(case)), array(case["out"], torch.float32))
    assert case["device_params"].items() <= neuron.device_params.items()


# ----------------------------------------------------------------------------------- what is right where it is wrong


def finite(call: torch.nn.Module) -> Callable[[Case], None]:
    """Where lava-dl's loss is infinite, or there is none: finite, with a gradient that raises the true class."""

    def check(case: Case) -> None:
        x = spikes(case)
        value = call(x, label(case))
        assert value.isfinite()
        assert value > 0
        (gradient,) = torch.autograd.grad(value, x)
        assert gradient.isfinite().all()
        for sample, true in enumerate(case["inputs"]["label"]):
            assert gradient[sample, true].sum() < 0

    return check


def window_of_one_label(case: Case) -> None:
    """A label for a sample is that label in every step."""
    call, x, labels = loss.SpikeRate(0.2, 0.03, moving_window=3), spikes(case), label(case)
    targets = torch.where(torch.nn.functional.one_hot(labels, 3) > 0, 0.2, 0.03)[..., None]
    torch.testing.assert_close(call(x, labels), (WINDOW.rate(x) - targets).square().sum())
    torch.testing.assert_close(call(x, labels), call(x, labels[:, None].expand(-1, x.shape[-1])))


def window_is_called(case: Case) -> None:
    assert torch.equal(WINDOW(spikes(case)), WINDOW.predict(spikes(case)))


def window_over_space(case: Case) -> None:
    answer = WINDOW.predict(spikes(case))
    assert answer.shape == (2, 8)
    assert_is_golden(answer.float(), array(case["out"]).reshape(2, 8).tolist())


def nothing_appended(case: Case) -> None:
    value = loss.SparsityEnforcer(0.1, 2.0).loss
    assert isinstance(value, torch.Tensor)
    assert value.item() == 0


FIXED: dict[str, Callable[[Case], Any]] = {
    "lava_SpikeMax_silent": finite(loss.SpikeMax()),
    "lava_SpikeMax_mw_silent": finite(loss.SpikeMax(moving_window=3)),
    "lava_SpikeMax_mw": finite(loss.SpikeMax(moving_window=3)),
    "lava_SpikeRate_mw": window_of_one_label,
    "lava_MW_forward": window_is_called,
    "lava_MW_predict_5d": window_over_space,
    "lava_SparsityEnforcer_empty": nothing_appended,
}


@pytest.mark.parametrize("case", FIXED, indirect=True)
def test_what_is_right_instead(case: Case) -> None:
    assert case["expect"] == "fixed"
    FIXED[case["id"]](case)


def test_no_case_is_left_out(cases: dict[str, Case]) -> None:
    assert {*LOSSES, *CLASSIFIERS, *FIXED, "lava_SparsityEnforcer", "lava_cuba"} == set(cases)
