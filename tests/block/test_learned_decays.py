"""Decays that learn reach a lower loss than decays that do not, on a task made for it; lava-dl's end up worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import decay_task
import pytest
import torch

import slayerloss

RATES = {"weights": 0.01, "decays": 0.05}  # of logarithms: 5 % at most in a step


def training(requires_grad: bool) -> tuple[list[float], list[float]]:
    return decay_task.train(slayerloss, requires_grad, RATES)


@pytest.fixture(scope="module")
def frozen() -> tuple[list[float], list[float]]:
    return training(requires_grad=False)


def test_decays_that_learn_reach_a_lower_loss(frozen: Any) -> None:
    losses, decays = training(requires_grad=True)
    frozen_losses, _ = frozen
    assert losses[0] == frozen_losses[0]
    assert losses[-1] < 0.6 * frozen_losses[-1]
    for decay, given, wanted in zip(decays, decay_task.GIVEN.values(), decay_task.WANTED.values(), strict=True):
        assert wanted < decay < (given + wanted) / 2


@pytest.mark.lava
def test_in_lava_dl_they_reach_a_higher_one(frozen: Any, lava_dl: Any, tmp_path: Path) -> None:
    """Its gradient has the wrong sign, so that they move away from what is wanted."""
    lava_dl(Path(decay_task.__file__), tmp_path / "results.pt")
    results = torch.load(tmp_path / "results.pt", weights_only=True)
    frozen_losses, _ = results["False"]
    losses, decays = results["True"]
    assert frozen_losses == pytest.approx(frozen[0], rel=1e-3)
    assert losses[-1] > 1.3 * frozen_losses[-1]
    assert all(decay > given for decay, given in zip(decays, decay_task.GIVEN.values(), strict=True))
