"""Event files, `Event`, tensors."""

from __future__ import annotations

from slayerloss.io.atomic import replacing

__all__ = ["replacing"]
