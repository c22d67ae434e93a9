"""Helpers under lava-dl's names."""

from __future__ import annotations

from slayerloss.utils import filter

__all__ = ["filter"]
