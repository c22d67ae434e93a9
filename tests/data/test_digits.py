"""The digits: the images, the simulated camera, the dataset."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slayerloss import data
from slayerloss.data import digits_camera

ROOT = Path(__file__).resolve().parents[2]
NPZ = resources.files("slayerloss.data") / "digits.npz"


def images(number: int) -> np.ndarray:
    with NPZ.open("rb") as handle, np.load(handle) as held:
        return held["images"][:number]


def test_file_is_the_one_of_its_card():
    with NPZ.open("rb") as handle, np.load(handle) as held:
        assert held["images"].shape == (1797, 8, 8)
        assert held["images"].max() == 16
        assert np.bincount(held["labels"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        assert np.bincount(held["labels"][held["test"]]).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    card = (ROOT / "datasets" / "digits" / "README.md").read_text()
    assert hashlib.sha256(NPZ.read_bytes()).hexdigest() in card
    assert "CC BY 4.0" in (resources.files("slayerloss.data") / "DIGITS-LICENSE.txt").read_text()


def test_file_can_be_made_again(tmp_path):
    sklearn = pytest.importorskip("sklearn", reason="scikit-learn, whose copy of the images is compared, is missing")
    source = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    program = ROOT / "datasets" / "digits" / "make_npz.py"
    subprocess.run([sys.executable, program, source, tmp_path / "digits.npz"], check=True, timeout=60)
    with NPZ.open("rb") as handle, np.load(handle) as held, np.load(tmp_path / "digits.npz") as made:
        for name in ("images", "labels", "test"):
            np.testing.assert_array_equal(made[name], held[name])


def test_events_are_the_changes_of_the_light():
    """A model that looks at one pixel after the other finds the same events."""
    rng = np.random.default_rng(5)
    level = np.cumsum(rng.normal(0, 0.8, (40, 30)), axis=0)
    t, pixel, on = digits_camera._change_events(level, np.random.default_rng(7))

    rng = np.random.default_rng(7)
    start = level - level[0] + rng.random(30)
    reference = rng.integers(0, 2, 30)
    expected = []
    for p in range(30):
        at = int(reference[p])
        for frame in range(39):
            a, b = start[frame, p], start[frame + 1, p]
            step = 1 if b > a else -1
            while (at + step - b) * step <= 0 and (at + step - a) * step >= 0:
                at += step
                expected.append((int((frame + (at - a) / (b - a)) * 2000), p, step > 0))
    noise = len(t) - len(expected)
    assert 10 < noise < 90
    found = list(zip(t.tolist(), pixel.tolist(), on.tolist(), strict=True))
    assert len(expected) > 300
    assert set(expected) <= set(found)
    assert (np.diff(t) >= 0).all()


def test_recordings_look_like_those_of_nmnist():
    recordings = digits_camera.simulate(images(60), np.arange(60), seed=0)
    counts = np.diff(recordings.starts)
    assert counts.min() > 1000
    assert counts.max() < 6000
    assert abs(recordings.c.mean() - 0.5) < 0.02
    assert recordings.t.min() >= 0
    assert recordings.t.max() < 300_000
    saccades = np.bincount(recordings.t // 10_000, minlength=30).reshape(3, 10)
    assert (
        saccades[:, 3:7].sum(1) > 3 * saccades[:, [0, 1, 8, 9]].sum(1)
    ).all()  # quick in the middle, at rest between
    for index in range(3):
        event = recordings.event(index)
        assert (np.diff(event.t) >= 0).all()
        np.testing.assert_allclose(event.t * 1000, np.round(event.t * 1000), atol=1e-6)


def test_a_blank_image_gives_noise_only():
    recordings = digits_camera.simulate(np.zeros((2, 8, 8)), np.arange(2), seed=0)
    assert 40 < len(recordings.t) < 130


@given(st.integers(0, 2**40))
def test_seed_fixes_everything(seed):
    first, again = (digits_camera.simulate(images(1), np.array([3]), seed) for _ in range(2))
    np.testing.assert_array_equal(first.t, again.t)
    other = digits_camera.simulate(images(1), np.array([3]), seed + 1)
    assert not np.array_equal(first.t, other.t)


def test_a_recording_does_not_depend_on_the_others():
    alone = digits_camera.simulate(images(3)[2:], np.array([2]), seed=0)
    together = digits_camera.simulate(images(3), np.arange(3), seed=0)
    np.testing.assert_array_equal(alone.event(0).t, together.event(2).t)
    np.testing.assert_array_equal(alone.event(0).x, together.event(2).x)


def test_dataset():
    train, test = data.Digits(), data.Digits(train=False, num_steps=30, step_ms=10, count=True)
    assert (len(train), len(test)) == (1442, 355)
    spikes, label = test[0]
    assert spikes.shape == (2, 34, 34, 30)
    assert float(spikes.sum()) == len(test.event(0))
    assert label == int(test.labels[0])
    assert test.labels.bincount(minlength=10).min() >= 34


def test_recordings_do_not_change_unnoticed():
    recordings = data.digits._recordings(False, 0)
    assert len(recordings.t) == 1_174_631
    assert recordings.t.sum(dtype=np.int64) == pytest.approx(174_083_779_586, rel=1e-9)


def test_items_are_quick():
    """The loader must not hold up the training; the bound is wide, for a busy machine: 0.1 ms is usual."""
    test = data.Digits(train=False, num_steps=30, step_ms=10)
    test[0]
    seconds = []
    for index in range(100):
        start = time.perf_counter()
        test[index]
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 0.003


def test_classes_can_be_told_apart():
    """Ridge regression on the events per pixel and saccade: what a network should at least reach."""

    def features(train: bool) -> tuple[np.ndarray, np.ndarray]:
        recordings = data.Digits(train, num_steps=3, step_ms=100, count=True, flatten=True)
        counts = np.stack([recordings[index][0].numpy().ravel() for index in range(len(recordings))])
        return np.sqrt(counts).astype(np.float64), recordings.labels.numpy()

    (x, labels), (x_test, labels_test) = features(True), features(False)
    mean = x.mean(0)
    gram = (x - mean) @ (x - mean).T
    targets = np.eye(10)[labels] - 0.1
    weights = (x - mean).T @ np.linalg.solve(gram + 300 * np.eye(len(x)), targets)
    accuracy = (((x_test - mean) @ weights).argmax(1) == labels_test).mean()
    assert accuracy > 0.95
