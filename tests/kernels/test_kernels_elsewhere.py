"""The kernels of every instruction set and compiler write the same bits, and all write where they may.

What this machine's compiler made for the baseline of this processor is recorded call by call, and every other library
has to repeat it. That these calls compute what they should is shown by the other tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_calls import Call, assert_same, best_isa, installed, kernels_in, packed, recorded, unpacked
from kernel_scenarios import run_all

from build_kernels import ISAS, ROOT, SOURCES, build
from slayerloss.kernels.cpu import library

HERE = Path(__file__).parent
REPLAY = HERE / "replay.cpp"
SECONDS = 1500
AARCH64 = "aarch64-linux-gnu"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-O1"]

OUT_OF_BOUNDS = """
#include "kernel.h"
namespace {
template <class Real>
int32_t integrate(int64_t*, const Real*, Real* y, int64_t rows, int64_t steps) {
    y[rows * steps] = 1;
    return 0;
}
}  // namespace
KERNEL(integrate)
"""


def calls_of(kernels: Path, isa: str) -> list[Call]:
    """What these kernels do in all scenarios."""
    known = list(ISAS)
    if known.index(isa) > known.index(best_isa(kernels)):
        pytest.skip(f"this processor has no {isa}")
    with installed(kernels, isa), recorded() as made:
        assert len(list(run_all())) >= 8
    return made


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    """What the kernels do that are installed, in their simplest form."""
    if library.problem():
        pytest.skip(library.problem())
    return calls_of(library.path(), "baseline")


def assert_same_calls(calls: list[Call], others: list[Call], where: str) -> None:
    for call, other in zip(calls, others, strict=True):
        assert call.name == other.name
        assert_same(call, other.status, other.after, where)


def test_every_kernel_is_called(calls):
    assert {call.name for call in calls} == kernels_in(library.path())


@pytest.mark.parametrize("isa", ISAS)
def test_instruction_sets_agree(calls, isa):
    assert_same_calls(calls, calls_of(library.path(), isa), isa)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
def test_clang_agrees(calls, library_by, isa):
    assert_same_calls(calls, calls_of(library_by("clang++").path, isa), f"clang++, {isa}")


@pytest.mark.slow
def test_lanes_without_vector_types_agree(calls, library_by):
    # What compilers other than GCC and Clang get, compiled by GCC.
    kernels = library_by("g++", "-DPLAIN_LANES", isas=("baseline",)).path
    assert_same_calls(calls, calls_of(kernels, "baseline"), "plain lanes")


def replayed(calls: list[Call], emulator: list[str], compiler, kernels: Path, folder: Path) -> bytes:
    """What `kernels` write when a program of their processor calls them."""
    replay = folder / "replay"
    subprocess.run([*compiler.command, "-O1", str(REPLAY), "-o", str(replay), "-ldl"], check=True)
    command = [*emulator, str(replay), str(kernels), "baseline"]
    done = subprocess.run(command, input=packed(calls), capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def assert_results(calls: list[Call], results: bytes) -> None:
    for call, status, buffers in unpacked(results, calls):
        assert_same(call, status, buffers, "in a program of its own")


def test_recorded_calls_are_repeated_by_a_program(calls, compiler, tmp_path):
    found = compiler("")
    if not found.target.startswith(("x86_64", "aarch64")) or found.windows or "darwin" in found.target:
        pytest.skip(f"replay.cpp is not written for {found.target}")
    results = replayed(calls, [], found, library.path(), tmp_path)
    assert_results(calls, results)
    with pytest.raises(AssertionError, match="differs by"):
        assert_results(calls, results[:8] + bytes(byte ^ 1 for byte in results[8:]))


@pytest.mark.slow
def test_aarch64_agrees(calls, compiler, library_by, tmp_path):
    found = compiler(f"{AARCH64}-g++")
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    kernels = library_by(f"{AARCH64}-g++").path
    if emulator is None:
        pytest.skip("compiled for aarch64, and not run: no qemu-aarch64")
    results = replayed(calls, [emulator, "-L", f"/usr/{AARCH64}"], found, kernels, tmp_path)
    assert_results(calls, results)


@pytest.mark.slow
def test_windows_library_exports_every_kernel(library_by):
    made = library_by("x86_64-w64-mingw32-g++", "-O1").path.read_bytes()
    if library.problem():
        pytest.skip(library.problem())
    assert b"slayerloss_isa\0" in made
    for name in kernels_in(library.path()):
        for isa in ISAS:
            assert f"{name}_{isa}\0".encode() in made


@pytest.mark.parametrize("name", ["", pytest.param("clang++", marks=pytest.mark.slow)])
def test_instruction_sets_share_no_function(library_by, name):
    # The linker keeps one copy of a function that several objects bring, whatever instructions it was compiled to.
    if shutil.which("nm") is None:
        pytest.skip("no nm to list symbols")
    for made in library_by(name).objects:
        isa = made.name.split("-")[1]
        listed = subprocess.run(["nm", "--defined-only", "--extern-only", made], capture_output=True, check=True)
        names = [line.split()[-1] for line in listed.stdout.decode().splitlines()]
        assert names
        assert all(name.endswith(f"_{isa}") or name == "slayerloss_isa" for name in names), (made.name, names)


def python_with(kernels: Path, isa: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python that runs these kernels."""
    mine = {"SLAYERLOSS_KERNELS": str(kernels), "SLAYERLOSS_ISA": isa, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command,
        env=os.environ | mine | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def check_kernels(kernels: Path, isa: str, **environment: str) -> None:
    """Run all scenarios, and the tests beside this module but for those that compile, in C++ or by torch."""
    own = {"test_build_kernels.py", Path(__file__).name}
    tests = [str(path) for path in sorted(HERE.glob("test_*.py")) if path.name not in own]
    every = f"import sys; sys.path.insert(0, {str(HERE)!r}); from kernel_scenarios import run_all; print(*run_all())"
    for arguments in (["-c", every], ["-m", "pytest", "-q", "-m", "not slow", "-k", "not compile", *tests]):
        done = python_with(kernels, isa, *arguments, **environment)
        if done.returncode or "no C++ kernels" in done.stdout:
            pytest.fail(done.stdout[-4000:] + done.stderr[-4000:])


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_what_clang_makes_passes_the_tests_of_the_kernels(library_by):
    check_kernels(library_by("clang++").path, "")


@pytest.fixture(scope="module")
def sanitizer(compiler) -> dict[str, str]:
    """What makes Python watch its memory: GCC's AddressSanitizer, and the C++ library whose functions it replaces."""
    files = []
    for name in ("libasan.so", "libstdc++.so.6"):
        command = [*compiler("g++").command, f"-print-file-name={name}"]
        files.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        if not Path(files[-1]).is_absolute():
            pytest.skip(f"this compiler has no {name} to preload")
    return {
        "LD_PRELOAD": " ".join(files),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


@pytest.mark.slow
def test_the_sanitizer_sees_a_write_behind_a_tensor(compiler, sanitizer, tmp_path):
    source = tmp_path / "wrong.cpp"
    source.write_text(OUT_OF_BOUNDS, encoding="utf-8")
    flags = [*SANITIZERS, f"-I{SOURCES}"]
    build(tmp_path / "wrong.so", compiler("g++"), sources=[source], flags=flags, objects=tmp_path / "objects")
    program = """
import ctypes, struct, sys, torch
from slayerloss.kernels.cpu.threads import Call
x, y = torch.zeros(3, 7), torch.zeros(3, 7)
call = Call(struct.pack("=4q", x.data_ptr(), y.data_ptr(), 3, int(sys.argv[2])))
ctypes.CDLL(sys.argv[1]).integrate_float_baseline(ctypes.byref(call))
"""
    for steps in (6, 7):
        library_and_steps = (str(tmp_path / "wrong.so"), str(steps))
        done = python_with(Path("none"), "baseline", "-c", program, *library_and_steps, **sanitizer)
        assert (done.returncode != 0) == (steps == 7), done.stderr
        assert ("heap-buffer-overflow" in done.stderr) == (steps == 7)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("isa", ISAS)
def test_kernels_keep_to_their_memory(library_by, sanitizer, isa):
    if isa not in list(ISAS)[: list(ISAS).index(best_isa(library.path())) + 1]:
        pytest.skip(f"this processor has no {isa}")
    check_kernels(library_by("g++", *SANITIZERS).path, isa, **sanitizer)
