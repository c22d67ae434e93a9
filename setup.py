"""What pyproject.toml cannot say: the C++ kernels are compiled, and one wheel serves every Python of its platform."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent))  # an isolated build does not have it

from build_kernels import FOLDER, build_or_warn, library_name


class BuildKernels(build_ext):
    """Compiles the kernels into a library without Python in it. Without them, slayerloss is a pure package."""

    def _library(self, root: str) -> str:
        return str(Path(root) / FOLDER / library_name())

    def run(self) -> None:
        if not build_or_warn(Path(self._library("" if self.inplace else self.build_lib))):
            self.distribution.ext_modules = []

    def get_outputs(self) -> list[str]:
        return [self._library(self.build_lib)] if self.distribution.ext_modules else []

    def get_output_mapping(self) -> dict[str, str]:
        return {output: self._library("") for output in self.get_outputs()} if self.inplace else {}


class Wheel(bdist_wheel):
    """A wheel for every Python 3 of its platform; for every platform if it carries no kernels."""

    def run(self) -> None:
        self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension("slayerloss.kernels.cpu._kernels", sources=[])],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel},
)
