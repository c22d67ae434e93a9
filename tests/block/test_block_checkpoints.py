"""State dicts, lava-dl's among them, copies, pickles, devices, dtypes."""

from __future__ import annotations

import copy
import io
import math
import pickle

import pytest
import torch
from block_zoo import EACH, IMAGE, NEURON, NORM, READOUTS, ZOO, events, make

from slayerloss import ArgumentError
from slayerloss.block import cuba
from slayerloss.classifier import MovingWindow
from slayerloss.neuron import _decay
from slayerloss.neuron.norm import MeanOnlyBatchNorm

ALL = pytest.mark.parametrize("name", [*ZOO, *READOUTS])


def saved_and_loaded(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=isinstance(value, dict))


def trained(name: str, params: dict | None = None):
    """A block after a step of training, as the optimiser leaves it."""
    block = make(name, params)
    optimizer = torch.optim.Adam(block.parameters(), lr=0.05)
    block(events(name)).sum().backward()
    optimizer.step()
    return block


@ALL
def test_a_fresh_block_takes_the_state_dict_and_answers_the_same(name):
    block = trained(name)
    fresh = make_fresh(name, seed=99)
    fresh.load_state_dict(saved_and_loaded(block.state_dict()))
    x = events(name)
    assert torch.equal(fresh(x), block(x))
    assert torch.equal(fresh(x), block(x))  # nothing was drawn again
    for key, value in block.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value), key


@pytest.mark.parametrize("build", [lambda: cuba.Pool(EACH, 2, delay=True), lambda: cuba.Input(EACH)])
def test_what_was_not_drawn_yet_is_drawn_after_loading(build):
    """One decay per channel stays one per channel, through a file and back to the beginning."""
    initial, block, x = saved_and_loaded(build().state_dict()), build(), events("pool")
    for _ in range(2):  # also where they were drawn in between
        block.load_state_dict(initial)
        y = block(x)
        assert [decays.unique().numel() for decays in block.neuron.decays] == [2, 2]
        assert torch.equal(block(x), y)
    other = build()
    other.load_state_dict(saved_and_loaded(block.state_dict()))
    assert torch.equal(other(x), y)


@pytest.mark.parametrize("build", [lambda: cuba.Dense(EACH, 6, 2), lambda: cuba.Pool(EACH, 2)])
def test_what_lava_dl_had_not_drawn_yet_is_drawn(build):
    """It saves the lowest value of the range in place of one per channel."""
    block, other = build(), build()
    lowest = {
        f"neuron.{name}_decay": torch.tensor([4096 * 0.99 * EACH[f"{name}_decay"]]) for name in ("current", "voltage")
    }
    block.load_state_dict({**block.state_dict(), **lowest})
    for neuron in (block.neuron, other.neuron):
        neuron(torch.zeros(1, 2, 3))
    for mine, others in zip(block.neuron.decays, other.neuron.decays, strict=True):
        assert mine.unique().numel() == 2
        assert ((mine / others - 1).abs() < 0.03).all()
    with pytest.raises(RuntimeError, match=r"size mismatch for neuron.current_decay"):
        cuba.Dense(EACH, 6, 2).load_state_dict({**block.state_dict(), "neuron.current_decay": torch.tensor([999.0])})


def make_fresh(name: str, seed: int, params: dict | None = None):
    """A block that has never run."""
    torch.manual_seed(seed)
    return {**ZOO, **READOUTS}[name][0](NEURON if params is None else params)


@ALL
def test_a_plain_dict_will_do_where_the_decays_can_be_told_apart(name):
    block, fresh = trained(name), make_fresh(name, seed=99)
    fresh.load_state_dict(dict(block.state_dict()))
    assert torch.equal(fresh(events(name)), block(events(name)))


def test_a_running_mean_is_loaded_into_a_fresh_norm():
    block = make("conv", NORM)
    block(events("conv"))
    fresh = make_fresh("conv", 99, NORM)
    fresh.load_state_dict(saved_and_loaded(block.state_dict()))
    x = events("conv", seed=8)
    assert torch.equal(fresh.eval()(x), block.eval()(x))
    assert fresh.neuron.norm.running_mean.shape == (4,)


@pytest.mark.parametrize("decay", [0, 1, 63, 122.5, 122.88, 123.5, 1024, 4095, 4096, 4096.04])
def test_every_lava_dl_decay_is_converted_exactly(decay):
    value = torch.tensor([float(decay)])
    stored = _decay.from_state_dict("current_decay", value, version=1)
    assert _decay.to_decay(stored).mul(4096).round().item() == min(round(decay), 4096)


