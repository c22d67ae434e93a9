"""lava-dl's conv and corr: any input of at least one dimension, and the gradient with respect to the filter."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError, DtypeError
from slayerloss import filter as filters
from slayerloss.functional import causal_conv, causal_corr
from slayerloss.utils import filter as utils_filter


def test_conv_and_corr() -> None:
    x, kernel = torch.randn(2, 3, 20), torch.randn(5)
    for ours, function in ((utils_filter.conv, causal_conv), (utils_filter.corr, causal_corr)):
        torch.testing.assert_close(ours(x, kernel.reshape(1, 5, 1)), function(x, kernel))
        torch.testing.assert_close(ours(x, kernel, sampling_time=3), 3 * function(x, kernel))
        assert ours(x[0, 0], kernel).shape == (1, 20)


def test_gradients() -> None:
    x = torch.randn(2, 8, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(utils_filter.conv, (x, kernel, 2))
    assert torch.autograd.gradcheck(utils_filter.corr, (x, kernel, 2))


def test_names() -> None:
    assert utils_filter.FIR is filters.FIR
    assert utils_filter.FIRBank is filters.FIRBank


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="conv: sampling_time is out of range"):
        utils_filter.conv(torch.zeros(1, 5), torch.ones(2), 0)
    with pytest.raises(DtypeError, match="corr: filter is not a tensor"):
        utils_filter.corr(torch.zeros(1, 5), [1.0])
