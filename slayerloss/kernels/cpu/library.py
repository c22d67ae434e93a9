"""Loads the shared library of kernels, and calls its functions with tensors."""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slayerloss.kernels.cpu.threads import Call, run

SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
PATH_VARIABLE = "SLAYERLOSS_KERNELS"
"""Names another library file than the installed one."""
ISA_VARIABLE = "SLAYERLOSS_ISA"
"""Names the instruction set, of those that the processor has."""
ISAS = ("baseline", "avx2", "avx512")

_DTYPES = {torch.float32: "float", torch.float64: "double"}


def path() -> Path:
    """Where the library is, or would be."""
    return Path(os.environ.get(PATH_VARIABLE) or Path(__file__).with_name("_kernels" + SUFFIX)).absolute()


@functools.cache
def problem() -> str:
    """Why the kernels cannot be used; empty if they can."""
    if not path().exists():
        reason = (
            "" if named() else ": it was not compiled, for which a clone has `make kernels`, and pip a C++ compiler"
        )
        return f"{path()} does not exist{reason}"
    sources = [] if os.environ.get(PATH_VARIABLE) else list(Path(__file__).with_name("src").glob("*"))
    if any(source.stat().st_mtime > path().stat().st_mtime for source in sources):
        return "the kernels are older than their sources: run make kernels"
    try:
        best = _best_isa()
    except (OSError, AttributeError) as error:
        return str(error)
    known = ISAS[: ISAS.index(best) + 1]
    asked = os.environ.get(ISA_VARIABLE) or best
    if asked not in known:
        return f"{ISA_VARIABLE} is {asked!r}; this processor has {', '.join(known)}"
    return "" if hasattr(_library(), f"integrate_float_{asked}") else f"{path()} has no kernels for {asked}"


def named() -> bool:
    """Whether the environment asks for a library or an instruction set, instead of which no other will do."""
    return bool(os.environ.get(PATH_VARIABLE) or os.environ.get(ISA_VARIABLE))


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(path()))


def _best_isa() -> str:
    best = _library().slayerloss_isa
    best.restype = ctypes.c_char_p
    name: str = best().decode()
    return name


@functools.cache
def isa() -> str:
    """The instruction set whose kernels are used."""
    return os.environ.get(ISA_VARIABLE) or _best_isa()


def description() -> str:
    """Which kernels this process has."""
    return f"no C++ kernels: {problem()}" if problem() else f"C++ kernels, {isa()}"


def serves(dtype: torch.dtype) -> bool:
    """Whether the kernels compute in this dtype."""
    return dtype in _DTYPES


class Kernel:
    """A function of the library, one for each dtype and instruction set.

    Args:
        name: without dtype and instruction set.
        types: a letter for each argument: p pointer (a tensor, or None), i integer, d double.
    """

    def __init__(self, name: str, types: str) -> None:
        self.name = name
        self.types = types
        self._arguments = struct.Struct("=" + "".join("d" if letter == "d" else "q" for letter in types))

    @functools.cache  # noqa: B019 - kernels live as long as the process
    def _function(self, dtype: torch.dtype) -> Any:
        function = _library()[f"{self.name}_{_DTYPES[dtype]}_{isa()}"]
        function.argtypes, function.restype = [ctypes.c_void_p], None
        return function

    def __call__(self, dtype: torch.dtype, *arguments: Any, blocks: int, elements: int) -> int:
        """Let threads share `blocks` blocks of a call over `elements` elements; 0, or what the kernel found wrong."""
        call = Call(self._arguments.pack(*map(_number, arguments)))
        run(self._function(dtype), call, blocks, elements)
        return call.found


def _number(argument: Any) -> int | float:
    """An address where it is a tensor, 0 where there is none."""
    if isinstance(argument, Tensor):
        return argument.data_ptr()
    return 0 if argument is None else argument
