"""Which kernels compute: the reference in plain torch, or the fast ones."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from slayerloss._check import BackendError, check_choice, message
from slayerloss.kernels.cpu import library

BACKENDS = ("auto", "reference", "cpu", "triton")
VARIABLE = "SLAYERLOSS_BACKEND"
"""Chooses the backend of a process, unless `use_backend` does."""

_asked: str | None = None


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Choose the kernels that compute what runs inside, in the whole process.

    Args:
        name: "reference": plain torch, on any device. "cpu": the C++ kernels, of float32 and float64 tensors on the
            CPU. "auto": the fastest that can run. "triton": for GPUs, not there yet.

    Raises:
        BackendError: the kernels that are named cannot run, at once or when a tensor meets them that they do not take.
        ArgumentError: an unknown name.

    Example:
        >>> import torch
        >>> from slayerloss.functional import cuba
        >>> with use_backend("reference"):
        ...     spikes, state = cuba(torch.ones(1, 1, 4), 1.0, 0.0, threshold=1.5)
        >>> spikes
        tensor([[[0., 1., 0., 1.]]])
    """
    global _asked
    before = _asked
    _asked = _checked(name, "use_backend", "name")
    try:
        yield
    finally:
        _asked = before


def _checked(name: str, asker: str, argument: str) -> str:
    check_choice(asker, argument, name, BACKENDS)
    if name == "triton":
        raise BackendError(message(asker, "there are no Triton kernels yet", "'auto'", repr(name)))
    if name == "cpu" and library.problem():
        problem = "the C++ kernels cannot be loaded"
        raise BackendError(message(asker, problem, "kernels of this machine", library.problem()))
    return name


@functools.cache
def _from_environment() -> str:
    return _checked(os.environ.get(VARIABLE) or "auto", "the environment", VARIABLE)


def runs_on_cpu_kernels(*tensors: Tensor | None) -> bool:
    """Whether the C++ kernels take these tensors, of which all floating ones have the dtype of the first.

    Raises:
        BackendError: they were asked for by name, and cannot.
    """
    asked = _asked or _from_environment()
    if asked == "reference":
        return False
    present = [tensor for tensor in tensors if tensor is not None]
    devices = {tensor.device.type for tensor in present}
    served = devices == {"cpu"} and library.serves(present[0].dtype)
    if asked == "cpu" and not served:
        rule, got = "float32 or float64 on the CPU", f"{present[0].dtype} on {', '.join(sorted(devices))}"
        raise BackendError(message("use_backend", "the C++ kernels do not take these tensors", rule, got))
    if served and library.problem():
        if library.named():
            rule, got = "kernels that this machine can run", library.problem()
            raise BackendError(
                message("use_backend", "the C++ kernels that the environment names cannot run", rule, got)
            )
        _say_once(library.problem())
        return False
    return served


@functools.cache
def _say_once(problem: str) -> None:
    logging.getLogger("slayerloss").warning("The reference kernels run, which are slower: %s.", problem)
