"""The integer runtime against the equations of the specification, written once more as loops over single neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from netx_layers import NEURON, conv, dense, entrance, flatten, weights

from slayerloss import netx
from slayerloss._check import ArgumentError, DtypeError, FormatError, ShapeError

LIMIT = 1 << 23


def toward_zero(x: int) -> int:
    return abs(x) // 4096 * (1 if x >= 0 else -1)


def lif_by_the_book(inputs: list[int], i_decay: int, v_decay: int, threshold: int, bias: int) -> list[tuple[int, ...]]:
    """(spike, u, v) of one neuron in plain Python integers."""
    u = v = 0
    record = []
    for a in inputs:
        u = toward_zero(u * (4096 - i_decay)) + a * 64
        if u > LIMIT:
            u -= 2 * LIMIT
        elif u <= -LIMIT:
            u += 2 * LIMIT
        v = max(min(toward_zero(v * (4096 - v_decay)) + u + bias * 64, LIMIT - 1), 1 - LIMIT)
        spike = v > threshold * 64
        v = 0 if spike else v
        record.append((int(spike), u, v))
    return record


@settings(deadline=None, max_examples=60)
@given(
    inputs=st.lists(st.integers(-(1 << 17), 1 << 17), min_size=1, max_size=12),
    i_decay=st.integers(0, 4096),
    v_decay=st.integers(0, 4096),
    threshold=st.integers(0, 1 << 17),
    bias=st.integers(-(1 << 15), (1 << 15) - 1),
)
def test_neuron_wraps_u_saturates_v_and_truncates_toward_zero(
    inputs: list[int], i_decay: int, v_decay: int, threshold: int, bias: int
) -> None:
    neuron = {"iDecay": i_decay, "vDecay": v_decay, "vThMant": threshold}
    layer = dense([[1]], neuron, bias=np.array([bias], np.float32))
    network = netx.Network(netx.describe([layer]), input_message_bits=24)
    recording = network.run(np.array([[*inputs, 0]]), states=True)
    states = recording.states[0]
    found = list(zip(recording.output[0].tolist(), states["u"][0].tolist(), states["v"][0].tolist(), strict=True))
    assert found == lif_by_the_book([0, *inputs], i_decay, v_decay, threshold, bias)


def silent(weight: np.ndarray, **fields: Any) -> dict[str, Any]:
    """A layer whose u / 64 is its input: no decay of its own, no spikes."""
    return dense(weight, {"iDecay": 4096, "vDecay": 4096, "vThMant": (1 << 17) - 1}, **fields)


def inputs_of(layer: dict[str, Any], x: np.ndarray, **options: Any) -> np.ndarray:
    return netx.Network(netx.describe([layer]), **options).run(x, states=True).states[0]["u"] // 64


@pytest.mark.parametrize("kind", ["none", "one", "out", "in", "out x in"])
def test_delays_move_each_synapse(kind: str) -> None:
    rng = np.random.default_rng(0)
    weight = weights(rng, 5, 7)
    delay = {
        "none": None,
        "one": np.float32(3),
        "out": rng.integers(0, 63, 5),
        "in": rng.integers(0, 9, 7),
        "out x in": rng.integers(0, 9, (5, 7)),
    }[kind]
    x = rng.random((7, 70)) < 0.3
    layer = silent(weight) if delay is None else silent(weight, delay=delay)
    if delay is None:
        steps = np.zeros((5, 7), int)
    else:
        steps = np.broadcast_to(delay[:, None] if kind == "out" else delay, (5, 7)).astype(int)
    expected = np.zeros((5, 70))
    for i in range(5):
        for j in range(7):
            wait = 1 + steps[i, j]
            expected[i, wait:] += weight[i, j] * x[j, : 70 - wait]
    np.testing.assert_array_equal(inputs_of(layer, x), expected)


def test_a_recording_prints_as_one_line() -> None:
    spikes = [np.ones((1, 2, 3), np.int8), np.zeros((1, 4, 3), np.int8)]
    assert (
        repr(netx.Recording(spikes[-1], spikes, netx.State(3, [])))
        == "Recording(output (1, 4, 3), spikes of each layer: 6, 0)"
    )


def test_a_network_prints_as_one_line_and_as_a_table() -> None:
    network = netx.Network(netx.describe([dense([[2, 4, 6]])]))
    assert repr(network) == "Network('network', input (3,), layers [(1,)])"
    assert str(network).splitlines()[1].split()[:2] == ["layer/0", "dense"]


def test_delay_of_a_square_layer_belongs_to_the_neurons() -> None:
    layer = silent(np.array([[2, 4], [6, 8]]), delay=np.array([0, 2]))
    x = np.array([[1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(inputs_of(layer, x), [[0, 2, 0, 0], [0, 0, 0, 6]])


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [
        ((1, 1), (0, 0), (1, 1), 1),
        ((2, 1), (1, 2), (1, 1), 1),
        ((3, 2), (0, 1), (1, 2), 2),
        ((1, 3), (2, 0), (2, 1), 4),
    ],
)
def test_convolution_is_a_correlation(stride: Any, padding: Any, dilation: Any, groups: int) -> None:
    rng = np.random.default_rng(1)
    weight = weights(rng, 8, 4 // groups, 3, 2)
    x = rng.random((4, 9, 10, 3)) < 0.3
    neuron = {"iDecay": 4096, "vDecay": 4096, "vThMant": (1 << 17) - 1}
    layer = conv(weight, (9, 10), stride, padding, dilation, groups, neuron)
    image = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    expected = np.zeros((*layer["shape"], 3))
    for o, row, column in np.ndindex(*layer["shape"]):
        group = o // (8 // groups)
        for c, h, w in np.ndindex(*weight.shape[1:]):
            pixel = image[
                group * (4 // groups) + c, row * stride[0] + h * dilation[0], column * stride[1] + w * dilation[1]
            ]
            expected[o, row, column, 1:] += weight[o, c, h, w] * pixel[:-1]
    np.testing.assert_array_equal(inputs_of(layer, x, input_shape=(10, 9, 4)), expected)


def test_convolution_wraps_at_24_bits_and_dense_does_not() -> None:
    x = np.array([[1 << 17, 0]])
    big = np.full((1, 1), 100)
    # u = 64 a wraps as well, in 32 bits and then once by 2^24, so let a be read from a small remainder
    a = (100 << 17) - (1 << 24)
    layer = conv(big.reshape(1, 1, 1, 1), (1, 1), neuron={"iDecay": 4096})
    network = netx.Network(netx.describe([layer]), input_shape=(1, 1, 1), input_message_bits=24)
    u = network.run(x[:, None, None], states=True).states[0]["u"]
    wrapped = (a + LIMIT) % (2 * LIMIT) - LIMIT
    assert u[0, 0, 0, 1] == lif_by_the_book([wrapped], 4096, 0, 0, 0)[0][1]
    network = netx.Network(netx.describe([silent(big)]), input_message_bits=24)
    as_int32 = ((100 << 17) * 64 + (1 << 31)) % (1 << 32) - (1 << 31)
    once = as_int32 - 2 * LIMIT if as_int32 > LIMIT else as_int32 + 2 * LIMIT if as_int32 <= -LIMIT else as_int32
    assert network.run(x, states=True).states[0]["u"][0, 1] == once


def test_recurrent_layer_hears_itself_one_step_later() -> None:
    neuron = {"iDecay": 4096, "vDecay": 4096, "vThMant": 10}
    layer = {**dense([[12], [2]], neuron), "type": "dense_rec", "weight_rec": [[0, 4], [20, 0]]}
    x = np.array([[1, 0, 0, 0, 0, 0]])
    # 12 > 10 at step 2; its 20 reaches neuron 1 at step 3, whose 4 is not enough
    np.testing.assert_array_equal(
        netx.Network(netx.describe([layer])).run(x).output, [[0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]]
    )


def test_bias_wraps_to_16_bits() -> None:
    layer = dense([[1]], {"vDecay": 4096}, bias=np.float32(40000))
    v = netx.Network(netx.describe([layer])).run(np.zeros((1, 2)), states=True).states[0]["v"]
    np.testing.assert_array_equal(v, [[-25536 * 64] * 2])


def test_full_bias_is_in_lavas_order() -> None:
    bias = np.arange(2 * 3 * 4).reshape(4, 3, 2)  # (W, H, C)
    layer = conv(np.ones((2, 1, 1, 1)), (3, 4), neuron={"vDecay": 4096}, bias=bias)
    v = netx.Network(netx.describe([entrance(1, 3, 4), layer])).run(np.zeros((1, 3, 4, 1)), states=True).states[0]["v"]
    np.testing.assert_array_equal(v[..., 0], bias.transpose(2, 1, 0) * 64)


@pytest.fixture
def mixed() -> tuple[netx.Description, np.ndarray]:
    rng = np.random.default_rng(2)
    first = conv(weights(rng, 4, 2, 3, 3), (6, 7), bias=weights(rng, 4))
    layers = [entrance(2, 6, 7), first, flatten(first), dense(weights(rng, 6, 80), delay=rng.integers(0, 5, 6))]
    layers += [{**dense(weights(rng, 5, 6)), "type": "dense_rec", "weight_rec": weights(rng, 5, 5)}]
    return netx.describe(layers), rng.random((9, 2, 6, 7, 25)) < 0.2


def assert_same(a: netx.Recording, b: netx.Recording, index: Any = ...) -> None:
    for i, (left, right) in enumerate(zip(a.spikes, b.spikes, strict=True)):
        np.testing.assert_array_equal(left, right[index])
        for name in "uv":
            np.testing.assert_array_equal(a.states[i][name], b.states[i][name][index])


def test_batch_equals_its_samples_in_every_chunk(mixed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = netx.Network(mixed[0]), mixed[1]
    whole = network.run(x, states=True)
    assert [s.shape for s in whole.spikes] == [(9, 4, 4, 5, 25), (9, 6, 25), (9, 5, 25)]
    assert all(spikes.any() for spikes in whole.spikes)
    for i, sample in enumerate(x):
        assert_same(network.run(sample, states=True), whole, i)
    monkeypatch.setattr("slayerloss.netx.run._CHUNK_BYTES", 1)
    monkeypatch.setattr("slayerloss.netx.runtime.synapse._CHUNK", 1000)
    assert_same(network.run(x, states=True), whole)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float32, np.float64])
def test_any_dtype_and_any_strides(mixed: Any, dtype: type) -> None:
    network, x = netx.Network(mixed[0]), mixed[1]
    strided = np.asfortranarray(x.astype(dtype))[::-1][::-1]
    assert_same(network.run(strided, states=True), network.run(x, states=True))


def test_torch_tensors_run(mixed: Any) -> None:
    torch = pytest.importorskip("torch")
    network, x = netx.Network(mixed[0]), mixed[1]
    tensor = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    assert_same(network.run(tensor, states=True), network.run(x, states=True))


def test_binary_input_and_graded_input() -> None:
    layer = silent(np.array([[2, 4]]))
    x = np.array([[5, 0, 0], [0, -3, 0]])
    np.testing.assert_array_equal(inputs_of(layer, x), [[0, 2, 4]])
    np.testing.assert_array_equal(inputs_of(layer, x, input_message_bits=8), [[0, 10, -12]])


def test_images_enter_a_dense_layer_in_the_order_c_h_w() -> None:
    rng = np.random.default_rng(3)
    network = netx.Network(netx.describe([dense(weights(rng, 4, 24))]))
    x = rng.random((5, 2, 3, 4, 8)) < 0.3
    expected = network.run(x.reshape(5, 24, 8), states=True)
    assert_same(network.run(x, states=True), expected)
    assert_same(network.run(x[1], states=True), expected, 1)


def test_time_shift_of_the_input_shifts_the_output() -> None:
    rng = np.random.default_rng(4)
    network = netx.Network(netx.describe([dense(weights(rng, 6, 8)), dense(weights(rng, 4, 6))]))
    x = np.pad(rng.random((3, 8, 30)) < 0.3, ((0, 0), (0, 0), (0, 5)))
    shifted = network.run(np.roll(x, 5, -1))
    np.testing.assert_array_equal(shifted.output[..., 5:], network.run(x).output[..., :-5])


def test_reset_starts_layer_i_anew_at_its_own_steps() -> None:
    neuron = {"iDecay": 0, "vDecay": 4096, "vThMant": (1 << 17) - 1}
    layer = {"type": "input", "shape": [1], "neuron": {**NEURON, **neuron}}
    u = netx.Network(netx.describe([layer]), reset_interval=3).run(np.ones((1, 8)), states=True).states[0]["u"]
    np.testing.assert_array_equal(u[0] // 64, [1, 2, 3, 1, 2, 3, 1, 2])  # before steps 1, 4, 7
    u = netx.Network(netx.describe([layer]), reset_interval=3, reset_offset=1).run(np.ones((1, 8)), states=True)
    np.testing.assert_array_equal(u.states[0]["u"][0] // 64, [1, 1, 2, 3, 1, 2, 3, 1])  # before steps 2, 5, 8
    two = [dense([[1]], {"vThMant": 0, "iDecay": 4096, "vDecay": 4096}), dense([[1]], neuron)]
    u = netx.Network(netx.describe(two), reset_interval=4).run(np.ones((1, 10)), states=True).states[1]["u"]
    np.testing.assert_array_equal(u[0] // 64, [0, 0, 1, 2, 3, 1, 2, 3, 4, 1])  # the second layer: before steps 2, 6, 10


def test_layers_can_be_left_out(mixed: Any) -> None:
    description, x = mixed
    whole = netx.Network(description).run(x)
    head = netx.Network(description, num_layers=2)
    assert (len(head), head.layer_indices, head.shapes) == (1, [1], [(4, 4, 5)])
    np.testing.assert_array_equal(head.run(x).output, whole.spikes[0])
    tail = netx.Network(description, skip_layers=2, input_message_bits=8)
    assert tail.input_shape == (80,)
    np.testing.assert_array_equal(tail.run(whole.spikes[0]).output, whole.output)


def test_dense_layer_without_neuron_is_a_readout() -> None:
    layer = dense([[4], [-6]])
    del layer["neuron"]
    recording = netx.Network(netx.describe([layer])).run(np.ones((1, 4)), states=True)
    np.testing.assert_array_equal(recording.states[0]["v"], np.outer([4 * 64, -6 * 64], [0, 1, 2, 3]))
    assert not recording.output.any()


def test_input_layer_takes_its_input_in_the_same_step() -> None:
    layer = {"type": "input", "shape": [1], "weight": 32, "bias": 8, "neuron": {**NEURON, "iDecay": 4096}}
    network = netx.Network(netx.describe([layer]))
    x = network.encode([[0.5, 1.0, -1.0]])
    np.testing.assert_array_equal(x, [[24, 40, -24]])
    np.testing.assert_array_equal(network.run(x, states=True).states[0]["u"], x * 64)


def test_old_files_hold_weights_in_one_row_and_in_five_dimensions() -> None:
    rng = np.random.default_rng(5)
    matrix, kernel = weights(rng, 3, 4), weights(rng, 2, 1, 2, 2)
    row = {**dense(matrix), "weight": matrix.reshape(-1), "shape": [3, 1, 1]}
    x = rng.random((4, 20)) < 0.4
    assert_same(
        netx.Network(netx.describe([row])).run(x, states=True),
        netx.Network(netx.describe([dense(matrix)])).run(x, states=True),
    )
    image = rng.random((1, 3, 3, 20)) < 0.4
    five = {**conv(kernel, (3, 3)), "weight": kernel[..., None]}
    assert_same(
        netx.Network(netx.describe([five]), input_shape=(3, 3, 1)).run(image, states=True),
        netx.Network(netx.describe([conv(kernel, (3, 3))]), input_shape=(3, 3, 1)).run(image, states=True),
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.uint8, torch.bool])
def test_tensors_of_any_dtype_run(dtype: torch.dtype) -> None:
    network = netx.Network(netx.describe([dense([[100, 40]])]))
    x = np.random.default_rng(0).random((2, 20)) < 0.5
    assert_same(network.run(torch.tensor(x, dtype=dtype), states=True), network.run(x, states=True))


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (np.zeros((3, 10)), ShapeError, r"expected \(N, 2, T\)"),
        (np.zeros((2, 0)), ShapeError, "x is empty"),
        (np.zeros(2), ShapeError, "does not fit"),
        ([[1, 0], [1]], ShapeError, "x is ragged; expected rows of one length"),
        (np.full((2, 3), 0.5), ArgumentError, "has fractions, infinity or NaN"),
        (np.full((2, 3), np.nan), ArgumentError, "has fractions, infinity or NaN"),
        (np.full((2, 3), np.inf, np.float16), ArgumentError, "has fractions, infinity or NaN"),
        (np.full((2, 3), 1 << 40), ArgumentError, "too large"),
        (np.zeros((2, 3), complex), DtypeError, "does not hold numbers"),
        (np.array([["a", "b"]]), DtypeError, "does not hold numbers"),
    ],
)
def test_bad_input_is_refused(x: np.ndarray, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        netx.Network(netx.describe([dense([[2, 4]])])).run(x)


def test_arguments_of_lava_dl_without_a_meaning_here_change_nothing(mixed: Any) -> None:
    description, x = mixed[0], mixed[1]
    expected = netx.Network(description).run(x).output
    assert expected.any()
    network = netx.Network(description, None, 0, 0, None, None, 0, 4, True)
    np.testing.assert_array_equal(network.run(x).output, expected)


def test_bad_arguments_are_refused() -> None:
    description = netx.describe([conv(np.ones((1, 1, 2, 2)), (3, 3))])
    with pytest.raises(ArgumentError, match=r"does not say its input's shape.*input_shape=\(W, H, C\)"):
        netx.Network(description)
    with pytest.raises(ArgumentError, match="input_shape does not fit"):
        netx.Network(description, input_shape=(5, 3, 1))
    with pytest.raises(ArgumentError, match="no layer is left"):
        netx.Network(description, skip_layers=1)
    for option in ({"num_layers": 0}, {"reset_interval": 0}, {"skip_layers": -1}, {"input_message_bits": -1}):
        with pytest.raises(ArgumentError, match=next(iter(option))):
            netx.Network(description, **option)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([dense([[0, 0]])], "all weights are zero"),
        ([dense([[2, 4]]), dense([[2, 4]])], "2 inputs, and 1 come from the layer before"),
        ([{"type": "average", "shape": [1, 2, 2]}], "'average'; Lava cannot load it"),
        ([{"type": "mystery", "shape": [1]}], "'mystery'; Lava cannot load a file that begins with it"),
        ([entrance(1, 4, 4), conv(np.ones((1, 1, 2, 2)), (5, 5))], r"the input makes \(1, 3, 3\)"),
    ],
)
def test_what_lava_cannot_load_is_refused(layers: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(FormatError, match=text):
        netx.Network(netx.describe(layers, source="file.net"))
