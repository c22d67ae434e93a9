"""Compiles the C++ kernels into one plain library, which slayerloss loads with ctypes.

`python build_kernels.py` builds into the source tree; setup.py calls `build_or_warn`. Each source is compiled once for
each instruction set, and slayerloss picks one when it runs. Nothing but the standard library is imported here.

The environment: CXX is the compiler, CXXFLAGS are added to its flags. SLAYERLOSS_BUILD_KERNELS is what setup.py does:
"auto" compiles, and where that fails warns and goes on without; "require" fails; "skip" does not compile.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
FOLDER = Path("slayerloss", "kernels", "cpu")
SOURCES = ROOT / FOLDER / "src"
VARIABLE = "SLAYERLOSS_BUILD_KERNELS"
ONCE = {"isa.cpp"}
"""Sources that choose between instruction sets, and belong to none."""
LINES_OF_AN_ERROR = 30

FLAGS = [
    *["-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
    *["-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Wno-psabi"],
]
ISAS = {
    "baseline": [],
    "avx2": ["-mavx2"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"],
}
# Written by the documentation of Microsoft's compiler, and never tried. /fp:precise does not contract and is in order.
MSVC_FLAGS = ["/nologo", "/std:c++17", "/O2", "/fp:precise", "/EHs-c-", "/GR-", "/W3"]
MSVC_ISAS = {"baseline": [], "avx2": ["/arch:AVX2"], "avx512": ["/arch:AVX512"]}


class BuildError(Exception):
    """The kernels cannot be built; the message says why."""


@dataclass(frozen=True)
class Compiler:
    """A compiler, and the machine that it compiles for, such as `x86_64-linux-gnu`."""

    command: tuple[str, ...]
    target: str
    version: str

    @property
    def msvc(self) -> bool:
        return Path(self.command[0]).stem.lower() == "cl"

    @property
    def windows(self) -> bool:
        return self.msvc or "mingw" in self.target or "windows" in self.target

    def isas(self) -> dict[str, list[str]]:
        """The flags of each instruction set that the kernels are compiled for."""
        sets = MSVC_ISAS if self.msvc else ISAS
        wide = self.target.startswith(("x86_64", "amd64"))
        return {name: flags for name, flags in sets.items() if wide or name == "baseline"}

    def compile(self, source: Path, output: Path, isa: str | None, flags: Sequence[str]) -> list[str]:
        """The command that compiles one source."""
        own = [] if isa is None else self.isas()[isa]
        if self.msvc:
            macro = [] if isa is None else [f"/DISA={isa}"]
            return [*self.command, *MSVC_FLAGS, *own, *macro, *flags, "/c", str(source), f"/Fo{output}"]
        macro = [] if isa is None else [f"-DISA={isa}"]
        if not self.windows:
            own = ["-fPIC", *own]
        elif "clang" not in self.version:
            # On Windows, GCC aligns the stack to 16 bytes and yet moves wider vectors as if aligned (its bug 54412).
            own = [*own, "-Wa,-muse-unaligned-vector-move"]
        return [*self.command, *FLAGS, *own, *macro, *flags, "-c", str(source), "-o", str(output)]

    def link(self, objects: Sequence[Path], output: Path, flags: Sequence[str]) -> list[str]:
        """The command that makes the library."""
        inputs = [str(path) for path in objects]
        if self.msvc:
            return [*self.command, "/nologo", "/LD", *inputs, f"/Fe{output}", "/link", "/NOIMPLIB", *flags]
        if self.windows:
            own = ["-static", "-s"]
        else:  # the kernels use libm only, not the C++ library
            own = [] if "darwin" in self.target else ["-Wl,--as-needed,--no-undefined"]
        return [*self.command, "-shared", *inputs, "-o", str(output), *own, *flags]


def library_name(windows: bool = sys.platform == "win32", darwin: bool = sys.platform == "darwin") -> str:
    """The name that slayerloss looks for beside `slayerloss/kernels/cpu/__init__.py`."""
    return "_kernels" + (".dll" if windows else ".dylib" if darwin else ".so")


def find_compiler(name: str | None = None) -> Compiler:
    """The compiler of this name, of CXX, or the first one of this machine."""
    named = name or os.environ.get("CXX")
    choices = [named] if named else ["cl", "g++", "clang++"] if sys.platform == "win32" else ["c++", "g++", "clang++"]
    for choice in choices:
        command = tuple(shlex.split(choice, posix=sys.platform != "win32"))
        if not shutil.which(command[0]):
            continue
        if Path(command[0]).stem.lower() == "cl":
            return Compiler(command, os.environ.get("VSCMD_ARG_TGT_ARCH", "x64").replace("x64", "x86_64"), "")
        target = _output([*command, "-dumpmachine"]).strip()
        return Compiler(command, target or platform.machine().lower(), _output([*command, "--version"]))
    raise BuildError(f"no C++ compiler: none of {', '.join(choices)} is found")


def build(
    output: Path,
    compiler: Compiler | None = None,
    *,
    sources: Sequence[Path] = (),
    isas: Sequence[str] = (),
    flags: Sequence[str] = (),
    objects: Path = ROOT / "build" / "kernels",
) -> list[Path]:
    """Compiles `sources`, or those of slayerloss, into `output`, which is written whole or not at all.

    Args:
        output: the library.
        compiler: the first one of this machine, unless given.
        sources: C++ files.
        isas: the instruction sets; all of the target's, unless given.
        flags: what compiler and linker get besides their own.
        objects: where compiled sources stay, so that only what changed is compiled again.

    Returns:
        The compiled sources of the library.

    Raises:
        BuildError: if there is no compiler, or it fails; with its words.
    """
    compiler = compiler or find_compiler()
    longest_first = sorted(sources or SOURCES.glob("*.cpp"), key=lambda path: (-path.stat().st_size, path))
    if not longest_first:
        raise BuildError(f"no sources in {SOURCES}")
    flags = [*shlex.split(os.environ.get("CXXFLAGS", "")), *flags]
    jobs = []
    for source in longest_first:
        for isa in [None] if source.name in ONCE else isas or compiler.isas():
            jobs.append((source, isa))
    objects.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = list(pool.map(lambda job: _compile(compiler, job[0], job[1], flags, objects), jobs))
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".kernels") as folder:
        linked = Path(folder) / output.name
        _run(compiler.link(compiled, linked, flags))
        os.replace(linked, output)
    return compiled


def build_or_warn(output: Path) -> bool:
    """Does what SLAYERLOSS_BUILD_KERNELS says; whether `output` has been built. No older library stays behind."""
    wish = os.environ.get(VARIABLE, "auto")
    if wish not in ("auto", "require", "skip"):
        raise BuildError(f"{VARIABLE} must be auto, require or skip, got {wish!r}")
    reason = f"{VARIABLE} is skip"
    if wish != "skip":
        try:
            build(output)
        except (BuildError, OSError) as error:
            if wish == "require":
                raise
            reason = str(error)
        else:
            return True
    output.unlink(missing_ok=True)
    print(f"warning: slayerloss gets no C++ kernels and will run on its slower ones: {reason}", file=sys.stderr)
    return False


def _content(source: Path, seen: set[Path]) -> bytes:
    """The bytes of a source and of the headers that it includes, each once."""
    if source in seen or not source.exists():
        return b""
    seen.add(source)
    text = source.read_bytes()
    headers = re.findall(rb'^#include "(.+)"', text, flags=re.MULTILINE)
    return text + b"".join(_content(source.parent / name.decode(), seen) for name in headers)


def _compile(compiler: Compiler, source: Path, isa: str | None, flags: Sequence[str], objects: Path) -> Path:
    """The object of a source for an instruction set, compiled unless there is one of the same content."""
    command = compiler.compile(source, Path(), isa, flags)
    made_of = repr((compiler.version, command)).encode() + _content(source, set())
    output = objects / f"{source.stem}-{isa}-{hashlib.sha256(made_of).hexdigest()[:20]}.o"
    if not output.exists():
        with tempfile.TemporaryDirectory(dir=objects, prefix=".") as folder:
            made = Path(folder) / output.name
            _run(compiler.compile(source, made, isa, flags))
            os.replace(made, output)
    return output


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).splitlines()[:LINES_OF_AN_ERROR])
        raise BuildError(f"{shlex.join(command)} exited with {done.returncode}:\n{words}".rstrip())
    sys.stderr.write(done.stderr)


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """`python build_kernels.py`, for those who work on the kernels."""
    parser = argparse.ArgumentParser(description="Compile the C++ kernels into the source tree, or into another file.")
    parser.add_argument("sources", nargs="*", type=Path, help="C++ files (default: all of slayerloss)")
    parser.add_argument("--output", type=Path, default=ROOT / FOLDER / library_name(), help="the library")
    parser.add_argument("--compiler", help="the compiler (default: CXX, or the first one found)")
    parser.add_argument("--isa", action="append", choices=ISAS, help="an instruction set (default: all)")
    parser.add_argument("--flags", default="", help='more flags, as in --flags="-g -fsanitize=address"')
    parser.add_argument("--optional", action="store_true", help=f"obey {VARIABLE}, as an installation does")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.optional:
            build_or_warn(chosen.output)
        else:
            compiler = find_compiler(chosen.compiler)
            build(
                chosen.output, compiler, sources=chosen.sources, isas=chosen.isa or (), flags=shlex.split(chosen.flags)
            )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
