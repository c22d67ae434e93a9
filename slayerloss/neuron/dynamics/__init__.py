"""What neurons are made of, under lava-dl's names and in its units; new code has `slayerloss.functional`.

Decays are the chip's integers in [0, 4096], and `w_scale` is the number of state LSBs per unit, 4096 for a neuron of
scale 64. `debug` has no effect.
"""

from __future__ import annotations

from slayerloss.neuron.dynamics import (
    adaptive_phase_th,
    adaptive_resonator,
    adaptive_threshold,
    leaky_integrator,
    resonator,
)

__all__ = ["adaptive_phase_th", "adaptive_resonator", "adaptive_threshold", "leaky_integrator", "resonator"]
