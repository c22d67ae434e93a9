"""lava-dl's names for shifts and copies in time; a function bears the name of its module."""

from __future__ import annotations

from slayerloss.utils.time.replicate import replicate
from slayerloss.utils.time.shift import shift

__all__ = ["replicate", "shift"]
