"""What goes into a block: shapes, memory orders, dtypes, autocast, torch.compile, padded batches; what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from block_zoo import CHANNELS, COMPILES, NEURON, NORM, READOUTS, ZOO, events, make

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.block import cuba
from slayerloss.neuron import Dropout
from slayerloss.neuron.norm import MeanOnlyBatchNorm

ALL = pytest.mark.parametrize("name", [*ZOO, *READOUTS])
SHAPES = {"conv with everything": (4, 3, 5), "conv": (4, 6, 6), "pool": (2, 3, 3), "pool, overlapping": (2, 3, 3)}
SHAPES |= {"transposed conv": (3, 12, 12), "transposed conv with everything": (4, 11, 7), "unpool": (2, 12, 12)}
SHAPES |= {"input": CHANNELS, "input of images": (2, 6, 6), "conv of ADRF": (4, 4, 4)}


@ALL
def test_shapes(name):
    block, x = make(name), events(name)
    y = block(x)
    assert y.shape == (2, *SHAPES.get(name, (5,)), 24)
    assert block.shape == y.shape[1:-1]
    assert block(x[:1, ..., :1]).shape == (1, *SHAPES.get(name, (5,)), 1)


@ALL
def test_memory_order_does_not_matter(name):
    block, x = make(name), events(name)
    expected = block(x)
    for strided in (
        x.movedim(-1, 0).contiguous().movedim(0, -1),
        x.transpose(0, 1).contiguous().transpose(0, 1),
        torch.stack([x, 1 - x], -1)[..., 0],
        x[:1].expand(2, *x.shape[1:]),
    ):
        assert torch.equal(block(strided), expected if strided.stride(0) else block(strided.contiguous()))


@pytest.mark.slow
@COMPILES
@ALL
def test_compiled_blocks_answer_the_same(name):
    torch.compiler.reset()
    block, x = make(name), events(name)
    learned = [parameter for parameter in block.parameters() if parameter.requires_grad]
    expected = block(x)
    wanted = torch.autograd.grad(expected.square().sum(), learned, allow_unused=True)
    y = torch.compile(block, backend="aot_eager", fullgraph=True)(x)
    assert torch.equal(y, expected)
    for grad, want in zip(torch.autograd.grad(y.square().sum(), learned, allow_unused=True), wanted, strict=True):
        assert (grad is None) == (want is None)
        if want is not None:
            torch.testing.assert_close(grad, want)


@COMPILES
@ALL
def test_every_block_compiles_into_one_graph(name):
    torch.compiler.reset()
    block, x = make(name), events(name)
    assert torch.equal(torch.compile(block, backend="eager", fullgraph=True)(x), block(x))


@COMPILES
@pytest.mark.parametrize("options", [{"count_log": True}, {"delay_shift": False}, {"delay_shift": "lava-dl"}], ids=str)
def test_options_of_a_block_compile_into_one_graph(options):
    torch.compiler.reset()
    block, x = make("dense with delay", NORM, **options).eval(), events("dense")
    lengths, compiled = torch.tensor([5, 24]), torch.compile(block, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, lengths), block(x, lengths), rtol=0, atol=0)


@pytest.mark.parametrize("build", [cuba.Flatten, lambda: cuba.Average(2), cuba.Input])
def test_what_has_no_neurons_compiles_into_one_graph(build):
    torch.compiler.reset()
    block, x = build(), events("conv")
    assert torch.equal(torch.compile(block, backend="eager", fullgraph=True)(x), block(x))


@COMPILES
def test_a_block_with_delays_compiles_into_one_graph():
    torch.compiler.reset()
    block = cuba.Dense({"threshold": 1, "current_decay": 0.3, "voltage_decay": 0.2}, 4, 3, weight_scale=4, delay=True)
    block.delay.delay.data = torch.tensor([0.0, 1.7, 5.0])
    x = torch.rand(2, 4, 20).gt(0.5).float()
    expected, expected_state = block.run(x)
    y, state = torch.compile(block.run, backend="aot_eager", fullgraph=True)(x)
    assert expected.any()
    assert torch.equal(y, expected)
    assert torch.equal(state.history, expected_state.history)
    wanted, grad = (torch.autograd.grad(s.square().sum(), block.delay.delay)[0] for s in (expected, y))
    torch.testing.assert_close(grad, wanted)


@pytest.mark.parametrize("name", ZOO)
def test_count_log_returns_spikes_and_their_rate(name):
    plain, block = make(name), make(name, count_log=True)
    x = events(name)
    expected = plain(x)
    block.load_state_dict(plain.state_dict())
    spikes, rate = block(x)
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(rate, (spikes > 0).float().mean())
    _, rate = block(x, lengths=torch.tensor([10, 24]))
    counted = torch.cat([spikes[0, ..., :10].flatten(), spikes[1].flatten()])
    torch.testing.assert_close(rate, (counted > 0).float().mean())


@pytest.mark.parametrize("name", READOUTS)
def test_readouts_and_shapers_log_none(name):
    assert make(name, count_log=True)(events(name))[1] is None
    assert cuba.Flatten(count_log=True)(events("conv"))[1] is None
    assert cuba.Average(2, count_log=True)(events("conv"))[1] is None


@pytest.mark.parametrize("name", ["dense", "dense with delay", "conv", "recurrent"])
@pytest.mark.parametrize("training", [True, False])
def test_a_padded_batch_with_norm_is_its_samples(name, training):
    """The mean counts each sample's own steps, so padding changes nothing before it."""
    block, x = make(name, NORM), events(name, samples=3)
    block(x)
    block.train(training)
    lengths = torch.tensor([5, 24, 17])
    other = x.clone()
    for sample, length in zip(other, lengths, strict=True):
        sample[..., length:] = 0
    first, second = block(x, lengths), block(other, lengths)
    for i, length in enumerate(lengths):
        assert torch.equal(first[i, ..., :length], second[i, ..., :length])
    if not training:
        for i, length in enumerate(lengths):
            assert torch.equal(block(x[i : i + 1, ..., :length])[0], first[i, ..., :length])


