"""Sums of magnitudes over time: the kernel against plain torch, its gradients of both slopes at 0, and their memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from slayerloss.kernels import use_backend
from slayerloss.kernels.magnitude import magnitude_sum

SHAPES = [(3, 5, 2, 70), (2, 300, 3, 33), (1, 5, 2600), (4, 7, 1), (2, 0, 5), (0, 3, 5), (1, 1, 15), (1, 1030, 3)]


def numbers(shape: tuple[int, ...], dtype: torch.dtype, time_first: bool, signs: bool) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    x = x * (x.abs() > 0.5)  # zeros among them
    x = x if signs else x.abs()
    return x.movedim(-1, 0).contiguous().movedim(0, -1) if time_first else x


def sums(x: Tensor, lengths: Tensor | None, rises: bool, backend: str) -> tuple[Tensor, Tensor]:
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    with use_backend(backend):
        y = magnitude_sum(x, lengths, rises=rises)
        (grad,) = torch.autograd.grad((y * torch.linspace(1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)).sum(), x)
    return y.detach(), grad


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("rises", [False, True])
@pytest.mark.parametrize("signs", [False, True])
def test_the_kernel_is_the_reference(shape, dtype, time_first: bool, rises: bool, signs: bool) -> None:
    x = numbers(shape, dtype, time_first, signs)
    for lengths in (None, torch.arange(shape[0], dtype=torch.int32) % shape[-1] + 1):
        y, grad = sums(x, lengths, rises, "auto")
        expected, expected_grad = sums(x, lengths, rises, "reference")
        torch.testing.assert_close(y, expected)
        assert torch.equal(grad, expected_grad)


@pytest.mark.parametrize("time_first", [False, True])
def test_the_magnitudes_are_added_without_losing_digits(time_first: bool) -> None:
    x = numbers((2, 3, 200_000), torch.float32, time_first, signs=True)
    torch.testing.assert_close(magnitude_sum(x).double(), x.double().abs().sum(-1), rtol=1e-6, atol=0)


def test_strided_memory() -> None:
    x = numbers((4, 6, 3, 20), torch.float32, False, signs=True)
    for view in (x[:, ::2], x[..., ::3], x.transpose(0, 1), x.expand(2, 4, 6, 3, 20)[1]):
        torch.testing.assert_close(magnitude_sum(view), view.abs().sum(-1))


def test_the_gradient_where_nothing_is_negative_takes_no_memory() -> None:
    x = numbers((4, 6, 20), torch.float32, True, signs=False).requires_grad_()
    y = magnitude_sum(x)
    saved = [part for part in y.grad_fn.saved_tensors if part is not None]
    assert saved == []
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad.stride(-1) == 0
    assert torch.equal(grad, torch.ones_like(x))  # where x is 0, too


@pytest.mark.parametrize("rises", [False, True])
def test_the_gradient_and_its_gradient(rises: bool) -> None:
    x = numbers((2, 3, 5), torch.float64, False, signs=True)
    x = (x + 0.1 * (x == 0)).requires_grad_()  # away from the corner
    lengths = torch.tensor([5, 2])
    assert torch.autograd.gradcheck(lambda x: magnitude_sum(x, lengths, rises=rises), x)
    assert torch.autograd.gradgradcheck(lambda x: magnitude_sum(x, rises=rises), x)


def test_transforms() -> None:
    x = numbers((4, 2, 3, 5), torch.float32, False, signs=True)
    torch.testing.assert_close(torch.func.vmap(magnitude_sum)(x), x.abs().sum(-1))
    grads = torch.func.vmap(torch.func.grad(lambda x: magnitude_sum(x).sum()))(x)
    assert torch.equal(grads, torch.where(x < 0, -1.0, 1.0))
