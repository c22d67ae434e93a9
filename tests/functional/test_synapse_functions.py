"""Products and convolutions over batch and time against torch's own, exactness, dtypes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ShapeError
from slayerloss.functional import conv, conv_transpose, dense, quantize_weight
from slayerloss.functional._space import channels_together

GEOMETRY = {
    "plain": {},
    "padded": {"padding": (1, 2)},
    "strided": {"stride": (2, 1)},
    "dilated": {"dilation": (1, 2)},
    "grouped": {"groups": 2},
    "all": {"stride": (2, 1), "padding": (0, 1), "dilation": (2, 1), "groups": 2},
}


def test_dense_is_a_product_at_every_step():
    x, w = torch.randn(3, 4, 5, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    torch.testing.assert_close(dense(x, w), torch.einsum("oc,nct->not", w, x))
    images = x.reshape(3, 2, 1, 2, 5)
    torch.testing.assert_close(dense(images, w), dense(x, w))


@pytest.mark.parametrize("geometry", GEOMETRY)
def test_conv_is_conv2d_at_every_step(geometry):
    options = GEOMETRY[geometry]
    x = torch.randn(2, 4, 7, 6, 3, dtype=torch.float64)
    w = torch.randn(6, 4 // options.get("groups", 1), 3, 2, dtype=torch.float64)
    expected = torch.stack([torch.nn.functional.conv2d(step, w, None, **options) for step in x.unbind(-1)], -1)
    torch.testing.assert_close(conv(x, w, **options), expected)


@pytest.mark.parametrize("geometry", GEOMETRY)
def test_conv_transpose_is_conv_transpose2d_at_every_step(geometry):
    options = GEOMETRY[geometry]
    x = torch.randn(2, 4, 4, 5, 3, dtype=torch.float64)
    w = torch.randn(4, 6 // options.get("groups", 1), 3, 2, dtype=torch.float64)
    expected = torch.stack(
        [torch.nn.functional.conv_transpose2d(step, w, None, **options) for step in x.unbind(-1)], -1
    )
    torch.testing.assert_close(conv_transpose(x, w, **options), expected)
    torch.testing.assert_close(conv_transpose(x.to_sparse(), w, **options), expected)


@pytest.mark.parametrize("geometry", GEOMETRY)
def test_conv_transpose_is_the_adjoint_of_conv(geometry):
    options = GEOMETRY[geometry]
    x = torch.randn(2, 4, 7, 6, 3, dtype=torch.float64)
    w = torch.randn(6, 4 // options.get("groups", 1), 3, 2, dtype=torch.float64)
    y = conv(x, w, **options)
    z = torch.randn_like(y)
    back = conv_transpose(z, w, **options)  # which does not reach the rest that a stride leaves over
    torch.testing.assert_close((y * z).sum(), (x[:, :, : back.shape[2], : back.shape[3]] * back).sum())


def test_sparse_events_of_conv_transpose_have_the_gradients_of_dense_ones():
    x = (torch.rand(2, 4, 4, 5, 3, generator=torch.Generator().manual_seed(0)) > 0.7).double()
    w = torch.randn(4, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    grads = []
    for events in (x, x.to_sparse()):
        y = conv_transpose(events, w, (2, 1), (3, 2), (1, 2), 2)  # of the kernel's height less than the padding
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
        grads.append(torch.autograd.grad((y * weights).sum(), w)[0])
    torch.testing.assert_close(*grads)
    assert grads[0].any()


@pytest.mark.parametrize(
    ("x", "options", "problem"),
    [
        (torch.ones(1, 3, 2, 2, 1), {}, "x does not fit the kernel"),
        (torch.ones(1, 2, 2, 2, 1), {"padding": (2, 0)}, r"nothing is left of the image; expected .* got \(-1, 3\)"),
        (torch.ones(1, 2, 0, 2, 1), {}, "nothing is left of the image"),
    ],
)
def test_conv_transpose_refuses_what_does_not_fit(x, options, problem):
    for events in (x, x.to_sparse()):
        with pytest.raises(ShapeError, match=problem):
            conv_transpose(events, torch.ones(2, 2, 2, 2), **options)


def test_gradients():
    x, w = torch.randn(2, 4, 3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(dense, (x.requires_grad_(), w.requires_grad_()))
    x, w = torch.randn(1, 2, 3, 3, 2, dtype=torch.float64), torch.randn(2, 2, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(conv, (x.requires_grad_(), w.requires_grad_()))
    assert torch.autograd.gradcheck(conv_transpose, (x, w))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), inputs=st.sampled_from([1, 100, 3000]))
def test_sums_over_spikes_are_exact_in_any_order(seed, inputs):
    random = torch.Generator().manual_seed(seed)
    w = quantize_weight(torch.randn(4, inputs, generator=random) * 2)
    x = (torch.rand(2, inputs, 5, generator=random) > 0.5).float()
    order = torch.randperm(inputs, generator=random)
    exact = dense(x.double(), w.double())
    assert torch.equal(dense(x, w).double(), exact)
    assert torch.equal(dense(x[:, order], w[:, order]).double(), exact)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_are_summed_in_float32(dtype):
    w = quantize_weight(torch.randn(4, 2000))
    x = (torch.rand(2, 2000, 3) > 0.5).float()
    exact = dense(x, w)
    assert torch.equal(dense(x.to(dtype), w), exact)
    images, kernel = x.reshape(2, 20, 10, 10, 3), w.reshape(4, 20, 10, 10)
    expected = conv(images, kernel)
    with torch.autocast("cpu", dtype):
        assert torch.equal(dense(x, w), exact)
        assert torch.equal(conv(images, kernel), expected)
    assert dense(x.to(dtype), w.to(dtype)).dtype == torch.float32
    assert dense(x.bool(), w).dtype == torch.float32
    assert dense(x.double(), w).dtype == torch.float64


def test_memory_stays_in_the_order_time_first():
    x = torch.rand(5, 2, 4).movedim(0, -1)
    assert dense(x, torch.rand(3, 4)).movedim(-1, 0).is_contiguous()
    x = torch.rand(5, 2, 4, 6, 6).movedim(0, -1)
    assert channels_together(conv(x, torch.rand(3, 4, 3, 3)))


X, IMAGES = torch.zeros(1, 2, 3), torch.zeros(1, 2, 3, 3, 1)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: dense(X, torch.zeros(4, 3)), r"dense: x has the wrong number of channels; expected 3"),
        (lambda: dense(X[0], torch.zeros(4, 3)), r"dense: x has too few dimensions"),
        (lambda: conv(X, torch.zeros(4, 2, 1, 1)), r"conv: x does not fit the kernel; .*\(N, 2, H, W, T\)"),
        (lambda: conv(IMAGES, torch.zeros(4, 1, 1, 1)), r"conv: x does not fit the kernel; .*\(N, 1, H, W, T\)"),
        (
            lambda: conv(IMAGES, torch.zeros(4, 2, 3, 3), dilation=(1, 2)),
            r"the image is smaller than the kernel; expected at least \(3, 5\) with padding \(0, 0\), got \(3, 3\)",
        ),
    ],
)
def test_errors(call, text):
    with pytest.raises(ShapeError, match=text):
        call()
