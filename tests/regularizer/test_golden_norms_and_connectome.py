"""rockpool's norms and NeuroTorch's penalties: their values where they are right, and what is right elsewhere."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_cases import Case, array, assert_is_golden, golden_cases

from slayerloss import ArgumentError, ShapeError
from slayerloss import regularizer as r

JAX = "rockpool.training.jax_loss."
NOT_HERE = ("bounds", "Boundary", "boundary", "lava.")
"""In the functions of cases that other tests are about."""


@pytest.fixture(scope="module")
def cases(shared: Path) -> dict[str, Case]:
    return {id_: case for id_, case in golden_cases(shared).items() if not any(part in case["fn"] for part in NOT_HERE)}


@pytest.fixture
def case(cases: dict[str, Case], request: pytest.FixtureRequest) -> Case:
    return cases[request.param]


# ---------------------------------------------------------------------------------------- values that are reproduced

FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "mse": r.mse,
    "sse": r.sse,
    "l2sqr_norm": r.l2sqr_norm,
    "l0_norm_approx": r.l0_norm_approx,
    "softmax": r.softmax,
    "logsoftmax": r.logsoftmax,
}
OF_FUNCTIONS = ["mse", "sse", "l2sqr", "l0", "l0_sigma", "l0_small", "l0_zero"] + [
    f"{function}_{case}"
    for function in ("softmax", "logsoftmax")
    for case in ("1.0", "0.5", "0.01", "100.0", "2d", "big")
]
PENALTIES = {
    "L1_vec": r.L1,
    "L2_vec": r.L2,
    "Lp3": r.Lp,
    # NeuroTorch's L1 of a vector and a matrix: the norms of both as operators
    "L1_lambda": lambda params, Lambda: r.OperatorNorm(params, Lambda, p=1),
    **dict.fromkeys(["DaleL2_0.0", "DaleL2_0.3", "DaleL2_0.8", "DaleL2_1.0", "DaleL2_two"], r.DaleLawL2),
    **dict.fromkeys(["Dale", "Dale_lambda"], r.DaleLaw),
    **dict.fromkeys(["Exc_0.2", "Exc_0.5", "Exc_0.8", "Exc_two"], r.ExcRatioTargetRegularization),
    "Inh": r.InhRatioTargetRegularization,
    "WD1_vec": r.WeightsDistance,
}
ALONE = {"DaleL2_alpha2", "RegList"}
"""Values that tests of their own reproduce."""


def parameters(values: list[Any]) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(array(value)) for value in values]


def made(penalty: Any, inputs: dict[str, Any]) -> Any:
    """A penalty on the parameters of a case, with its other arguments."""
    others = {name: value for name, value in inputs.items() if name != "params"}
    if "reference_weights" in others:
        others["reference_weights"] = [array(reference) for reference in others["reference_weights"]]
    return penalty(parameters(inputs["params"]), **others)


def gradient(loss: torch.Tensor, penalty: Any) -> list[torch.Tensor]:
    """Its gradient with respect to the parameters of a penalty."""
    assert loss.ndim == 0
    return list(torch.autograd.grad(loss, penalty.params))


@pytest.mark.parametrize("case", OF_FUNCTIONS, indirect=True)
def test_values_of_rockpool(case: Case) -> None:
    assert case["expect"] == "value"
    given, *others = case["inputs"]["args"]
    x = {k: array(v).requires_grad_() for k, v in given.items()} if isinstance(given, dict) else array(given)
    if not isinstance(x, dict):
        x.requires_grad_()
    got = FUNCTIONS[case["fn"].removeprefix(JAX)](x, *(array(v) if isinstance(v, list) else v for v in others))
    assert got.dtype == torch.float64
    assert_is_golden(got, case["out"])
    if isinstance(x, dict):
        for name, wanted in case["grad"].items():
            assert_is_golden(torch.autograd.grad(got, x[name], retain_graph=True)[0], wanted, what=name)
    elif "grad" in case:
        assert_is_golden(torch.autograd.grad(got, x)[0], case["grad"])


@pytest.mark.parametrize("case", PENALTIES, indirect=True)
def test_values_of_neurotorch(case: Case) -> None:
    assert case["expect"] == "value"
    penalty = made(PENALTIES[case["id"]], case["inputs"])
    loss = penalty()
    assert_is_golden(loss, case["out"])
    for got, wanted in zip(gradient(loss, penalty), case["grad"], strict=True):
        assert_is_golden(got, wanted, what="gradient")


@pytest.mark.parametrize("case", ["RegList"], indirect=True)
def test_a_list_of_penalties(case: Case) -> None:
    x = torch.nn.Parameter(array(case["inputs"]["params"]))
    assert_is_golden(r.RegularizationList([r.L1([x], 0.5), r.L2([x], 2.0)])(), case["out"])


@pytest.mark.parametrize("case", ["DaleL2_alpha2"], indirect=True)
def test_an_alpha_of_2(case: Case) -> None:
    assert case["error"].startswith("ValueError")
    with pytest.raises(ValueError, match="alpha is out of range"):
        made(r.DaleLawL2, case["inputs"])


# ------------------------------------------------------------------------------- what is right where they are wrong


def mse_bcast(case: Case) -> None:
    with pytest.raises(ShapeError, match="target does not match output"):
        r.mse(*map(array, case["inputs"]["args"]))


def l2_nan(case: Case) -> None:
    with pytest.raises(ArgumentError, match="w holds 1 NaN"):
        r.l2sqr_norm({"w": array(case["inputs"]["args"][0]["w"])})


def softmax_t0(case: Case) -> None:
    x, temperature = case["inputs"]["args"]
    assert r.softmax(array(x), temperature).tolist() == [0, 1, 0, 0]
    with pytest.raises(ArgumentError, match="softmax has a hard maximum"):
        r.logsoftmax(array(x), temperature)


def elementwise(penalty: Any, p: float) -> Callable[[Case], None]:
    """The norm over all elements, its gradient, and NeuroTorch's value by the name that it has."""

    def check(case: Case) -> None:
        ours = made(penalty, case["inputs"])
        tensors = [x.detach() - y for x, y in zip(ours.params, references(ours), strict=True)]
        norms = [x.abs().pow(p).sum().pow(1 / p) for x in tensors]
        loss = ours()
        assert loss.item() == pytest.approx(float(sum(norms)), rel=1e-12)
        for got, x, norm in zip(gradient(loss, ours), tensors, norms, strict=True):
            slope = x.sign() * (x.abs() / norm).pow(p - 1) if norm > 0 else torch.zeros_like(x)
            torch.testing.assert_close(got, slope * ours.Lambda)
        if case.get("out") and all(x.ndim == 2 for x in tensors):
            assert sum(r.operator_norm(x, p) for x in tensors).item() == pytest.approx(case["out"], rel=1e-9)

    return check


