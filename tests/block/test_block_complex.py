"""Blocks of complex neurons: two synapses, two delays, one neuron."""

from __future__ import annotations

import copy
import pickle

import h5py
import pytest
import torch
from block_zoo import COMPILES

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.block import reset_state, rf, rf_iz
from slayerloss.functional import delay, shift
from slayerloss.neuron import Dropout
from slayerloss.neuron.norm import MeanOnlyBatchNorm

RF = {"threshold": 0.5, "period": 8, "decay": 0.05, "requires_grad": True}
EACH = {**RF, "shared_param": False, "period": (5, 20), "decay": (0.02, 0.2)}
FLAT, IMAGE = (6,), (2, 6, 6)

BLOCKS = {
    "dense": (lambda n, **k: n.Dense(RF, 6, 5, weight_scale=4, **k), FLAT, (5,)),
    "dense with everything": (
        lambda n, **k: n.Dense(EACH, 6, 5, 4, weight_norm=True, delay=True, mask=torch.eye(5, 6), **k),
        FLAT,
        (5,),
    ),
    "dense of images": (lambda n, **k: n.Dense(RF, (6, 6, 2), 5, weight_scale=6, **k), IMAGE, (5,)),
    "conv": (lambda n, **k: n.Conv(RF, 2, 4, 3, 2, 1, weight_scale=4, delay=True, **k), IMAGE, (4, 3, 3)),
    "conv, transposed": (lambda n, **k: n.ConvT(RF, 2, 4, 2, 2, weight_scale=4, **k), IMAGE, (4, 12, 12)),
    "pool": (lambda n, **k: n.Pool(RF, 2, weight_scale=0.25, delay=True, **k), IMAGE, (2, 3, 3)),
    "unpool": (lambda n, **k: n.Unpool(RF, 2, weight_scale=0.5, **k), IMAGE, (2, 12, 12)),
    "recurrent": (lambda n, **k: n.Recurrent(RF, 6, 5, weight_scale=3, **k), FLAT, (5,)),
    "recurrent with everything": (
        lambda n, **k: n.Recurrent(EACH, 6, 5, weight_scale=3, weight_norm=True, delay=True, **k),
        FLAT,
        (5,),
    ),
    "winners": (lambda n, **k: n.KWTA(RF, 6, 5, 2, weight_scale=5, **k), FLAT, (5,)),
}
EVERY = pytest.mark.parametrize("name", BLOCKS)


def make(name, neuron=rf, **options):
    torch.manual_seed(0)
    build, shape, _ = BLOCKS[name]
    block = build(neuron, **options)
    block(torch.zeros(1, *shape, 1))  # draws what is still to be drawn
    if block.delay is not None:
        block.delay.delay.data.mul_(5)
    return block


def events(name, steps=24, seed=1):
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(2, *BLOCKS[name][1], steps, generator=random) > 0.6).float()


