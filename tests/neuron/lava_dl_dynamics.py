"""Random cases of the modules of `neuron.dynamics`; run by lava-dl, it writes what lava-dl makes of them.

python lava_dl_dynamics.py RESULTS.pt
"""

from __future__ import annotations

import sys
from typing import Any

import torch

CASES = range(20)
NAMES = (
    *("leaky_integrator", "reset", "adaptive_threshold", "adaptive_phase_th"),
    *("resonator", "izhikevich", "adaptive_resonator"),
)
W_SCALE = 4096


def case(seed: int) -> dict[str, torch.Tensor]:
    """Inputs, decays and states; every third case has them per channel."""
    torch.manual_seed(seed)
    size = 4 if seed % 3 == 0 else 1
    turn = torch.rand(size) * torch.pi / 2
    left = torch.rand(size) * 4096
    values = {name: torch.randn(3, 4, 50) * 2 for name in ("x", "y")}
    values |= {name: torch.randint(0, 4097, (size,)).float() for name in ("decay", "ref_decay", "th_decay")}
    values |= {"sin": (left * turn.sin()).floor(), "cos": (left * turn.cos()).floor()}
    shape = (3, 4) if seed % 2 else (1,)
    return values | {name: torch.randint(-4096, 4097, shape) / W_SCALE for name in ("s", "t", "r")}


def run(dynamics: Any, name: str, v: dict[str, torch.Tensor], seed: int) -> tuple[torch.Tensor, ...]:
    """What a module makes of a case."""
    threshold, step = 0.5 + seed % 5 / 7, seed % 4 / 3
    if name in ("leaky_integrator", "reset"):
        limit = threshold if name == "reset" else None
        return (dynamics.leaky_integrator.dynamics(v["x"], v["decay"], v["s"], W_SCALE, threshold=limit),)
    adaptive = v["r"], v["ref_decay"], v["t"] + 2, v["th_decay"], step, threshold, W_SCALE
    if name == "adaptive_threshold":
        return dynamics.adaptive_threshold.dynamics(v["x"], *adaptive)
    if name == "adaptive_phase_th":
        return dynamics.adaptive_phase_th.dynamics(v["x"], v["y"], v["s"], *adaptive)
    if name == "adaptive_resonator":
        decays, states = (v["sin"], v["cos"], v["ref_decay"], v["th_decay"]), (v["s"], v["t"], v["r"], v["t"] + 2)
        return dynamics.adaptive_resonator.dynamics(v["x"], v["y"], *decays, *states, step, threshold, W_SCALE)
    limit = int(threshold * W_SCALE) / W_SCALE if name == "izhikevich" else None
    states = v["s"], v["t"]
    return dynamics.resonator.dynamics(v["x"], v["y"], v["sin"], v["cos"], *states, W_SCALE, threshold=limit)


def after_spike(dynamics: Any, seed: int) -> list[torch.Tensor]:
    """What the functions that make the next state of the last make."""
    torch.manual_seed(seed)
    state, theta = torch.randn(2, 3, 4)
    spike = torch.randint(-1, 3, (3, 4)).float()
    found = [dynamics.leaky_integrator.persistent_state(state, spike)]
    for module in (dynamics.adaptive_threshold, dynamics.adaptive_phase_th, dynamics.adaptive_resonator):
        found += [module.persistent_ref_state(state, spike, theta), module.persistent_th_state(theta, spike, 0.25)]
    found.append(dynamics.resonator.persistent_real_state(state, spike))
    return [*found, dynamics.resonator.persistent_imag_state(state, spike, 0.7, W_SCALE)]


def all_cases(dynamics: Any) -> dict[str, Any]:
    """Everything, by name."""
    found: dict[str, Any] = {name: [run(dynamics, name, case(seed), seed) for seed in CASES] for name in NAMES}
    return found | {"after_spike": [after_spike(dynamics, seed) for seed in CASES]}


if __name__ == "__main__":
    from lava.lib.dl import slayer

    torch.save(all_cases(slayer.neuron.dynamics), sys.argv[1])
