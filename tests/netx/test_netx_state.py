"""A network that goes on from a state, and one that runs step by step, do what one run does."""

from __future__ import annotations

import copy
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from netx_layers import conv, dense, entrance, flatten, weights
from random_networks import random_network

from slayerloss import netx
from slayerloss._check import ArgumentError, DtypeError, ShapeError
from slayerloss.netx.runtime import cores

SEEDS = st.integers(0, 100_000)


def network_and_input(seed: int) -> tuple[netx.Network, np.ndarray]:
    case = random_network(seed)
    return netx.Network(netx.describe(case.layers), **case.options), case.x


def assert_same(recording: netx.Recording, *parts: netx.Recording) -> None:
    """That the parts one after the other are the recording, states included where they were recorded."""
    for i, spikes in enumerate(recording.spikes):
        np.testing.assert_array_equal(spikes, np.concatenate([part.spikes[i] for part in parts], -1))
        for name in recording.states[i] if recording.states else ():
            together = np.concatenate([part.states[i][name] for part in parts], -1)
            np.testing.assert_array_equal(recording.states[i][name], together, err_msg=f"{name} of layer {i}")
    assert_same_state(recording.state, parts[-1].state)


def assert_same_state(one: netx.State, other: netx.State) -> None:
    assert one.step == other.step
    for own, its in zip(one.layers, other.layers, strict=True):
        assert own.keys() == its.keys()
        for name, values in own.items():
            np.testing.assert_array_equal(values, its[name])


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, cut=st.floats(0.05, 0.95))
@example(seed=1405, cut=0.25)  # where sums on their way are -2^31
def test_run_then_run_is_one_run(seed: int, cut: float) -> None:
    network, x = network_and_input(seed)
    assume(x.shape[-1] > 1)
    steps = min(max(round(cut * x.shape[-1]), 1), x.shape[-1] - 1)
    first = network.run(x[..., :steps], states=True)
    kept = copy.deepcopy(first.state)
    second = network.run(x[..., steps:], states=True, state=first.state)
    assert_same(network.run(x, states=True), first, second)
    assert_same_state(first.state, kept)  # it is not changed


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_step_by_step_is_one_run(seed: int) -> None:
    network, x = network_and_input(seed)
    recording = network.run(x, states=True)
    for t in range(x.shape[-1]):
        np.testing.assert_array_equal(network.step(x[..., t]), recording.output[..., t])
        for i, states in enumerate(recording.states):
            for name, values in states.items():
                np.testing.assert_array_equal(network.state.layers[i][name], values[..., t])
    assert_same_state(network.state, recording.state)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, num_samples=st.integers(1, 5))
def test_a_batch_is_its_samples(seed: int, num_samples: int) -> None:
    network, x = network_and_input(seed)
    rng = np.random.default_rng(seed)
    batch = np.stack([rng.permuted(x, axis=-1) for _ in range(num_samples)])
    together = network.run(batch, states=True)
    for n, sample in enumerate(batch):
        alone = network.run(sample, states=True)
        for i, spikes in enumerate(alone.spikes):
            np.testing.assert_array_equal(together.spikes[i][n], spikes)
            for name, values in alone.states[i].items():
                np.testing.assert_array_equal(together.states[i][name][n], values)


def small(**options: Any) -> netx.Network:
    """Images, a convolution, delays and a recurrent layer."""
    rng = np.random.default_rng(3)
    first = conv(weights(rng, 3, 2, 3, 3), (5, 6), padding=(1, 0))
    second = dense(weights(rng, 6, 60), delay=rng.integers(0, 5, 6))
    third = {**dense(weights(rng, 4, 6)), "type": "dense_rec", "weight_rec": weights(rng, 4, 4)}
    return netx.Network(netx.describe([entrance(2, 5, 6), first, flatten(first), second, third]), **options)


def images(*lead: int, steps: int = 12) -> np.ndarray:
    return np.random.default_rng(5).random((*lead, 2, 5, 6, steps)) < 0.4


@pytest.mark.parametrize("chunk", [1, 700, 1 << 23])
@pytest.mark.parametrize("num_cores", [1, 3])
def test_chunks_and_cores_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int, num_cores: int) -> None:
    network, x = small(reset_interval=5), images(7)
    expected = network.run(x, states=True)
    monkeypatch.setattr("slayerloss.netx.run._CHUNK_BYTES", chunk)
    monkeypatch.setattr(cores, "count", lambda: num_cores)
    assert_same(expected, network.run(x, states=True))