@EVERY
@pytest.mark.parametrize(("neuron", "place"), [(rf, True), (rf_iz, False), (rf, "lava-dl")])
def test_two_runs_are_one_with_gradients(name, neuron, place):
    block, x = make(name, neuron, delay_shift=place).double(), events(name).double().requires_grad_()
    whole, _ = block.run(x)
    assert whole.shape == (2, *BLOCKS[name][2], 24)
    assert block.shape == BLOCKS[name][2]
    assert 0.005 < (whole != 0).double().mean() < 0.7
    state, parts = None, []
    for part in x.tensor_split([1, 10], -1):
        y, state = block.run(part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts, -1), whole)
    weights = torch.randn(whole.shape, generator=torch.Generator().manual_seed(2), dtype=whole.dtype)
    learned = [x, *(parameter for parameter in block.parameters() if parameter.requires_grad)]
    grads = [torch.autograd.grad((y * weights).sum(), learned) for y in (torch.cat(parts, -1), whole)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    assert grads[0][0].any()


def test_both_parts_are_delayed():
    block, x = make("dense with everything"), events("dense with everything")
    synapse, steps = block.synapse, block.delay.whole_delay + 1.0
    assert len(set(steps.tolist())) > 1
    parts = (delay(part(x, block.mask), steps) for part in (synapse.real, synapse.imag))
    assert torch.equal(block(x), block.neuron(tuple(parts)))
    assert not (block.synapse(x, block.mask)[0][:, 0] - block.synapse.real(x)[:, 0]).eq(0).all()  # the mask matters


@EVERY
def test_persistent_state_goes_on_and_copies_are_alike(name):
    block, x = make(name), events(name)
    whole, _ = block.run(x)
    block.neuron.persistent_state = True
    assert torch.equal(torch.cat([block(x[..., :7]), block(x[..., 7:])], -1), whole)
    reset_state(block)
    for other in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert torch.equal(other(x), whole)
    assert torch.equal(make(name)(x.to_sparse()), whole)
    torch.manual_seed(1000)
    fresh = BLOCKS[name][0](rf)
    fresh.load_state_dict(block.state_dict())
    assert torch.equal(fresh(x), whole)


def test_recurrent_neurons_hear_themselves_in_both_parts():
    block, x = make("recurrent"), events("recurrent")
    spikes = block(x)
    heard = block.recurrent_synapse(shift(spikes))
    assert heard[0].any()
    parts = tuple(shift(z) + back for z, back in zip(block.input_synapse(x), heard, strict=True))
    assert torch.equal(block.neuron(parts), spikes)  # knowing what they heard, one run says the same
    states = block.chip_states(x)
    assert states.keys() == {"real", "imag"}
    real, imag, _ = block.neuron.run_dynamics(parts)
    assert torch.equal(states["real"], (real * 4096).round().long())
    assert torch.equal(states["imag"], (imag * 4096).round().long())


def test_norms_act_on_both_parts():
    params = {**RF, "norm": MeanOnlyBatchNorm}
    x = events("dense")
    for kind in (rf.Dense, rf.Recurrent):
        torch.manual_seed(0)
        block = kind(params, 6, 5, weight_scale=4)
        block(x)
        block.eval()
        assert block.neuron.real_norm.running_mean.any()
        assert block.neuron.imag_norm.running_mean.any()
        assert not torch.equal(block.neuron.real_norm.running_mean, block.neuron.imag_norm.running_mean)
    with pytest.raises(ArgumentError, match=r"no bias of a complex neuron.*got MeanOnlyBatchNorm\. Leave the norm out"):
        rf.Dense(params, 6, 5).layer_fields()


def test_dropout_silences_neurons_for_all_steps_of_a_recurrent_run():
    x = events("recurrent")
    plain = make("recurrent")
    block = rf.Recurrent({**RF, "dropout": Dropout(0.5)}, 6, 5, weight_scale=3)
    block.load_state_dict(plain.state_dict())
    silenced = block(x)
    kept = silenced.flatten(2).any(-1)
    assert 0 < kept.sum() < plain(x).any(-1).sum()
    assert torch.equal(silenced != 0, (plain(x) != 0) & kept[..., None])  # all hear what was sent before the dropout


def test_the_weight_is_a_group_of_two_parts(tmp_path):
    for name, shape in (
        ("dense", (5, 6)),
        ("dense of images", (5, 72)),
        ("conv", (4, 2, 3, 3)),
        ("pool", (1, 1, 2, 2)),
    ):
        block = make(name)
        with h5py.File(tmp_path / "layer.h5", "w") as file:
            block.export_hdf5(file)
        with h5py.File(tmp_path / "layer.h5") as file:
            for part in ("real", "imag"):
                weight = torch.from_numpy(file[f"weight/{part}"][()])
                own = getattr(block.synapse, part).effective_weight().detach() * 64
                assert weight.shape == shape
                assert torch.equal(weight.flatten(), own.flatten())
            assert file["neuron/type"].asstr()[()] == "RF_PHASE"
    with pytest.raises(
        ArgumentError, match=r"no feedback of complex neurons; expected real ones, got Recurrent. Use a Dense block"
    ):
        make("recurrent").layer_fields()


def test_an_affine_block_reads_the_imaginary_part():
    torch.manual_seed(0)
    x = events("dense")
    block = rf_iz.Affine(RF, 6, 5, weight_scale=4)
    z = block.synapse(x)
    assert torch.equal(block(x), block.neuron.run_dynamics(z, threshold=float("inf"))[1])
    block.dynamics = False
    assert torch.equal(block(x), z[1])


def test_an_input_block_takes_two_parts():
    block = rf.Input(RF, weight=0.5, bias=0.125)
    parts = torch.rand(2, 3, 6, 20, generator=torch.Generator().manual_seed(0))
    hook = block.neuron.quantize_8bit
    expected = block.neuron(tuple(hook(part) * 0.5 + 0.125 for part in parts))
    assert torch.equal(rf.Input(RF, weight=0.5, bias=0.125, delay_shift="lava-dl")(parts), shift(expected))
    assert torch.equal(block(tuple(parts)), block(parts))
    assert block.input_shape == (6,)
    lengths = torch.tensor([20, 3, 1])
    assert torch.equal(block(parts, lengths), block(parts))


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (torch.ones(3, 4, 5), DtypeError, r"Input: x is no sequence; expected \(real, imag\)"),
        ((torch.ones(1, 4, 5), torch.ones(1, 4, 6)), ShapeError, "Input: real x does not match imaginary x"),
        ((torch.ones(1, 4, 5),), ArgumentError, "Input: x has the wrong length"),
    ],
)
def test_an_input_block_refuses_anything_else(x, error, text):
    with pytest.raises(error, match=text):
        rf.Input(RF)(x)


def test_states_that_are_no_pairs_are_refused():
    block, x = make("dense"), events("dense")
    _, state = block.run(x)
    with pytest.raises(DtypeError, match="Dense: history is no sequence"):
        block.run(x, state._replace(history=torch.zeros(2, 5, 1)))


@COMPILES
@pytest.mark.parametrize("name", ["dense with everything", "conv", "recurrent"])
def test_both_parts_compile_into_one_graph(name):
    torch.compiler.reset()
    block, x = make(name), events(name, steps=4)
    assert torch.equal(torch.compile(block, backend="eager", fullgraph=True)(x), block(x))


@pytest.mark.parametrize("name", ["dense with everything", "recurrent", "winners"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.int8])
def test_every_dtype_and_autocast_give_the_same_spikes(name, dtype):
    block, x = make(name), events(name)
    expected, y = block(x), block(x.to(dtype))
    assert y.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(y.float(), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(block(x), expected)
    assert block.bfloat16()(x).isfinite().all()
