"""Event and lava-dl's ways to a tensor and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.io import Event, tensor_to_event, to_frames, to_structured


def assert_same_events(a: Event, b: Event) -> None:
    """The same events, in whatever order."""
    assert (a.dim, a.graded) == (b.dim, b.graded)
    keys = []
    for event in (a, b):
        columns = [event.t, event.c, event.x] + [column for column in (event.y, event.p) if column is not None]
        keys.append(sorted(zip(*columns, strict=True)))
    assert keys[0] == keys[1]


@st.composite
def binary_tensors(draw: st.DrawFn) -> np.ndarray:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=3, max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return (rng.random(shape) < draw(st.floats(0, 1))).astype(np.float64)


@given(binary_tensors(), st.sampled_from([0.5, 1, 2, 3.0]), st.booleans())
def test_tensor_events_tensor_is_identity(spikes, sampling_time, use_torch):
    scaled = spikes / sampling_time
    event = tensor_to_event(torch.from_numpy(scaled) if use_torch else scaled, sampling_time)
    assert not event.graded
    np.testing.assert_allclose(event.to_tensor(sampling_time, spikes.shape), scaled)


@given(binary_tensors())
def test_events_tensor_events_is_identity(spikes):
    event = tensor_to_event(spikes)
    assert_same_events(tensor_to_event(event.to_tensor()), event)


def test_graded_events_come_back():
    event = Event([0, 2, 1], [1, 0, 1], [1, 0, 1], [0, 3, 1], payload=[5, -2, 7])
    assert_same_events(tensor_to_event(event.to_tensor()), event)


def test_caller_s_arrays_stay_as_they_are():
    arrays = [np.array([3, 4]), np.array([5, 6]), np.array([1, 2]), np.array([0.6, 1.0])]
    copies = [array.copy() for array in arrays]
    event = Event(*arrays)
    event.to_tensor()
    event.fill_tensor(np.zeros((3, 8, 8, 4)), random_shift=True)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert event.c.tolist() == [1, 2]


def test_channels_keep_their_numbers():
    only_on = Event([0, 1], [0, 0], [1, 1], [0, 1])
    assert only_on.to_tensor()[0].sum() == 0
    assert only_on.to_tensor()[1].sum() == 2
    spikes = np.zeros((2, 1, 3))
    spikes[1, 0, 1] = 1
    np.testing.assert_array_equal(tensor_to_event(spikes).to_tensor(dim=spikes.shape), spikes)


def test_one_channel_takes_one_polarity():
    spikes = Event([0, 1], None, [1, 1], [0, 1]).fill_tensor(torch.zeros(1, 1, 2, 2))
    assert spikes.sum() == 2
    assert Event([0, 1], None, [0, 1], [0, 1]).fill_tensor(torch.zeros(1, 1, 2, 2)).sum() == 1


@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_fill_tensor_modes(make):
    event = Event([1, 1, 1, 5], [0, 0, 0, 0], [0, 0, 0, 0], [0.6, 1.0, 1.4, 1.0])
    spikes = make((1, 1, 2, 3))
    assert event.fill_tensor(spikes, binning_mode="or") is spikes
    assert float(spikes.sum()) == 1
    assert float(event.fill_tensor(make((1, 1, 2, 3)), binning_mode="SUM").sum()) == 3
    assert float(event.fill_tensor(make((1, 1, 2, 3)), sampling_time=2).max()) == 0.5
    graded = Event(event.x, event.y, event.c, event.t, [1.0, 2.0, 4.0, 8.0])
    assert float(graded.fill_tensor(make((1, 1, 2, 3)))[0, 0, 1, 1]) == 7


def test_fill_tensor_strided():
    event = Event([1, 0], [0, 1], [0, 1], [0, 2])
    plain = event.fill_tensor(torch.zeros(2, 2, 2, 3))
    strided = event.fill_tensor(torch.zeros(3, 2, 2, 2).movedim(0, -1))
    torch.testing.assert_close(plain, strided)


def test_halves_go_to_the_even_bin_and_nothing_falls_off_the_end():
    spikes = Event([0, 0, 0], None, [0, 0, 0], [0.5, 1.5, 2.5]).to_tensor()
    assert spikes.shape == (1, 1, 3)
    assert spikes[0, 0].tolist() == [1, 0, 1]


@given(st.integers(0, 30), st.integers(0, 8), st.integers(0, 1000))
def test_random_shift_drops_nothing_that_fits(first, length, seed):
    event = Event([0, 0], None, [0, 0], [first, first + length])
    spikes = event.fill_tensor(
        np.zeros((1, 1, 1, 10)), random_shift=True, binning_mode="SUM", rng=np.random.default_rng(seed)
    )
    assert spikes.sum() == 2


def test_random_shift_of_a_long_recording_takes_a_part_without_gaps():
    event = Event([0] * 30, None, [0] * 30, np.arange(5, 35))
    for seed in range(20):
        assert (
            event.fill_tensor(np.zeros((1, 1, 1, 10)), random_shift=True, rng=np.random.default_rng(seed)).sum() == 10
        )


def test_random_shift_follows_numpy_s_global_seed():
    event, found = Event([0], None, [0], [3]), []
    for _ in range(2):
        np.random.seed(7)  # noqa: NPY002
        found.append([event.fill_tensor(np.zeros((1, 1, 1, 99)), random_shift=True).argmax() for _ in range(5)])
    assert found[0] == found[1]
    assert len(set(found[0])) > 1


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda: torch.zeros(1).expand(2, 3, 3, 3), "an expanded one"),
        (lambda: torch.zeros(2, 3, 3, 1).expand(2, 3, 3, 3), "an expanded one"),
        (lambda: torch.zeros(2, 3, 5).unfold(-1, 3, 1), "an expanded one"),
        (lambda: np.lib.stride_tricks.as_strided(np.zeros(1), (2, 3, 3, 3), (0, 0, 0, 0)), "an expanded one"),
        (lambda: np.broadcast_to(np.zeros(3), (2, 3, 3, 3)), "a read-only array"),
        (lambda: torch.zeros(2, 3, 3, 3, requires_grad=True), "a leaf that requires grad"),
        (lambda: torch.zeros(2, 3, 9, requires_grad=True).view(2, 3, 3, 3), "a leaf that requires grad"),
    ],
)
def test_a_tensor_that_cannot_be_written_to_is_refused(make, got):
    event = Event([1, 2], [1, 2], [0, 1], [0, 1])
    with pytest.raises(ArgumentError, match=f"fill_tensor: empty_tensor cannot be written to; .* got {got}"):
        event.fill_tensor(make())


def test_tensors_that_can_be_written_to():
    event = Event([1, 2], [1, 2], [0, 1], [0, 1])
    with torch.inference_mode():
        made = torch.zeros(2, 3, 3, 3)
        assert event.fill_tensor(made).sum() == 2
    with pytest.raises(ArgumentError, match="inference mode"):
        event.fill_tensor(made)
    leaf = torch.zeros(2, 3, 3, 3, requires_grad=True)
    assert (event.fill_tensor(leaf * 1).sum(), leaf.sum()) == (2, 0)
    with torch.no_grad():
        assert event.fill_tensor(leaf).sum() == 2
    for part in (np.zeros((3, 4, 6, 9))[1:, 1:, ::-2, ::3], torch.zeros(3, 4, 6, 9)[1:, 1:, ::2, ::3]):
        assert event.fill_tensor(part).sum() == 2
    assert event.fill_tensor(np.zeros((2, 0, 3, 3))).size == 0
    assert event.fill_tensor(np.zeros(9, [("a", "i1"), ("b", "f4")])["b"].reshape(1, 1, 3, 3)[:, [0]]).shape[2] == 3
    records = np.zeros((2, 3, 3, 3), [("a", "i1"), ("b", "f4")])
    assert event.fill_tensor(records["b"]).sum() == records["b"].sum() == 2


@pytest.mark.parametrize("binning_mode", ["OR", "SUM"])
@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_tensors_of_integers(make, binning_mode):
    event, dtype = Event([1, 2], [1, 2], [0, 1], [0, 1]), (np if make is np.zeros else torch).int8
    assert event.fill_tensor(make((2, 3, 3, 3), dtype=dtype), 1, binning_mode=binning_mode).sum() == 2
    for narrow in (dtype, bool if make is np.zeros else torch.bool):
        with pytest.raises(
            ArgumentError, match=r"fill_tensor: \w+ does not hold .*; expected a dtype that does, got 0.5"
        ):
            event.fill_tensor(make((2, 3, 3, 3), dtype=narrow), 2.0, binning_mode=binning_mode)


@pytest.mark.parametrize("payload", [None, np.ones(127), np.ones(127, np.int8)])
@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_sums_that_integers_do_not_hold_are_refused(make, payload):
    spikes = make((1, 1, 1, 1), dtype=(np if make is np.zeros else torch).int8)
    event = Event([0] * 127, [0] * 127, [0] * 127, [0] * 127, payload)
    assert event.fill_tensor(spikes, binning_mode="SUM").item() == 127
    with pytest.raises(ArgumentError, match=r"int8 does not hold a bin's sum; .* got 254.* Give a tensor of floats"):
        event.fill_tensor(spikes, binning_mode="SUM")
    assert spikes.item() == 127
    empty = make((0, 1, 1, 1), dtype=spikes.dtype)
    assert event.fill_tensor(empty, binning_mode="SUM") is empty


@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_tensors_of_booleans_mark_the_bins(make):
    spikes = make((1, 1, 2, 1), dtype=bool if make is np.zeros else torch.bool)
    assert Event([1, 1], None, [0, 0], [0, 0]).fill_tensor(spikes).tolist() == [[[[False], [True]]]]
    with pytest.raises(ArgumentError, match=r"bool does not hold a bin's sum; .* got 3"):
        Event([1, 1], None, [0, 0], [0, 0]).fill_tensor(spikes, binning_mode="SUM")


def test_real_coordinates_that_a_caller_puts_in_are_rounded():
    event = Event([1, 2], [0, 0], [0, 0], [0, 1])
    event.x = event.x * 0.9
    assert event.fill_tensor(np.zeros((1, 1, 3, 2)))[0, 0].tolist() == [[0, 0], [1, 0], [0, 1]]


def test_empty_recording_works_everywhere():
    empty = Event([], [], [], [])
    assert (len(empty), empty.dim, empty.graded) == (0, 2, False)
    assert empty.to_tensor().shape == (1, 1, 1, 1)
    assert empty.to_tensor(dim=(2, 3, 4, 5)).sum() == 0
    assert empty.fill_tensor(torch.zeros(1, 1, 1, 4), random_shift=True).sum() == 0
    assert len(empty.sorted()) == len(empty[empty.t > 0]) == 0
    assert "empty" in repr(empty)
    assert len(tensor_to_event(np.zeros((1, 2, 3)))) == 0


def test_selection_and_order():
    event = Event([0, 1, 2], None, [0, 0, 0], [3, 1, 1], payload=[1, 2, 3])
    assert event.sorted().x.tolist() == [1, 2, 0]
    assert event[event.t == 1].p.tolist() == [2, 3]
    assert len(event[:2]) == 2


@pytest.mark.parametrize("index", [1, np.int8(1), np.array(1), torch.tensor(1), -2, [1], torch.tensor([1])])
def test_an_index_selects_one_event(index):
    one = Event([0, 1, 2], None, [0, 0, 1], [3, 1, 1], payload=[1, 2, 3])[index]
    assert (len(one), one.x.tolist(), one.t.tolist(), one.p.tolist()) == (1, [1], [1.0], [2])
    assert one.to_tensor().shape == (1, 2, 2)


def test_iteration_gives_each_event():
    event = Event([4, 5], [6, 7], [0, 1], [3, 1])
    assert [(one.x.item(), one.y.item(), one.t.item()) for one in event] == [(4, 6, 3.0), (5, 7, 1.0)]
    assert list(Event([], [], [], [])) == []


@pytest.mark.parametrize(
    "selection",
    [2, -3, 10**30, np.int64(2), [5], [-3], "a", None, True, 1.0, [0.5], [[0, 1]], np.ones((1, 2), bool), [True]]
    + [torch.tensor(True), torch.tensor(2), {"a"}, [[0], [0, 1]], (0, 1)],
    ids=repr,
)
def test_a_selection_that_does_not_fit_is_refused(selection):
    event = Event([0, 1], None, [0, 0], [0, 1])
    with pytest.raises(IndexError, match="Event: the selection does not fit; expected a slice, 2 booleans, or whole"):
        event[selection]


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ShapeError, r"different lengths; expected one length, got \[2, 1, 1\]", ([0, 1], None, [0], [0])),
        (ShapeError, r"x_event is not one-dimensional; expected \(E,\), got \(1, 2\)", ([[0, 1]], None, [0], [0])),
        (DtypeError, "t_event does not hold numbers", ([0], None, [0], ["a"])),
        (
            ArgumentError,
            "t_event is not finite; expected finite values, got 1 NaN or infinite",
            ([0], None, [0], [np.nan]),
        ),
        (ArgumentError, "x_event is not finite", ([np.inf], None, [0], [0])),
        (ArgumentError, r"x_event is too large; expected whole numbers of 32 bits", ([1e30], None, [0], [0])),
        (ArgumentError, r"y_event is too large; .* got 0 to 2147483648", ([0, 0], [0, 1 << 31], [0, 0], [0, 0])),
        (ArgumentError, r"c_event is too large", ([0], None, np.array([1 << 63], np.uint64), [0])),
        (ShapeError, r"x_event is not one-dimensional; expected \(E,\), got a ragged list", ([[0], [1, 2]], 0, 0, 0)),
    ],
)
def test_wrong_arrays(error, match, arguments):
    with pytest.raises(error, match=match):
        Event(*arguments)


def test_wrong_arguments():
    event = Event([0], [0], [0], [0])
    with pytest.raises(ArgumentError, match="binning_mode is unknown; expected one of 'OR', 'SUM', got 'AND'"):
        event.fill_tensor(np.zeros((1, 1, 1, 1)), binning_mode="AND")
    with pytest.raises(ArgumentError, match="sampling_time is out of range"):
        event.to_tensor(0)
    with pytest.raises(ShapeError, match=r"expected \(C, Y, X, T\), got \(1, 1, 1\)"):
        event.fill_tensor(np.zeros((1, 1, 1)))
    with pytest.raises(ShapeError, match="dim does not fit the events"):
        event.to_tensor(dim=(1, 1, 1))
    with pytest.raises(ShapeError, match=r"expected \(C, X, T\) or \(C, Y, X, T\), got \(2, 2\)"):
        tensor_to_event(np.zeros((2, 2)))
    with pytest.raises(DtypeError, match="spike_tensor is no tensor; expected numpy or torch, got list"):
        tensor_to_event([[[1]]])


def test_bfloat16_tensors():
    spikes = torch.zeros(1, 2, 3, dtype=torch.bfloat16)
    spikes[0, 1, 2] = 1
    assert tensor_to_event(spikes).x.tolist() == [1]


@pytest.mark.parametrize("late", [1e18, 1e300, -1e300])
def test_events_far_outside_of_a_tensor_are_left_out(late):
    event = Event([0, 1], None, [0, 0], [late, 2.0])
    assert event.fill_tensor(np.zeros((1, 1, 2, 4))).nonzero()[3].tolist() == [2]
    random = np.random.default_rng(0)
    assert event.fill_tensor(np.zeros((1, 1, 2, 4)), random_shift=True, rng=random).sum() <= 1  # a part of a long run
    assert event.to_tensor(dim=(1, 2, 4)).nonzero()[2].tolist() == [2]
    assert to_frames(event, (1, 2), 4).nonzero()[2].tolist() == [2]
    assert to_frames(event, (1, 2), 4, rounding="nearest").nonzero()[2].tolist() == [2]


def test_a_tensor_too_large_is_refused_with_a_word_on_the_unit():
    far = Event([2**31 - 1], [2**31 - 1], [0], [0])
    with pytest.raises(ArgumentError, match=r"Event.to_tensor: frames \(1, 2147483648, 2147483648, 1\) are too large"):
        far.to_tensor()
    with pytest.raises(ArgumentError, match=r"too large; .* longer sampling_time, and look at the unit of the times"):
        Event([50], [50], [1], [2.0**31 - 5]).to_tensor()
    with pytest.raises(ArgumentError, match="too large"):
        Event([0], None, [0], [0]).to_tensor(dim=(2**40, 2**40, 1))


@pytest.mark.parametrize("fill", [Event.to_tensor, lambda event: to_frames(event, (1, 1))])
def test_a_tensor_beyond_the_memory_is_refused(fill, monkeypatch):
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "zeros", full)
    with pytest.raises(ArgumentError, match=r"do not fit into the memory; expected less, got (7\.5|3\.7) GiB"):
        fill(Event([0], None, [0], [1e9]))


def test_a_tensor_of_too_many_steps_is_refused():
    event = Event([0, 1], None, [0, 0], [1e18, 2.0])
    for call in (event.to_tensor, lambda: to_frames(event, (1, 2))):
        with pytest.raises(ArgumentError, match="an event comes too late; expected at most 2147483647 steps"):
            call()
    with pytest.raises(ArgumentError, match=r"the times are too large; .* A longer time_unit"):
        to_structured(event, 1e-9)
