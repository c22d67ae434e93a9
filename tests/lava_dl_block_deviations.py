"""Deviations of the blocks from lava-dl; see test_lava_dl_deviations.py."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from block_zoo import CHANNELS, IMAGE, NEURON, NORM, events, make
from lava_dl_defects import deviation
from lava_dl_neuron_deviations import NEURONS

import slayerloss as slayer
from slayerloss.block import cuba
from slayerloss.functional import leaky_integrator, shift

# Blocks


@deviation("the step between layers sits at a block's input")
def _() -> None:
    """lava-dl's sits at the output, where a bias acts one step earlier than in Lava: delay_shift="lava-dl"."""
    here, there = make("dense", NORM).eval(), make("dense", NORM, delay_shift="lava-dl").eval()
    for block in (here, there):
        block.neuron.norm.load_state_dict({"running_mean": torch.full((5,), -0.5)})
    x = torch.zeros(1, *CHANNELS, 8)
    assert torch.equal(shift(here(x)), there(x))
    assert not torch.equal(here(x), there(x))
    x = events("dense")
    assert torch.equal(make("dense")(x), make("dense", delay_shift="lava-dl")(x))


@deviation("an input block delays nothing")
def _() -> None:
    """lava-dl's Input delays by a step, Lava's does not."""
    x = 2 * events("input")
    assert torch.equal(shift(make("input")(x)), make("input", delay_shift="lava-dl")(x))


@deviation("an input block gives its neurons whole weight LSBs")
def _() -> None:
    """lava-dl's keeps fractions of them, which Lava's input cannot take; delay_shift="lava-dl" does so too."""
    x = torch.full((1, 6, 1), 0.1)
    assert (make("input").drive(x) * 64 % 1 == 0).all()
    assert (make("input", delay_shift="lava-dl").drive(x) * 64 % 1 != 0).all()


@deviation("the gradient of a delay at the input is taken of the dendritic input")
def _() -> None:
    """lava-dl takes it of the spikes, as delay_shift="lava-dl" does."""
    grads = []
    for place in (True, "lava-dl"):
        block = make("dense with delay", delay_shift=place)
        block(events("dense with delay")).square().sum().backward()
        grads.append(block.delay.delay.grad)
    assert not torch.allclose(*grads)


@deviation("no state goes from batch to batch unless persistent_state asks for it", 47, "48a")
def _() -> None:
    """lava-dl's Recurrent and KWTA switch persistent_state on, in the caller's dictionary."""
    params, x = dict(NEURON), events("recurrent")
    for block in (cuba.Recurrent(params, 6, 5, weight_scale=3), cuba.KWTA(params, 6, 5, 2, weight_scale=3)):
        assert torch.equal(block(x), block(x))
    assert params == NEURON


@deviation("the state of a recurrent block can be reset", "48b")
def _() -> None:
    """lava-dl's goes on."""
    block, x = cuba.Recurrent({**NEURON, "persistent_state": True}, 6, 5, weight_scale=3), events("recurrent")
    first, second = block(x), block(x)
    assert not torch.equal(first, second)
    block.reset_state()
    assert torch.equal(block(x), first)


@deviation("a kept state and a batch of another size do not go together", 43)
def _() -> None:
    """lava-dl forgets the state silently."""
    block = make("dense", {**NEURON, "persistent_state": True})
    block(events("dense", samples=2))
    with pytest.raises(slayer.ShapeError, match="Reset the state"):
        block(events("dense", samples=3))


@deviation("blocks with persistent_state can be trained", 51)
def _() -> None:
    """lava-dl's raise at the backward pass."""
    block = make("dense", {**NEURON, "persistent_state": True})
    for _ in range(2):
        block(events("dense")).sum().backward()


@deviation("the gradient of a recurrent block reaches back through time")
def _() -> None:
    """lava-dl cuts the neuron's state off at every step."""
    block = make("recurrent")
    block.recurrent_synapse.weight.data.zero_()
    x = events("recurrent").requires_grad_()
    last = block(x).select(-1, -1)
    (grad,) = torch.autograd.grad(last.sum(), x)
    assert (grad.abs().amax((0, 1)) > 0).sum() > 5