def test_all_decays_of_the_chip_survive_storage():
    decays = torch.arange(4097) / 4096
    assert torch.equal(_decay.to_decay(_decay.to_parameter(decays)).mul(4096).round(), decays * 4096)


@pytest.mark.parametrize(
    ("value", "version", "text"),
    [
        ([0.0], None, "can be slayerloss's logarithm of a decay or lava-dl's decay times 4096"),
        ([-1.0, 300.0], None, "can be slayerloss's"),
        ([0.01], None, "can be slayerloss's"),
        ([9000.0], 1, "is not a lava-dl decay"),
        ([-3.0], 1, "is not a lava-dl decay"),
        ([-3.0], 3, "is of a newer slayerloss; expected version 2, got 3"),
        ([math.nan], 1, "is not a lava-dl decay"),
    ],
)
def test_decays_that_cannot_be_told_are_refused(value, version, text):
    block = make("dense")
    state = block.state_dict()
    state["neuron.current_decay"] = torch.tensor(value)
    state = type(state)(state)
    if version is not None:
        state._metadata = {"neuron": {"version": version}}
    with pytest.raises(ArgumentError, match=text):
        block.load_state_dict(state)


def test_a_plain_dict_of_ours_with_a_decay_of_one_is_ambiguous_and_with_metadata_is_not():
    params = {**NEURON, "current_decay": 1.0}
    state = make("dense", params).state_dict()
    with pytest.raises(ArgumentError, match="Load the file anew and do not copy it into a plain dict"):
        make("dense", params).load_state_dict(dict(state))
    block = make("dense", NEURON)
    block.load_state_dict(saved_and_loaded(state))
    assert block.neuron.cx_current_decay == 4096


def test_loading_does_not_edit_the_callers_dict():
    state = {
        "neuron.current_decay": torch.tensor([1024.0]),
        "neuron.voltage_decay": torch.tensor([122.88]),
        "synapse.weight_g": torch.ones(5, 1, 1, 1, 1),
        "synapse.weight_v": torch.ones(5, 6, 1, 1, 1),
    }
    before = {key: value.clone() for key, value in state.items()}
    block = make("dense")
    block.load_state_dict(state)
    assert state.keys() == before.keys()
    assert all(torch.equal(state[key], before[key]) for key in state)
    assert block.neuron.cx_voltage_decay == 123


@pytest.mark.parametrize("name", ["dense", "conv"])
def test_weights_pass_between_both_forms(name):
    plain, normed = make(name), make(name, weight_norm=True, seed=5)
    x = events(name)
    with torch.no_grad():
        plain.synapse.weight[0] = 0  # a silent neuron has no direction
    normed.load_state_dict(plain.state_dict())
    torch.testing.assert_close(normed.synapse.weight, plain.synapse.weight)
    again = make(name, seed=6)
    again.load_state_dict(normed.state_dict())
    assert torch.equal(again(x), normed(x))
    normed.synapse.disable_weight_norm()
    assert set(normed.state_dict()) == set(plain.state_dict())
    assert torch.equal(again(x), normed(x))
    normed.synapse.enable_weight_norm()
    assert "synapse.weight_g" in normed.state_dict()
    assert torch.equal(again(x), normed(x))


def test_a_direction_without_length_is_refused():
    state = make("dense", weight_norm=True).state_dict()
    del state["synapse.weight_g"]
    with pytest.raises(ArgumentError, match=r"synapse.weight_v has no length"):
        make("dense").load_state_dict(state)


@pytest.mark.parametrize("value", [3.0, None, [1.0], "a"])
@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: make("dense"), "neuron.current_decay"),
        (lambda: make("dense"), "synapse.weight_v"),
        (lambda: make("dense with weight norm"), "synapse.weight"),
        (lambda: make("dense with delay"), "delay.delay"),
        (lambda: cuba.Pool(EACH, 2, delay=True), "delay.delay"),
        (lambda: cuba.Dense(NORM, 6, 5), "neuron.norm.running_mean"),
        (lambda: MovingWindow(3), "filter.filter"),
    ],
)
def test_what_is_no_tensor_is_refused_by_torch_itself(build, key, value):
    module = build()
    state = module.state_dict()
    state.pop(key.replace("_v", ""), None)
    state[key] = value
    with pytest.raises(RuntimeError, match="Error\\(s\\) in loading state_dict"):
        module.load_state_dict(state)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(RuntimeError, match=r"size mismatch for synapse.weight"):
        make("dense").load_state_dict(cuba.Dense(NEURON, 7, 5).state_dict())
    per_channel = make("dense, each its decays").state_dict()
    with pytest.raises(RuntimeError, match=r"size mismatch for neuron.current_decay"):
        make("dense").load_state_dict(per_channel)
    with pytest.raises(RuntimeError, match=r"size mismatch for delay.delay"):
        make("dense with delay").load_state_dict(cuba.Dense(NEURON, 6, 4, delay=True).state_dict(), strict=False)