def references(penalty: Any) -> list[torch.Tensor]:
    return penalty.references if isinstance(penalty, r.WeightsDistance) else [torch.zeros(())] * len(penalty.params)


def costs_nothing(penalty: Any) -> Callable[[Case], None]:
    """Nothing to penalize: 0 of floats, to which backward applies."""

    def check(case: Case) -> None:
        loss = made(penalty, case["inputs"])()
        assert loss.item() == 0
        assert loss.is_floating_point()
        loss.backward()

    return check


def l1_frozen(case: Case) -> None:
    x = array(case["inputs"]["params"][0])
    loss = r.L1([x])()
    assert loss.item() == 6
    loss.backward()
    assert x.grad is None


def dale_ref_short(case: Case) -> None:
    with pytest.raises(ArgumentError, match="reference_weights do not match the parameters; expected 2"):
        made(r.DaleLawL2, case["inputs"])


def dale_1d(case: Case) -> None:
    penalty = made(r.DaleLawL2, case["inputs"])
    assert penalty().item() == pytest.approx(0.5 * (14 - 6))
    assert torch.equal(gradient(penalty(), penalty)[0], penalty.params[0] - 0.5 * penalty.params[0].sign())


def dale_auto_square(case: Case) -> None:
    """Three rows, of which the first inhibits, and too few weights for one to be missing: NeuroTorch's value."""
    penalty = made(r.DaleLawL2, case["inputs"])
    assert [reference.tolist() for reference in penalty.references] == [[[-1] * 3, [1] * 3, [1] * 3]]
    assert_is_golden(penalty(), case["out"])
    assert_is_golden(gradient(penalty(), penalty)[0], case["grad"][0])
    assert penalty.state_dict().keys() == {"reference_0"}  # saved
    others = {name: value for name, value in case["inputs"].items() if name not in ("seed", "params")}
    shape = torch.nn.Parameter(torch.zeros(200, 200))
    drawn = [r.DaleLawL2(shape, inh_first=False, **others).references[0] for _ in range(2)]
    assert not torch.equal(*drawn)  # no seed: others every time


def dale_auto_rect(case: Case) -> None:
    penalty = made(r.DaleLawL2, case["inputs"])
    assert penalty.references[0].tolist() == [[-1] * 3, [1] * 3]
    assert penalty().isfinite()


def dale_auto_rho1(case: Case) -> None:
    dale_auto_square(case)
    weights = r.dale_(torch.empty(3, 3), rho=1.0)
    assert weights.isfinite().all()
    assert weights.count_nonzero() == 9


def all_excitatory(case: Case) -> None:
    assert made(r.SignRatio, case["inputs"])().item() == pytest.approx(0.02)
    assert_is_golden(made(r.ExcRatioTargetRegularization, case["inputs"])(), case["out"])  # NeuroTorch's by its name


def target_of_1(case: Case) -> None:
    for penalty in (r.ExcRatioTargetRegularization, r.SignRatio):
        assert made(penalty, case["inputs"])().isfinite()
    assert r.SignRatio(torch.ones(3), 1.0)().item() == 0
    with pytest.raises(ArgumentError, match="exc_target_ratio is out of range"):
        r.ExcRatioTargetRegularization(torch.ones(3), 1.01)


