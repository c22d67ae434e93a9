"""Classifiers: what a spiking output says, over the whole recording or at every step."""

from __future__ import annotations

from slayerloss.classifier.moving_window import MovingWindow
from slayerloss.classifier.rate import Rate

__all__ = ["MovingWindow", "Rate"]
