"""Empty batches, integers, and arguments of the wrong type."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.block import cuba
from slayerloss.functional import conv, dense, event_rate, moving_window
from slayerloss.functional import cuba as cuba_function
from slayerloss.neuron import Dropout
from slayerloss.neuron.cuba import Neuron

NEURON = {"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.5}
X = torch.ones(2, 4, 5)


def test_an_empty_batch_has_no_events():
    none, lengths = torch.zeros(0, 4, 5), torch.zeros(0, dtype=torch.int64)
    block = cuba.Dense(NEURON, 4, 2, count_log=True)
    for rate in (event_rate(none), event_rate(none, lengths=lengths), block(none)[1], block(none, lengths)[1]):
        assert rate == 0


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool])
def test_integers_become_floats(dtype):
    x = X.to(dtype)
    assert torch.equal(cuba.Average(2)(x), torch.ones(2, 2, 5))
    y = Dropout(0.5)(x)
    assert y.dtype == Dropout(0.5).eval()(x).dtype == torch.float32
    assert set(y.unique().tolist()) <= {0, 2}


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: cuba_function(X, 0.5, 0.5, 1, state=(5, 5)), DtypeError, "state is not a tensor"),
        (lambda: moving_window(X, 2, state=(5, 5)), DtypeError, "history is not a tensor"),
        (lambda: dense(X, torch.ones(4)), ShapeError, "dense: weight has the wrong shape"),
        (lambda: conv(torch.ones(1, 1, 3, 3, 2), torch.ones(1, 1)), ShapeError, "conv: weight has the wrong shape"),
        (
            lambda: conv(torch.ones(1, 2, 3, 3, 2), torch.ones(3, 1, 1, 1), groups=2),
            ArgumentError,
            "divide the outputs",
        ),
        (lambda: Neuron(**NEURON, norm=5), DtypeError, "norm is no class"),
        (lambda: Neuron(**NEURON, dropout=0.5), DtypeError, "dropout is no module"),
    ],
)
def test_what_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
