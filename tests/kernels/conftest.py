"""Compilers for the tests of the kernels; a test skips where its compiler is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # build_kernels is no part of the package

from build_kernels import BuildError, Compiler, build, find_compiler


@pytest.fixture(scope="session")
def compiler() -> Callable[[str], Compiler]:
    """A function that finds the compiler of a name, or this machine's by an empty name."""

    def find(name: str) -> Compiler:
        try:
            return find_compiler(name or None)
        except BuildError as error:
            pytest.skip(str(error))

    return find


@dataclass
class Library:
    """A library of kernels, and the objects that it was linked of."""

    path: Path
    objects: list[Path]


@pytest.fixture(scope="session")
def library_by(compiler: Callable[[str], Compiler], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Library]:
    """A function that builds the kernels with a compiler and more flags, once."""
    built: dict[tuple[str, ...], Library] = {}

    def make(name: str, *flags: str, isas: tuple[str, ...] = ()) -> Library:
        key = (name, *flags, *isas)
        if key not in built:
            output = tmp_path_factory.mktemp("library") / "_kernels.so"
            built[key] = Library(output, build(output, compiler(name), flags=flags, isas=isas))
        return built[key]

    return make
