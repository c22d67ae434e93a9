"""Files are replaced as a whole or not at all, whatever their name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slayerloss import FileError, MissingFileError, io
from slayerloss.io import Event

ON_WINDOWS = sys.platform == "win32"
LONGEST = pytest.param(
    "a" * 251 + ".npz", marks=pytest.mark.skipif(ON_WINDOWS, reason="Windows limits the whole path to 260 characters")
)
HALF_A_PAIR = pytest.param(
    "\ud800.npz", marks=pytest.mark.skipif(ON_WINDOWS, reason="Windows takes half a surrogate pair in a name")
)


@pytest.mark.parametrize("name", [LONGEST, "\u00e9" * 125 + ".bin", "\U0001f600" * 62 + ".bs2", "b" * 97])
def test_every_name_that_the_disk_takes_can_be_written(name, tmp_path):
    if "." in name:
        io.write(tmp_path / name, Event([3], [1], [1], [0.25]))
        assert io.read(tmp_path / name).t.tolist() == [0.25]
    with io.replacing(tmp_path / name) as temporary:
        assert temporary.name.startswith("." + name[:48])
        assert temporary.name.endswith(".tmp")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a" * 252 + ".npz", "a\0.npz", HALF_A_PAIR])
def test_a_name_that_the_disk_does_not_take_is_refused(name, tmp_path):
    with pytest.raises(FileError, match="cannot be written; expected a file that can be made or replaced, got"):
        io.write(tmp_path / name, Event([3], [1], [1], [0.25]))
    with pytest.raises(MissingFileError, match="there is no file"):
        io.read(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_replacing_names_the_file_that_it_cannot_make(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, error, reason in (
        (tmp_path / "no" / "a", MissingFileError, "No such file"),
        (tmp_path / "folder", FileError, "Access is denied" if ON_WINDOWS else "Is a dir"),
        (Path(tmp_path.anchor), FileError, ""),
    ):
        match = re.escape(f"'{path}' cannot be written") + f"; .* got .*{reason}"
        with pytest.raises(error, match=match), io.replacing(path):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_text("old")

    def fail_half_way():
        with io.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_killed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npz"
    io.write(path, Event([1], None, [1], [1.0]))
    before = path.read_bytes()
    program = (
        "import os, signal, sys, numpy as np\n"
        "from slayerloss import io\n"
        "save = np.savez_compressed\n"
        "def killed(handle, **arrays):\n"
        "    save(handle, **arrays)\n"
        "    handle.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "np.savez_compressed = killed\n"
        "io.write(sys.argv[1], io.Event([2], None, [0], [9.0]))\n"
    )
    result = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2  # the half-written file lies beside it, under its temporary name


def test_written_files_have_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    io.write(tmp_path / "a.bin", Event([], [], [], []))
    assert os.stat(tmp_path / "a.bin").st_mode == os.stat(tmp_path / "plain").st_mode
