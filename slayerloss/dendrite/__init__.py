"""Dendrites: what happens to the weighted input before the neuron."""

from __future__ import annotations

from slayerloss.dendrite.sigma import Sigma

__all__ = ["Sigma"]
