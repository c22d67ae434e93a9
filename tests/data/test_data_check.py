"""What `data.check` finds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from slayerloss import DtypeError, FormatError, data, io
from slayerloss.io import Event


def event(number: int = 5, seed: int = 0) -> Event:
    rng = np.random.default_rng(seed)
    return Event(*(rng.integers(0, size, number) for size in (34, 34, 2)), np.arange(number))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, split in enumerate(("Train", "Test")):
        for digit in range(10):
            folder = tmp_path / split / str(digit)
            folder.mkdir(parents=True)
            io.write(folder / "00001.bin", event(seed=10 * number + digit))
    return tmp_path


def assert_found(findings: list[data.Finding], severity: str, place: str, problem: str) -> None:
    """Exactly one finding says this."""
    matching = [finding for finding in findings if finding.place.endswith(place) and problem in finding.problem]
    assert len(matching) == 1, "\n".join(map(str, findings))
    assert matching[0].severity == severity


def test_a_good_folder_gives_notes_only(root):
    findings = data.check(root)
    assert [finding.severity for finding in findings] == ["note", "note"]
    assert "10 of N-MNIST's 60000 recordings (0: 1, 1: 1," in str(findings[0])


def test_what_is_wrong_with_nmnist(root):
    (root / "Train" / "0" / "00001.bin").write_bytes(b"1234567")
    (root / "Train" / "1" / "00001.bin").write_bytes(b"")
    io.write(root / "Train" / "2" / "00001.bin", Event([34], [0], [0], [0]))
    io.write(root / "Train" / "3" / "00001.bin", Event([0, 0, 0], [0, 0, 0], [0, 0, 0], [5, 3, 4]))
    (root / "Train" / "4" / "notes.txt").write_text("")
    (root / "Test" / "5" / "00001.bin").write_bytes((root / "Train" / "5" / "00001.bin").read_bytes())
    (root / "Test" / "6" / "00001.bin").unlink()
    (root / "Test" / "ten").mkdir()
    findings = data.check(root)
    assert_found(findings, "error", "Train/0/00001.bin", "is truncated")
    assert_found(findings, "warning", "Train/1/00001.bin", "is empty")
    assert_found(findings, "error", "Train/2/00001.bin", "1 events lie outside of 34 x 34 pixels (x to 34, y to 0)")
    assert_found(findings, "warning", "Train/3/00001.bin", "time steps back at 1 of 3 events")
    assert_found(findings, "warning", "notes.txt", "no event file")
    assert_found(findings, "warning", "Train/5/00001.bin", "the same recording as")
    assert_found(findings, "warning", "Test", "no recordings of class 6")
    assert_found(findings, "warning", "Test/ten", "no class folder")
    assert [finding.severity for finding in findings] == ["error"] * 2 + ["warning"] * 6 + ["note"] * 2


@pytest.mark.parametrize("path", [3, None, ["NMNIST"], b"NMNIST"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(DtypeError, match="check: path is of the wrong type; expected a path"):
        data.check(path)


def test_missing_split(root):
    for path in sorted((root / "Test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (root / "Test").rmdir()
    assert_found(data.check(root), "warning", "Test", "the folder is missing")


def test_other_folders_and_files(tmp_path):
    assert_found(data.check(tmp_path), "error", tmp_path.name, "it holds no event files")
    assert_found(data.check(tmp_path / "none"), "error", "none", "there is no such file or folder")
    io.write(tmp_path / "a.bs1", Event([500], None, [0], [1]))
    assert data.check(tmp_path / "a.bs1") == []
    (found,) = data.check(tmp_path)
    assert found.severity == "note"
    assert found.problem.startswith("the folder of 1 .bs1 is neither NMNIST's (Train and Test) nor Oxford's (")
    np.save(tmp_path / "b.npy", [[1, 0, -5.0]])
    assert_found(data.check(tmp_path), "warning", "b.npy", "events begin before time 0, at -5 ms")
    np.save(tmp_path / "b.npy", np.zeros(7))
    assert_found(data.check(tmp_path / "b.npy"), "error", "b.npy", "does not hold events")
    (tmp_path / "a.txt").write_text("")
    assert_found(data.check(tmp_path), "note", tmp_path.name, "the folder of 1 .bs1, 1 .npy is neither")
    assert_found(data.check(tmp_path), "warning", "a.txt", "no event file")
    assert_found(data.check(tmp_path / "a.txt"), "error", "a.txt", "no event file")


@pytest.mark.parametrize("wrong", ["NMNIST/Train", "NMNIST/Train/3", "NMNITS", "."])
def test_a_folder_near_the_right_one_is_told_where_that_is(root, tmp_path_factory, wrong):
    place = tmp_path_factory.mktemp("data")
    right = root.rename(place / "NMNIST")
    (found,) = [finding for finding in data.check(place / wrong) if finding.way_out == f"Did you mean '{right}'?"]
    assert found.severity == ("warning" if (place / wrong).exists() else "error")
    assert str(found).endswith("?")
    with pytest.raises(FormatError, match=f"holds no recordings; .* Did you mean '{right}'"):
        data.NMNIST(place / wrong)


def test_an_unreadable_folder_beside_it_is_passed_over(root, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("data")
    right = root.rename(place / "NMNIST")
    locked = place / "Locked"
    locked.mkdir()
    stat = os.stat

    def refuse(path, *args, **options):
        if str(path).startswith(f"{locked}{os.sep}"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", refuse)  # root would read it
    (found,) = data.check(place / "NMNITS")
    assert found.way_out == f"Did you mean '{right}'?"
    with pytest.raises(FormatError, match=f"Did you mean '{right}'"):
        data.NMNIST(place / "NMNITS")
    with pytest.raises(FormatError, match=r"input\.bs1' is missing"):
        data.Oxford(place / "oxfort")


def test_oxford_is_told_where_its_folder_is(tmp_path):
    (tmp_path / "oxford").mkdir()
    io.write(tmp_path / "oxford" / "input.bs1", Event([1], None, [0], [1]))
    for wrong in (tmp_path, tmp_path / "oxford" / "input.bs1", tmp_path / "oxfort"):
        with pytest.raises(FormatError, match=f"input.bs1' is missing; .* Did you mean '{tmp_path / 'oxford'}'"):
            data.Oxford(wrong)


def test_findings_read_as_sentences():
    finding = data.Finding("error", "a.bin", "it is broken", "Mend it")
    assert str(finding) == "error: a.bin: it is broken. Mend it."


def test_real_data(shared):
    findings = data.check(shared / "data" / "NMNIST")
    assert [finding.severity for finding in findings] == ["note", "note"]
    assert "800 of N-MNIST's 60000" in findings[0].problem
    findings = data.check(shared / "data" / "oxford")
    assert [finding.severity for finding in findings] == ["warning"]
    assert_found(findings, "warning", "output.bs1", "time steps back")
