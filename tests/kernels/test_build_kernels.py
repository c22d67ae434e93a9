"""How the kernels are compiled and packed, shown with a source of three lines."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import build_kernels
from build_kernels import ROOT, SOURCES, BuildError, build, build_or_warn
from slayerloss.kernels.cpu.threads import Call

SCALED = """
#include "kernel.h"
namespace {
template <class Real>
int32_t scaled(int64_t* next, const Real* x, Real* y, double factor, int64_t rows, int32_t status) {
    for (int64_t row; (row = take(next)) < rows;) y[row] = Real(factor) * x[row];
    return status;
}
}  // namespace
KERNEL(scaled)
"""


@pytest.fixture
def folder(tmp_path: Path, compiler, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sources that is compiled instead of slayerloss's."""
    shutil.copytree(SOURCES, tmp_path / "src", ignore=lambda _, names: set(names) - {"kernel.h", "isa.cpp"})
    (tmp_path / "src" / "scaled.cpp").write_text(SCALED, encoding="utf-8")
    monkeypatch.setattr(build_kernels, "SOURCES", tmp_path / "src")
    monkeypatch.setenv("CXX", " ".join(compiler("").command))
    return tmp_path


def make(folder: Path) -> Path:
    library = folder / "library.so"
    build(library, objects=folder / "objects")
    return library


def objects(folder: Path) -> set[str]:
    return {path.name for path in (folder / "objects").iterdir()}


def test_a_kernel_exists_once_for_each_instruction_set(folder, compiler):
    library = ctypes.CDLL(str(make(folder)))
    library.slayerloss_isa.restype = ctypes.c_char_p
    best = library.slayerloss_isa().decode()
    isas = list(compiler("").isas())
    assert best in isas
    for isa in isas[: isas.index(best) + 1]:
        for name, real in (("float", ctypes.c_float), ("double", ctypes.c_double)):
            x, y = (real * 3)(1, 2, 3), (real * 3)()
            packed = struct.pack("=qqdqq", ctypes.addressof(x), ctypes.addressof(y), 2.5, 3, -4)
            call = Call(packed, 1)  # the first row is taken
            function = library[f"scaled_{name}_{isa}"]
            function.argtypes, function.restype = [ctypes.c_void_p], None
            function(ctypes.byref(call))
            assert list(y) == [0, 5, 7.5]
            assert (call.next, call.found) == (4, -4)


def test_what_changed_is_compiled_again(folder, compiler):
    make(folder)
    first = objects(folder)
    make(folder)
    assert objects(folder) == first
    with (folder / "src" / "scaled.cpp").open("a", encoding="utf-8") as file:
        file.write("// changed")
    make(folder)
    second = objects(folder)
    assert len(second - first) == len(compiler("").isas())
    with (folder / "src" / "kernel.h").open("a", encoding="utf-8") as file:
        file.write("// changed")
    make(folder)
    assert len(objects(folder) - second) == len(first)


def test_other_flags_do_not_take_the_objects_of_these(folder, monkeypatch):
    make(folder)
    monkeypatch.setenv("CXXFLAGS", "-DNOT_NAMED_LIKE_THIS_BEFORE=1")
    before = objects(folder)
    make(folder)
    assert len(objects(folder)) == 2 * len(before)


def test_a_broken_source_leaves_the_library_that_is_there(folder):
    library = make(folder)
    content = library.read_bytes()
    (folder / "src" / "broken.cpp").write_text("int x = ;", encoding="utf-8")
    with pytest.raises(BuildError, match=r"broken\.cpp"):
        make(folder)
    assert library.read_bytes() == content
    assert {path.name for path in folder.iterdir()} == {"src", "objects", "library.so"}


@pytest.mark.parametrize(
    ("compiler_name", "wish", "said"),
    [
        ("no-such-compiler", "auto", "no C\\+\\+ compiler"),
        ("false", "auto", "exited with 1"),
        ("c++", "skip", "SLAYERLOSS_BUILD_KERNELS is skip"),
    ],
)
def test_without_kernels_there_is_a_warning_and_no_old_library(tmp_path, monkeypatch, capfd, compiler_name, wish, said):
    monkeypatch.setenv("CXX", compiler_name)
    monkeypatch.setenv("SLAYERLOSS_BUILD_KERNELS", wish)
    library = tmp_path / "library.so"
    library.write_text("old")
    assert not build_or_warn(library)
    assert not library.exists()
    assert capfd.readouterr().err.count("warning: slayerloss gets no C++ kernels") == 1
    monkeypatch.setattr(build_kernels, "VARIABLE", "NOT_SET")
    with pytest.raises(BuildError, match=said) if wish == "auto" else pytest.raises(BuildError, match="NOT_SET"):
        monkeypatch.setenv("NOT_SET", "require" if wish == "auto" else "perhaps")
        build_or_warn(library)


def wheel_of(tmp_path: Path, **environment: str) -> Path:
    """The wheel of a copy of slayerloss, built with the packages that are installed here."""
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "_kernels.*")
    shutil.copytree(ROOT / "slayerloss", copy / "slayerloss", ignore=ignored)
    for name in ["setup.py", "build_kernels.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"]:
        shutil.copy2(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(copy)]
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_the_wheel_has_the_kernels_and_serves_every_python(tmp_path, compiler):
    compiler("")
    wheel = wheel_of(tmp_path, SLAYERLOSS_BUILD_KERNELS="require", CXXFLAGS="-O0")
    assert wheel.name.split("-")[2:4] == ["py3", "none"]
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extract(f"slayerloss/kernels/cpu/{build_kernels.library_name()}", tmp_path)
        information = archive.read(next(name for name in names if name.endswith("/WHEEL"))).decode()
    assert "Root-Is-Purelib: false" in information
    assert not [name for name in names if "/src/" in name]
    assert ctypes.CDLL(str(tmp_path / "slayerloss" / "kernels" / "cpu" / build_kernels.library_name())).slayerloss_isa


@pytest.mark.slow
def test_the_wheel_of_a_machine_without_compiler_is_pure(tmp_path):
    wheel = wheel_of(tmp_path, SLAYERLOSS_BUILD_KERNELS="auto", CXX="no-such-compiler")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if "_kernels." in name]
