"""The C++ kernels: a shared library without ties to Python or torch, called through ctypes."""

from __future__ import annotations