def test_it_runs_without_threadpoolctl(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small(), images(3, steps=40)
    expected = network.run(x)
    monkeypatch.setattr(cores, "_controller", lambda: None)
    assert_same(expected, network.run(x))


def test_runs_at_once_leave_numpy_as_it_was() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    network, x, before = small(), images(40, steps=60), threads()
    expected = network.run(x)
    with ThreadPoolExecutor(3) as pool:
        for recording in pool.map(network.run, [x] * 9):
            assert_same(expected, recording)
    assert threads() == before


def test_products_that_wrap_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    layer = dense(weights(rng, 256, 256), delay=rng.integers(0, 3, (256, 256)))
    network = netx.Network(netx.describe([layer]), input_message_bits=32)
    x = rng.integers(-(10**6), 10**6, (256, 40))
    tracemalloc.start()
    network.run(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


def test_a_state_can_be_set_between_steps() -> None:
    network, x = small(), images()
    for t in range(5):
        network.step(x[..., t])
    state = network.state
    state.layers[0]["v"][...] = 1 << 20
    assert network.state.layers[0]["v"].max() < 1 << 20  # that was a copy
    network.state = state
    np.testing.assert_array_equal(network.state.layers[0]["v"], np.full((3, 5, 4), 1 << 20))
    network.step(x[..., 5])
    spiked = network.state
    assert not spiked.layers[0]["v"].any()  # all of them spiked, and were set back
    assert spiked.step == 6


def test_a_state_moves_from_run_to_step_and_back() -> None:
    network, x = small(), images(2)
    whole = network.run(x)
    network.state = network.run(x[..., :4]).state
    outputs = [network.step(x[..., t]) for t in range(4, 9)]
    rest = network.run(x[..., 9:], state=network.state)
    np.testing.assert_array_equal(np.stack(outputs, -1), whole.output[..., 4:9])
    np.testing.assert_array_equal(rest.output, whole.output[..., 9:])


def test_a_kept_state_takes_back_what_came_after() -> None:
    network, x = small(), images(steps=20)
    whole = network.run(x)
    for t in range(8):
        network.step(x[..., t])
    kept = network.state
    ahead = [network.step(x[..., t]) for t in range(19, 11, -1)]
    assert kept.step == 8
    network.state = kept
    again = [network.step(x[..., t]) for t in range(8, 20)]
    np.testing.assert_array_equal(np.stack(again, -1), whole.output[..., 8:])
    assert len(ahead) == 8


def test_reset_begins_again() -> None:
    network, x = small(), images()
    first = [network.step(x[..., t]) for t in range(8)]
    network.reset()
    assert network.state is None
    np.testing.assert_array_equal(first, [network.step(x[..., t]) for t in range(8)])
    network.state = None
    assert network.state is None


def test_resets_are_counted_from_the_first_step_of_all() -> None:
    network, x = small(reset_interval=5, reset_offset=2), images(steps=30)
    whole = network.run(x, states=True)
    parts, state = [], None
    for start in range(0, 30, 7):
        parts.append(network.run(x[..., start : start + 7], states=True, state=state))
        state = parts[-1].state
    assert_same(whole, *parts)
    assert state.step == 30


def test_a_state_prints_its_names() -> None:
    text = repr(small().run(images()).state)
    assert text == "State(after step 12, layers: u/v/pending, u/v/pending, u/v/pending)"


def test_states_that_do_not_fit_are_refused() -> None:
    network, x = small(), images(2)
    state = network.run(x).state
    with pytest.raises(DtypeError, match="state"):
        network.run(x, state="last")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"state.layers\[0\]\['u'\].*\(3, 3, 5, 4\).*\(2, 3, 5, 4\)"):
        network.run(images(3), state=state)
    with pytest.raises(ShapeError, match="another network; expected 3 layers, got 2"):
        network.run(x, state=netx.State(0, state.layers[:2]))
    with pytest.raises(ShapeError, match=r"state.layers\[1\] is of another layer"):
        network.run(x, state=netx.State(0, [state.layers[0], {"u": state.layers[1]["u"]}, state.layers[2]]))
    fractions = copy.deepcopy(state)
    fractions.layers[2]["v"] = fractions.layers[2]["v"] / 2
    with pytest.raises(DtypeError, match=r"state.layers\[2\]\['v'\].*integers.*float64"):
        network.run(x, state=fractions)


def test_states_beyond_32_bits_are_refused() -> None:
    network, x = small(), images()
    state = network.run(x).state
    state.layers[0]["v"] = state.layers[0]["v"].astype(np.int64) + (1 << 40)
    with pytest.raises(ArgumentError, match=r"state.layers\[0\]\['v'\] does not fit into 32 bits"):
        network.run(x, state=state)


def test_an_empty_input_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"Network\.run: x is empty; expected at least one sample and one step"):
        small().run(images()[..., :0])


def test_step_speaks_of_the_shape_that_it_was_given() -> None:
    with pytest.raises(ShapeError, match=r"Network.step: .* expected \(N, 2, 5, 6\), or without N, got \(5, 6\)\."):
        small().step(np.zeros((5, 6)))


def test_another_number_of_samples_needs_a_reset() -> None:
    network = small()
    network.step(images(2)[..., 0])
    with pytest.raises(ShapeError, match=r"2 samples, got \(3, 2, 5, 6\). Call reset\(\) first"):
        network.step(images(3)[..., 0])
    network.reset()
    assert network.step(images()[..., 0]).shape == (4,)
    with pytest.raises(ShapeError, match="one sample without N"):
        network.step(images(1)[..., 0])
