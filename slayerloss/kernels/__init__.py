"""Loops over time: the reference kernels, which are the definition, and what wraps them for autograd and compilers."""

from __future__ import annotations

from slayerloss.kernels import reference
from slayerloss.kernels.backend import use_backend

__all__ = ["reference", "use_backend"]
