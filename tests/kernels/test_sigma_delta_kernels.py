"""The C++ kernel of the sigma-delta unit against the reference: bit-equal forward, and every gradient."""

from __future__ import annotations

import pytest
import torch
from filter_cases import ORDERS, SHAPES, assert_near, both, check_operator, in_order, needs_kernels, needs_operators
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import use_backend
from slayerloss.functional import DeltaState, SigmaDeltaState, delta, sigma_delta
from slayerloss.kernels import sigma_delta as kernel


@needs_kernels
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=SHAPES,
    order=ORDERS,
    dtype=st.sampled_from([torch.float32, torch.float64]),
    size=st.sampled_from([0.01, 1.0, 1e7]),
    per_channel=st.booleans(),
    cum_error=st.booleans(),
    sums=st.booleans(),
    threads=st.integers(1, 2),
)
def test_equal_to_the_reference(seed, shape, order, dtype, size, per_channel, cum_error, sums, threads):
    torch.manual_seed(seed)
    x = torch.randn(*shape, dtype=dtype) * size
    channels = shape[1] if per_channel else 1
    threshold, bias = torch.rand(channels, dtype=dtype) * size + 1e-3, torch.randn(channels, dtype=dtype) * size
    states = [torch.randn(shape[:-1], dtype=dtype) * size for _ in range(4)]

    def run(x, threshold, bias, total, pre, residual, error):
        x = in_order(x, order)
        rest = pre, residual.detach(), error.detach()
        if sums:
            gain = (pre.detach() > 0) * 1.25
            y, after = sigma_delta(
                x,
                threshold,
                bias=bias,
                gain=gain,
                cum_error=cum_error,
                state=SigmaDeltaState(total, *rest),
                scale_grad=0.7,
            )
            return torch.cat([y.flatten(), after.sigma.flatten(), after.pre.flatten(), after.residual.flatten()])
        y, after = delta(x, threshold, cum_error=cum_error, state=DeltaState(*rest), tau_grad=0.3 * size)
        return torch.cat([y.flatten(), after.pre.flatten(), after.residual.flatten()]) + 0 * (total.sum() + bias.sum())

    found, expected = both(
        lambda *given: run(*given) + 0 * (given[-1].sum() + given[-2].sum()), [x, threshold, bias, *states], threads
    )
    assert torch.equal(found[0], expected[0])
    assert_near(found, expected, times=100)


@needs_kernels
def test_sums_stay_in_float64_from_chunk_to_chunk():
    x = torch.randn(2, 3, 1500, generator=torch.Generator().manual_seed(0))
    with use_backend("cpu"):
        found = sigma_delta(x, 1e-3)[0]
    with use_backend("reference"):
        assert torch.equal(found, sigma_delta(x, 1e-3)[0])


@needs_kernels
def test_second_derivatives():
    torch.manual_seed(0)
    x, threshold = torch.randn(2, 3, 7, dtype=torch.float64), torch.rand(3, dtype=torch.float64) + 0.2
    given = x.requires_grad_(), threshold.requires_grad_()
    results = []
    for backend in ("cpu", "reference"):
        with use_backend(backend):
            y, state = sigma_delta(*given)
            first = torch.autograd.grad((y * state.sigma[..., None]).sum(), given, create_graph=True)
            results.append(torch.autograd.grad(sum(g.square().sum() for g in first), given))
    assert_near(*results)


@needs_kernels
@pytest.mark.parametrize("order", ["time last", "time first"])
def test_numbers_of_threads_give_the_same_bits(order):
    x = in_order(torch.randn(4, 300, 90), order)
    threshold = torch.linspace(0.1, 2, 300)
    one, two = (both(lambda x, threshold: sigma_delta(x, threshold)[0], [x, threshold], n)[0] for n in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert one[0].stride() == x.stride()


@needs_operators
@pytest.mark.parametrize("order", ["time last", "time first", "sliced"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_operators_are_what_torch_expects_of_operators(order, backend):
    x, rest, each = in_order(torch.randn(2, 3, 5), order), torch.zeros(2, 3), torch.rand(3) + 0.1
    with use_backend(backend):
        for total, error, offset, gain in ((rest, rest, each, rest + 2), (None, None, None, None)):
            state = total, rest, rest, error
            for operator, given in (
                (kernel._forward, (x, each, offset, gain, True, *state, 4096.0, "f")),
                (
                    kernel._backward,
                    (x, x, rest, rest, each, offset, gain, True, *state, 1.0, 1.0, True, offset is not None),
                ),
            ):
                check_operator(operator.default, given)
