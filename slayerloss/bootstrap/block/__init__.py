"""Blocks that run with spikes or with rates; `cuba` is the only neuron, as in lava-dl."""

from slayerloss.bootstrap.block import base, cuba

__all__ = ["base", "cuba"]