def test_flatten():
    x = torch.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6).float()
    flatten = cuba.Flatten()
    assert torch.equal(flatten(x), x.reshape(2, 60, 6))
    assert flatten.shape == (60, 1, 1)
    assert torch.equal(flatten(x[:, :, 0, 0]), x[:, :, 0, 0])
    dense, image = cuba.Dense(NEURON, (5, 4, 3), 7), (x % 3 == 0).float()
    flat = cuba.Dense(NEURON, 60, 7)
    flat.synapse.weight.data = dense.synapse.weight.data.reshape(7, 60, 1, 1, 1)
    assert torch.equal(flat(flatten(image)), dense(image))


def test_average():
    x = torch.rand(2, 6, 5)
    assert torch.equal(cuba.Average(3)(x), torch.stack([x[:, 2 * i : 2 * i + 2].mean(1) for i in range(3)], 1))
    with pytest.raises(ShapeError, match=r"Average: the groups would not be equal; expected a multiple of 4 neurons"):
        cuba.Average(4)(x)


def test_input_quantises_what_comes_in():
    block = cuba.Input({**NEURON, "threshold": 100}, weight=0.51, bias=0.26)
    z = block.drive(torch.tensor([[[0.2, 0.04, 5.0, -5.0]]]))
    grid = torch.tensor([0.1875, 0.03125, 3.96875, -4.0])  # even 64ths in [-4, 254/64]
    exact = grid * 0.5 + 0.25
    assert torch.equal(z[0, 0], torch.trunc(exact * 64) / 64)  # the chip's input takes whole numbers
    z[0, 0, 1].backward()
    assert block.weight.grad == grid[1]
    old = cuba.Input({**NEURON, "threshold": 100}, weight=0.51, bias=0.26, delay_shift="lava-dl")
    assert torch.equal(old.drive(torch.tensor([[[0.2, 0.04, 5.0, -5.0]]]))[0, 0], exact)
    assert torch.equal(cuba.Input()(events("dense")), events("dense"))


def test_the_step_between_layers_sits_at_the_input():
    x = torch.zeros(1, 1, 6)
    x[..., 2] = 1
    for shift, step in ((True, 3), (False, 2), ("lava-dl", 3)):
        block = cuba.Dense(NEURON, 1, 1, delay_shift=shift)
        block.synapse.weight.data.fill_(2)
        assert block(x).squeeze().nonzero().ravel().tolist()[0] == step
        entrance = cuba.Input({**NEURON, "threshold": 0.5}, delay_shift=shift)
        assert entrance(x).squeeze().nonzero().ravel().tolist()[0] == (3 if shift == "lava-dl" else 2)


def test_with_a_bias_the_place_of_the_step_matters():
    """On the chip a bias works from the first step on, while the first spikes arrive one later."""
    chip, old = make("dense", NORM).eval(), make("dense", NORM, delay_shift="lava-dl").eval()
    for block in (chip, old):
        block.neuron.norm.running_mean = torch.full((5,), -0.5)
        block.neuron.norm.num_features = 5
    x = torch.zeros(1, *CHANNELS, 8)
    assert torch.equal(chip(x)[..., :-1], old(x)[..., 1:])
    assert chip(x).any()


