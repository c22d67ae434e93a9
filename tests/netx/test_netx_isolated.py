"""A file is read in a child process first: what the child's death, its errors and its limits become."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from netx_layers import dense

from slayerloss import FormatError, netx
from slayerloss.netx import isolated
from slayerloss.netx.isolated import read_isolated


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "network.net"
    netx.write(path, netx.describe([dense([[2, -4]])]))
    return path


def test_a_sound_file_is_read(file: Path) -> None:
    assert read_isolated(file) == netx.read(file)


def test_what_read_refuses_is_refused_in_the_same_words(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(FormatError) as here:
        netx.read(file)
    with pytest.raises(FormatError) as there:
        read_isolated(file)
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "that died (SIGKILL)"),
        ("import os; os.kill(os.getpid(), 50)", "that died (signal 50)"),
        ("raise SystemExit(7)", "that died (exit status 7: no output)"),
        ("{path}; import nothing_of_the_kind", "exit status 1: ModuleNotFoundError: No module named 'nothing_of_the_"),
        ("import time; time.sleep(60)", "got nothing after 0.5 seconds"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_child_that_dies_is_an_error_that_names_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, child: str, said: str
) -> None:
    monkeypatch.setattr(isolated, "_CHILD", child)
    if "sleep" in child:
        monkeypatch.setattr(isolated, "SECONDS", 0.5)
    with pytest.raises(FormatError) as caught:
        read_isolated(file)
    assert said in str(caught.value)
    assert f"'{file}' cannot be read" in str(caught.value)
    assert str(caught.value).endswith("The file is damaged: copy or export it again.")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_the_child_has_a_limit_of_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = "import sys; sys.path[:] = {path!r}; from slayerloss.netx import isolated; "
    greedy += "isolated.limit_memory(1 << 30); bytearray(1 << 31)"
    monkeypatch.setattr(isolated, "_CHILD", greedy)
    with pytest.raises(FormatError, match="exit status 1: MemoryError"):
        read_isolated(file)


def test_the_child_imports_the_library_and_not_what_lies_in_the_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "h5py.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(file.parent)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert read_isolated(file.name).layers == netx.read(file).layers