def test_lava_dls_recurrent_state_dict_loads_whatever_its_spike_state():
    saved, block = make_fresh("recurrent", seed=3), make_fresh("recurrent", seed=4)
    x = events("recurrent")
    assert not torch.equal(block(x), saved(x))
    block.load_state_dict({**saved.state_dict(), "spike_state": torch.ones(32, 5)})
    torch.testing.assert_close(block(x), saved(x), rtol=0, atol=0)


@ALL
@pytest.mark.parametrize("when", ["before the first run", "after a run", "after backward"])
def test_copies_and_pickles(name, when):
    block = make_fresh(name, seed=3)
    x = events(name)
    if when != "before the first run":
        y = block(x)
    if when == "after backward":
        y.sum().backward()
    torch.manual_seed(7)
    copied = copy.deepcopy(block)
    pickled = pickle.loads(pickle.dumps(block))
    saved = saved_and_loaded(block)
    for other in (copied, pickled, saved):
        assert type(other) is type(block)
        if when == "before the first run":  # what is drawn at the first run is drawn alike
            torch.manual_seed(7)
            expected = copy.deepcopy(block)(x)
            torch.manual_seed(7)
            assert torch.equal(other(x), expected)
        else:
            assert torch.equal(other(x), block(x))
        (other(x).sum()).backward()


def test_a_copy_shares_nothing():
    block = make("dense", {**NEURON, "scale": 32, "norm": MeanOnlyBatchNorm, "persistent_state": True})
    block(events("dense"))
    other = copy.deepcopy(block)
    assert other.synapse.pre_hook_fx.__self__ is other.neuron
    with torch.no_grad():
        for tensor in [*other.parameters(), *other.buffers(), other.state.history, *other.state.neuron]:
            tensor.fill_(0.5)
    for tensor in [*block.parameters(), *block.buffers()]:
        assert not (tensor == 0.5).all()
    assert not (block.state.history == 0.5).all()


def test_exponential_moving_average():
    block = make("dense with weight norm")
    average = torch.optim.swa_utils.AveragedModel(block)
    block(events("dense with weight norm")).sum().backward()
    average.update_parameters(block)
    assert average(events("dense with weight norm")).shape == (2, 5, 24)


@ALL
def test_to_double_and_back_and_to_meta(name):
    block, x = make(name), events(name)
    expected = block(x)
    assert torch.equal(block.double()(x.double()), expected.double())
    assert torch.equal(block.float()(x), expected)
    on_meta = block.to(device="meta")
    assert all(tensor.is_meta for tensor in on_meta.state_dict().values())


@pytest.mark.parametrize("name", [name for name in [*ZOO, *READOUTS] if "delay" not in name])
def test_shapes_can_be_had_on_the_meta_device(name):
    block, x = make(name), events(name)
    block.delay = None  # how far the past reaches is a value
    expected = block(x)
    result = block.to(device="meta")(x.to("meta"))
    assert result.is_meta
    assert result.shape == expected.shape


def test_blocks_are_classes_that_can_be_subclassed():
    class Loud(cuba.Dense):
        """Every spike counts twice."""

        def forward(self, x, lengths=None):
            return 2 * super().forward(x, lengths)

    torch.manual_seed(0)
    block = Loud(NEURON, 6, 5, weight_scale=4)
    assert isinstance(block, cuba.Dense)
    assert isinstance(block, torch.nn.Module)
    assert not isinstance(block, cuba.Conv)
    assert torch.equal(block(events("dense")), 2 * make("dense")(events("dense")))
    assert cuba.Dense.__module__ == "slayerloss.block.cuba"


def test_pool_leaves_the_others_their_norm():
    params = dict(NORM)
    cuba.Pool(params, 2)
    assert params == NORM
    block = cuba.Conv(params, *IMAGE[:1], 4, 3)
    assert isinstance(block.neuron.norm, MeanOnlyBatchNorm)
    assert cuba.Pool(params, 2).neuron.norm is None


@ALL
def test_neuron_params_are_not_edited(name):
    params = {**NEURON, "persistent_state": False}
    before = dict(params)
    make(name, params)(events(name))
    assert params == before