def test_dropout_works_on_the_spikes():
    block = make("dense", {**NEURON, "dropout": Dropout(0.5)})
    x = events("dense", samples=8)
    plain = make("dense")(x)
    dropped = block(x)
    alive = dropped.amax(-1) > 0
    assert 0 < alive.float().mean() < 0.9
    assert torch.equal(dropped, torch.where(alive[..., None], 2 * plain, torch.zeros(())))
    assert torch.equal(block.eval()(x), plain)


def test_weights_are_quantised_unless_told_otherwise():
    x, weight = torch.ones(1, 6, 1), 0.1234
    for hook, held in (({}, 8 / 64), ({"pre_hook_fx": None}, weight), ({"pre_hook_fx": lambda w: 2 * w}, 2 * weight)):
        block = cuba.Dense(NEURON, 6, 5, **hook)
        block.synapse.weight.data.fill_(weight)
        torch.testing.assert_close(block.drive(x), torch.full((1, 5, 1), 6 * held))
    fine = cuba.Dense({**NEURON, "scale": 256}, 6, 5)
    fine.synapse.weight.data.fill_(weight)
    torch.testing.assert_close(fine.drive(x), torch.full((1, 5, 1), 6 * 32 / 256))


def test_a_mask_cuts_connections_with_and_without_weight_norm():
    mask = (torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    for weight_norm in (False, True):
        block = cuba.Dense(NEURON, 6, 5, weight_scale=4, weight_norm=weight_norm, mask=mask, pre_hook_fx=None)
        z = block.drive(torch.eye(6)[None])[0]
        assert torch.equal(z != 0, mask.bool())
        block(events("dense")).sum().backward()
        weight = block.synapse.weight_v if weight_norm else block.synapse.weight
        assert weight.grad.abs().sum() > 0
        if not weight_norm:
            assert torch.equal(weight.grad[..., 0, 0, 0] != 0, mask.bool())


def dense(**params):
    return cuba.Dense({**NEURON, **params}, 6, 5)


X = torch.zeros(2, 6, 4)
IMAGES = torch.zeros(2, 2, 6, 6, 4)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: dense()(X[:, :5]),
            ShapeError,
            r"x has the wrong number of channels; expected 6 of them, got \(2, 5, 4\)",
        ),
        (lambda: dense()(X[0]), ShapeError, r"x has too few dimensions; .* A single sample needs a batch dimension"),
        (lambda: dense()(X[..., :0]), ShapeError, r"x has no time steps"),
        (lambda: dense()(X * math.nan), ArgumentError, r"x holds 48 NaN or infinite values"),
        (lambda: dense()(X.numpy()), DtypeError, r"x is not a tensor; .* Use torch.as_tensor"),
        (lambda: dense()(X.to(torch.complex64)), DtypeError, r"x is complex"),
        (lambda: make("conv")(X), ShapeError, r"conv: x does not fit the kernel; expected \(N, 2, H, W, T\)"),
        (lambda: make("conv")(IMAGES[:, :1]), ShapeError, r"x does not fit the kernel"),
        (lambda: make("conv")(IMAGES[:, :, :1, :0]), ShapeError, r"the image is smaller than the kernel"),
        (lambda: cuba.Pool(NEURON, 7)(IMAGES), ShapeError, r"smaller than the kernel; expected at least \(7, 7\)"),
        (lambda: cuba.Pool(NEURON, 2)(X), ShapeError, r"x does not fit the kernel"),
        (lambda: make("dense with delay")(X[:, :5]), ShapeError, r"wrong number of channels"),
        (lambda: make("recurrent")(IMAGES), ShapeError, r"wrong number of channels"),
        (lambda: cuba.Flatten()(X[0]), ShapeError, r"too few dimensions"),
        (lambda: dense(treshold=1), ArgumentError, r"Dense: neuron_params key is unknown; .* Did you mean 'threshold'"),
        (lambda: dense(channels=1), ArgumentError, r"neuron_params key is unknown"),
        (
            lambda: cuba.Dense({"threshold": 1}, 6, 5),
            ArgumentError,
            r"neuron_params lacks current_decay, voltage_decay",
        ),
        (lambda: cuba.Dense([1, 2], 6, 5), DtypeError, r"neuron_params is no dictionary"),
        (lambda: cuba.Pool([1, 2], 2), DtypeError, r"neuron_params is no dictionary"),
        (lambda: cuba.Recurrent([1, 2], 6, 5), DtypeError, r"neuron_params is no dictionary"),
        (lambda: cuba.Dense(NEURON, 6, 5, mask=np.ones((5, 6))), DtypeError, r"mask is not a tensor"),
        (lambda: dense(threshold=0.01), ArgumentError, r"threshold is zero once cut to the chip's grid; .* 1/64"),
        (lambda: dense(threshold=math.inf), ArgumentError, r"threshold is out of range"),
        (lambda: dense(threshold=math.nan), ArgumentError, r"threshold is out of range"),
        (lambda: dense(current_decay=1.2), ArgumentError, r"current_decay is out of range; .*\[0, 1\], got 1.2"),
        (lambda: dense(voltage_decay=-0.1), ArgumentError, r"voltage_decay is out of range"),
        (lambda: dense(voltage_decay=(0.1, 0.2)), DtypeError, r"voltage_decay .* shared_param=False takes"),
        (lambda: dense(voltage_decay=(0.1,), shared_param=False), ArgumentError, r"voltage_decay is no range"),
        (lambda: dense(voltage_decay=("a", "b"), shared_param=False), DtypeError, r"voltage_decay is not a number"),
        (lambda: dense(voltage_decay=(0.2, 0.1), shared_param=False), ArgumentError, r"voltage_decay is out of range"),
        (lambda: dense(voltage_decay="0.1", shared_param=False), DtypeError, r"voltage_decay is not a number"),
        (lambda: dense(tau_grad=0), ArgumentError, r"tau_grad is out of range; expected a number above 0"),
        (lambda: dense(scale_grad=-1), ArgumentError, r"scale_grad is out of range"),
        (lambda: dense(scale=0), ArgumentError, r"scale is out of range"),
        (lambda: dense(norm=MeanOnlyBatchNorm()), DtypeError, r"norm is an instance; expected a class"),
        (lambda: dense(dropout=Dropout), DtypeError, r"dropout is a class; expected an instance"),
        (
            lambda: cuba.Recurrent({**NEURON, "norm": torch.nn.Identity}, 6, 5),
            ArgumentError,
            r"its norm is no constant of the run; .* got Identity",
        ),
        (lambda: cuba.Dense(NEURON, 6, 0), ArgumentError, r"number of neurons is out of range"),
        (lambda: cuba.Dense(NEURON, 6.5, 5), DtypeError, r"not an integer"),
        (lambda: cuba.Dense(NEURON, (2, 3, 4, 5), 5), ArgumentError, r"in_neurons is no shape"),
        (
            lambda: cuba.Dense(NEURON, 6, 5, mask=torch.ones(6, 5)),
            ShapeError,
            r"mask .* expected \(5, 6\), got \(6, 5\)",
        ),
        (lambda: cuba.Dense(NEURON, 6, 5, delay_shift="lava"), ArgumentError, r"delay_shift .* mean 'lava-dl'"),
        (lambda: cuba.Dense(NEURON, 6, 5, delay_shift="False"), ArgumentError, r"delay_shift is unknown"),
        (lambda: cuba.Conv(NEURON, 3, 4, 3, groups=2), ArgumentError, r"groups does not divide the channels"),
        (lambda: cuba.Conv(NEURON, 3, 4, 3.5), DtypeError, r"kernel_size is not an integer"),
        (lambda: cuba.Conv(NEURON, 3, 4, (3, 3, 3)), ArgumentError, r"kernel_size is not a pair"),
        (lambda: cuba.Conv(NEURON, 3, 4, 3, stride=0), ArgumentError, r"stride is out of range"),
        (lambda: cuba.Conv(NEURON, 3, 4, 3, padding=-1), ArgumentError, r"padding is out of range"),
        (lambda: cuba.Average(0), ArgumentError, r"num_outputs is out of range"),
        (lambda: cuba.Input(NEURON)(X * math.inf), ArgumentError, r"NaN or infinite"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_a_weight_that_left_the_finite_numbers_is_named():
    block = make("dense")
    block.synapse.weight.data[0] = math.nan
    with pytest.raises(ArgumentError, match=r"Dense: weight holds 6 NaN or infinite values"):
        block(events("dense"))
    block = make("dense")
    block.neuron.current_decay.data.fill_(math.nan)
    with pytest.raises(ArgumentError, match=r"decay is out of range"):
        block(events("dense"))


def test_numpy_integers_are_integers():
    assert cuba.Dense(NEURON, np.int64(6), np.int32(5))(X).shape == (2, 5, 4)
    assert cuba.Conv(NEURON, np.int64(2), 4, np.int64(3))(IMAGES).shape == (2, 4, 4, 4, 4)


def test_an_optimiser_that_overshoots_is_brought_back():
    block = make("dense")
    block.neuron.current_decay.data.fill_(0.7)  # a decay of 2
    block.neuron.voltage_decay.data.fill_(-1000)
    assert (block.neuron.cx_current_decay, block.neuron.cx_voltage_decay) == (4096, 0)  # exported before the next run
    block(events("dense"))
    assert (block.neuron.cx_current_decay, block.neuron.cx_voltage_decay) == (4096, 0)
    assert block.neuron.current_decay == 0
