"""Every test and doctest draws the same numbers, whichever ran before it."""

from __future__ import annotations

import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    torch.manual_seed(0)  # fixtures


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    torch.manual_seed(1)  # the test itself, also where a fixture was made for an earlier one