def reported_ratio(case: Case) -> None:
    penalty = made(r.ExcRatioTargetRegularization, case["inputs"])
    assert penalty.get_params_exc_ratio() == [1.0]
    assert penalty.get_params_inh_ratio() == [0.0]


def ratio_of_signs(case: Case) -> None:
    penalty = made(r.SignRatio, case["inputs"])
    loss = penalty()
    assert_is_golden(loss, case["out"])
    assert (gradient(loss, penalty)[0] < 0).all()  # towards more excitation


def broadcast_reference(case: Case) -> None:
    with pytest.raises(ShapeError, match="reference of 0 has the wrong shape"):
        made(r.WeightsDistance, case["inputs"])


def empty_list(case: Case) -> None:
    loss = r.RegularizationList([])()
    assert loss.item() == 0
    assert loss.is_floating_point()
    loss.backward()


def list_of_a_generator(case: Case) -> None:
    x = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    penalties = r.RegularizationList(r.L1(x, Lambda) for Lambda in (0.5, 1.0))
    assert len(penalties) == 2
    assert penalties().item() == 4.5


FIXED: dict[str, Callable[[Case], None]] = {
    "mse_bcast": mse_bcast,
    "l2_nan": l2_nan,
    "softmax_t0": softmax_t0,
    "L1_mat": elementwise(r.L1, 1),
    "L1_scalar": elementwise(r.L1, 1),
    "L1_4d": elementwise(r.L1, 1),
    "L1_empty": costs_nothing(r.L1),
    "L1_frozen": l1_frozen,
    "L2_mat": elementwise(r.L2, 2),
    "L2_mat3": elementwise(r.L2, 2),
    "L2_zero": elementwise(r.L2, 2),
    "L2_zero_mat": elementwise(r.L2, 2),
    "Lp3_mat": elementwise(r.Lp, 3),
    "DaleL2_ref_short": dale_ref_short,
    "DaleL2_1d": dale_1d,
    "DaleL2_empty": costs_nothing(r.DaleLawL2),
    "DaleL2_auto_sq": dale_auto_square,
    "DaleL2_auto_rect": dale_auto_rect,
    "DaleL2_auto_rho1": dale_auto_rho1,
    "Exc_all_exc": all_excitatory,
    "Exc_1": target_of_1,
    "Exc_get": reported_ratio,
    "Exc_sign": ratio_of_signs,
    "WD1_mat": elementwise(r.WeightsDistance, 1),
    "WD2_mat": elementwise(r.WeightsDistance, 2),
    "WD_bcast": broadcast_reference,
    "RegList_empty": empty_list,
    "RegList_gen": list_of_a_generator,
}


@pytest.mark.parametrize("case", FIXED, indirect=True)
def test_what_is_right_instead(case: Case) -> None:
    assert case["expect"] == "fixed"
    FIXED[case["id"]](copy.deepcopy(case))


OUT_OF_SCOPE = {
    "NeuroTorch's order of random draws": """dale_seed0 dale_seed0_inh_ratio0.25 dale_seed0_inh_firstFalse
        dale_seed0_rho0.5 dale_seed0_rho1.0 dale_seed0_rho0.0 dale_seed0_inh_ratio0.0 dale_seed_none dale_rect(2,4)
        dale_rect(4,2)""",
    "metrics of regression": "nt_RMSELoss nt_PVarianceLoss nt_PVarianceLoss_neg_feature nt_SMSEloss nt_SMSE_feature",
    "torch has it": "nt_NLLLoss",
}
"""Why these are not asked for; the losses on labels of rockpool beside them."""


def test_no_case_is_left_out(cases: dict[str, Case]) -> None:
    tested = {*OF_FUNCTIONS, *PENALTIES, *ALONE, *FIXED}
    assert tested == {id_ for id_, case in cases.items() if case["expect"] != "out_of_scope"}
    left = {id_.replace(" ", "") for id_, case in cases.items() if case["expect"] == "out_of_scope"}
    listed = {id_ for ids in OUT_OF_SCOPE.values() for id_ in ids.split()}
    assert listed <= left
    others = [case["fn"] for id_, case in cases.items() if id_.replace(" ", "") in left - listed]
    assert all("ctc_loss" in function or "PeakLoss" in function for function in others)


def test_random_weights_where_neurotorchs_are_not(cases: dict[str, Case]) -> None:
    """Not its draws, and not its defects: infinite weights, uninitialised rows, the same ones without a seed."""
    for case in (case for id_, case in cases.items() if id_.startswith("dale_")):
        options = {name: value for name, value in case["inputs"].items() if name not in ("shape", "prefill")}
        weights = r.dale_(torch.full(case["inputs"]["shape"], math.nan), **options)
        assert weights.isfinite().all()
        inhibitory = (weights < 0).any(1)
        assert not ((weights > 0).any(1) & inhibitory).any()
        if options.get("rho") != 0:
            assert int(inhibitory.sum()) == int(len(weights) * options.get("inh_ratio", 0.5))