@deviation("the norm of a recurrent block is the chip's bias, from one mean of the current that its input causes")
def _() -> None:
    """lava-dl trains with a mean of each step, and subtracts each step's mean in all later steps too."""
    block, x = make("recurrent", NORM), events("recurrent")
    current = leaky_integrator(shift(block.drive(x)), block.neuron.decays[0])
    block(x)
    norm = block.neuron.norm
    torch.testing.assert_close(norm.running_mean, norm.momentum * current.mean((0, 2)))
    norm.running_mean.fill_(-0.5)
    block.eval()
    state = block.run(torch.zeros(1, *CHANNELS, 1))[1].neuron[0]
    assert (state.current == 0).all()
    assert (state.voltage == 0.5).all()


@deviation("complex neurons have input blocks, and populations that hear themselves")
def _() -> None:
    """lava-dl's Input, Recurrent and KWTA of RF, RF_IZ, ADRF and ADRF_IZ fail when they run."""
    x = events("dense")
    for name in ("rf", "rf_iz", "adrf", "adrf_iz"):
        block, params = getattr(slayer.block, name), NEURONS[name]
        assert block.Input(params)((x, x)).shape == x.shape
        assert block.Recurrent(params, 6, 5)(x).shape == (2, 5, 24)
        assert block.KWTA(params, 6, 5, num_winners=2)(x).shape == (2, 5, 24)


@deviation("KWTA blocks can be trained, and forget a batch before the next")
def _() -> None:
    """lava-dl's raise in the backward pass, and go on from the batch before."""
    block, x = cuba.KWTA(NEURON, 6, 5, num_winners=2, weight_scale=3), events("dense")
    block(x).sum().backward()
    assert block.synapse.weight.grad.any()
    assert torch.equal(block(x), block(x))


@deviation("recurrent weights learn under weight norm", 52)
def _() -> None:
    """lava-dl freezes them and fails at the second step."""
    block = make("recurrent with everything")
    for _ in range(2):
        block.zero_grad()
        block(events("recurrent with everything")).sum().backward()
        assert block.recurrent_synapse.weight_v.grad.abs().sum() > 0


@deviation("pooling keeps channels apart", 59)
def _() -> None:
    """lava-dl mixes them where the stride is not the kernel size."""
    x = torch.ones(1, 2, 6, 6, 3)
    x[:, 0] = 0
    assert not slayer.synapse.Pool(3, stride=1)(x)[:, 0].any()


@deviation("unpooling keeps channels apart")
def _() -> None:
    """lava-dl mixes them where the stride is not the kernel size."""
    x = torch.ones(1, 2, 4, 4, 3)
    x[:, 0] = 0
    assert not slayer.synapse.Unpool(3, stride=2)(x)[:, 0].any()


@deviation("pooling drops the rest of an image that is no multiple of the stride", 58)
def _() -> None:
    """lava-dl adds zeros, or fails."""
    assert slayer.synapse.Pool(2)(torch.ones(1, 2, 5, 5, 3)).shape == (1, 2, 2, 2, 3)
    assert slayer.synapse.Pool(4)(torch.ones(1, 2, 11, 9, 3)).shape == (1, 2, 2, 2, 3)


@deviation("neuron_params stay as they are", 46)
def _() -> None:
    """lava-dl's Pool deletes the norm from them, for all blocks built later."""
    params = dict(NORM)
    cuba.Pool(params, 2)
    assert params == NORM


@deviation("an unknown key of neuron_params is refused with the nearest name")
def _() -> None:
    """lava-dl raises Python's own TypeError."""
    with pytest.raises(slayer.ArgumentError, match="Did you mean 'threshold'"):
        cuba.Dense({**NEURON, "treshold": 1}, 2, 3)


@deviation("a mask holds under weight norm, and masked weights have no gradient", 64)
def _() -> None:
    """lava-dl's mask is lost under weight norm; without, it sets the weights to zero and lets them learn."""
    block = make("dense with mask")
    weight = block.synapse.effective_weight(block.mask)
    assert not weight[block.mask == 0].any()
    block = cuba.Dense(NEURON, 6, 5, mask=torch.eye(5, 6))
    block(events("dense")).sum().backward()
    assert not block.synapse.weight.grad[block.mask == 0].any()


@deviation("a dense block answers images with (N, C, T)")
def _() -> None:
    """lava-dl's answer is (N, C, 1, 1, T)."""
    assert make("dense of images")(events("dense of images")).shape == (2, 5, 24)


@deviation("count_log returns the rate", 45)
def _() -> None:
    """lava-dl raises in every spiking block."""
    spikes, rate = make("dense", count_log=True)(events("dense"))
    assert rate == spikes.mean()


