"""Two processes with half a batch each equal one process with all of it: losses and gradients, averaged as DDP does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from slayerloss.functional import (
    hoyer,
    hoyer_penalty,
    membrane_excursion,
    rate_band,
    sparsity,
    spike_max,
    spike_moid,
    spike_rate,
    spike_time,
    synaptic_operations,
    temporal_smoothness,
    total_events,
    treves_rolls,
)
from slayerloss.loss import SparsityEnforcer

SAMPLES, CLASSES, STEPS = 6, 3, 12
SPLIT = (slice(0, 2), slice(2, SAMPLES))  # unequal halves


def batch(part: slice) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    whole = {
        "spikes": (torch.rand(SAMPLES, CLASSES, STEPS, generator=generator) < 0.4).double(),
        "labels": torch.tensor([0, -1, 1, 2, -1, 1]),  # one of two ignored, and one of four
        "step_labels": torch.randint(-1, CLASSES, (SAMPLES, STEPS), generator=generator),
        "lengths": torch.tensor([12, 3, 7, 12, 1, 9]),
    }
    return {name: value[part] for name, value in whole.items()}


def enforcer(x: Tensor, lengths: Tensor) -> Tensor:
    penalty = SparsityEnforcer(0.01, lam=3.0)
    penalty.append(x)
    penalty.append(x.square(), lengths)
    return penalty.loss


def losses(x: Tensor, part: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every loss of activity x = w * spikes of a part of the batch."""
    y, steps, lengths = part["labels"], part["step_labels"], part["lengths"]
    ignore, weights = {"ignore_index": -1}, [1.0, 2.0, 0.3]
    values = {}
    for reduction in ("sum", "mean"):
        of_classes: dict[str, Callable[..., Tensor]] = {
            "max": lambda **o: spike_max(x, y, **o, **ignore),
            "max-window": lambda **o: spike_max(x, steps, 4, lengths=lengths, **o, **ignore),
            "max-softmax": lambda **o: spike_max(x, y, mode="softmax", label_smoothing=0.1, **o, **ignore),
            "rate": lambda **o: spike_rate(x, y, 0.6, 0.1, **o, **ignore),
            "rate-weighted": lambda **o: spike_rate(x, steps, 0.6, 0.1, 4, class_weights=weights, **o, **ignore),
            "moid": lambda **o: spike_moid(x, y, class_weights=weights, **o, **ignore),
            "time": lambda **o: spike_time(x, 1 - part["spikes"], lengths=lengths, **o),
        }
        values |= {f"{name}-{reduction}": loss(reduction=reduction) for name, loss in of_classes.items()}
    values["sparsity"] = sparsity(x, 0.05)
    values["sparsity-lengths"] = sparsity(x, 0.05, lengths=lengths)
    values["band"] = rate_band(x, 0.35, 0.36, 2.0, lengths=lengths)
    values["enforcer"] = enforcer(x, lengths)
    values["events"] = total_events(x, 3.0, lengths=lengths)
    values["operations"] = synaptic_operations(x, torch.tensor([3.0, 1.0, 2.0]), 4.0, lengths=lengths)
    values["excursion"] = membrane_excursion(x, 0.1, 0.2, lengths=lengths)
    values["smoothness"] = temporal_smoothness(x, 2.0, lengths=lengths)
    values |= {"hoyer": hoyer(x), "hoyer-penalty": hoyer_penalty(x, lengths=lengths), "treves-rolls": treves_rolls(x)}
    return values


def values_and_gradients(part: slice) -> dict[str, Tensor]:
    """Per loss its value and its gradient by the weights w, in one vector."""
    data, result = batch(part), {}
    weight = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    for name, loss in losses(weight[:, None] * data["spikes"], data).items():
        (grad,) = torch.autograd.grad(loss, weight, retain_graph=True)
        result[name] = torch.cat([loss.detach()[None], grad])
    return result


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    torch.save(values_and_gradients(SPLIT[rank]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    if not dist.is_gloo_available():
        pytest.skip("this torch has no gloo")
    mp.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = values_and_gradients(slice(None))
    for name, expected in alone.items():
        torch.testing.assert_close((first[name] + second[name]) / 2, expected, rtol=1e-9, atol=1e-12, msg=name)
        assert expected[1:].abs().min() > 0, name
    for name in ("sparsity", "band", "enforcer"):  # the rate is the whole batch's in each of them
        torch.testing.assert_close(first[name][0], alone[name][0])