@deviation("a pre_hook_fx given by position counts")
def _() -> None:
    """lava-dl looks at the keyword only, and puts the 8 bits in its place."""
    assert cuba.Dense(NEURON, 6, 5, 1, False, None).synapse.pre_hook_fx is None


@deviation("Flatten takes what is flat already", "54a")
def _() -> None:
    """lava-dl takes five dimensions only."""
    assert cuba.Flatten()(torch.zeros(2, 3, 4)).shape == (2, 3, 4)


@deviation("every block has its layer in a network file, where the file has one for it", "54b")
def _() -> None:
    """lava-dl's Average, Input without a neuron, and convolutions of complex neurons fail at export."""
    blocks = {
        "average": (cuba.Average(3), events("dense")),
        "input": (cuba.Input(), events("dense")),
        "conv": (slayer.block.rf.Conv(NEURONS["rf"], IMAGE[0], 4, 3), torch.ones(1, *IMAGE, 3)),
    }
    for kind, (block, x) in blocks.items():
        block(x)
        assert block.layer_fields()["type"] == kind
    with pytest.raises(slayer.ArgumentError, match="TimeDecimation has no layer in a network file"):
        cuba.TimeDecimation(2).layer_fields()


@deviation("there is an Affine of every neuron, with voltages or without dynamics", 53)
def _() -> None:
    """lava-dl's of RF and RF_IZ cannot be built, and others have none."""
    for name, params in NEURONS.items():
        for dynamics in (True, False):
            block = getattr(slayer.block, name).Affine(params, 6, 5, dynamics=dynamics)
            answer = block(events("dense"))
            parts = answer if isinstance(answer, tuple) else (answer,)
            assert all(part.shape == (2, 5, 24) for part in parts), name


@deviation("a block takes images of any size, one after the other", 42)
def _() -> None:
    """lava-dl's neurons keep the shape of their first input, and refuse every other."""
    block = make("conv")
    assert block(torch.ones(1, 2, 6, 6, 3)).shape == (1, 4, 6, 6, 3)
    assert block(torch.ones(1, 2, 5, 8, 3)).shape == (1, 4, 5, 8, 3)


@deviation("a block without pre_hook_fx is exported if its weights are whole", "55a")
def _() -> None:
    """lava-dl's raises."""
    block = cuba.Dense(NEURON, 6, 5, pre_hook_fx=None)
    block.synapse.weight.data.fill_(0.5)
    assert (block.layer_fields()["weight"] == 32).all()


@deviation("state dicts load into a model that never ran", 49, "50a", "50b", "50c")
def _() -> None:
    """lava-dl needs a forward pass for delays, norms and decays per channel, and its Recurrent never loads."""
    for name in ("dense with delay", "dense, each its decays", "recurrent with everything"):
        assert_loads(name, make(name, seed=1), make(name, seed=2))
    normed = make("dense", NORM, seed=1)
    normed(events("dense"))
    assert_loads("dense", normed.eval(), make("dense", NORM, seed=2).eval())


def assert_loads(name: str, block: torch.nn.Module, fresh: torch.nn.Module) -> None:
    """A block that never ran answers as the one whose state dict it got."""
    fresh.load_state_dict(block.state_dict())
    assert torch.equal(fresh(events(name)), block(events(name)))


@deviation("loaded delays stay", 27)
def _() -> None:
    """lava-dl draws them anew at the first run."""
    axon = slayer.axon.Delay()
    axon.load_state_dict({"delay": torch.tensor([3.0, 1.0])})
    axon(torch.zeros(1, 2, 5))
    assert axon.delay.tolist() == [3, 1]


@deviation("models can be copied and pickled at any time", 60)
def _() -> None:
    """lava-dl's cannot, after a run with weight norm, or with an Input block or a norm."""
    for block, x in (
        (make("dense with weight norm"), events("dense")),
        (make("input"), events("input")),
        (make("dense", NORM), events("dense")),
    ):
        block(x)
        copy.deepcopy(block)
        pickle.dumps(block)
        torch.save(block, io.BytesIO())


@deviation("export leaves weight norm on", "55b")
def _() -> None:
    """lava-dl takes it off the live model."""
    block = make("dense with weight norm")
    block.layer_fields()
    assert block.synapse.weight_norm_enabled


@deviation("grad_norm is zero before there is a gradient", 63)
def _() -> None:
    """lava-dl's raises."""
    assert make("dense").synapse.grad_norm == 0
