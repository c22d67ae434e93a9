"""Every deviation from lava-dl, by name: what a user who comes from there has to know.

A name says what is so here; the check shows it. What lava-dl does instead stands in the check's docstring. A new
deviation is one more function with `@deviation(name)`, and the numbers of the facts that it answers
(lava_dl_defects.py).
"""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import math
import pickle

import pytest
import torch
from block_zoo import CHANNELS, NEURON, NORM, events, make
from lava_dl_defects import ANSWERED, CONVENTIONS, DEVIATIONS, ITEMS, deviation

import slayerloss as slayer
from slayerloss.block import cuba
from slayerloss.functional import cuba as run_cuba
from slayerloss.functional import leaky_integrator, quantize_weight, shift
from slayerloss.neuron.cuba import Neuron
from slayerloss.neuron.norm import MeanOnlyBatchNorm

for others in ("lava_dl_other_deviations", "lava_dl_conventions"):
    importlib.import_module(others)  # whose checks are run and counted here, too

# Neurons


@deviation("the gradient of a decay has the sign of finite differences", 29)
def _() -> None:
    """lava-dl's has the other, so that decays learn away from the target."""
    decay = torch.tensor([0.25], requires_grad=True)
    leaky_integrator(torch.ones(1, 1, 5), decay).sum().backward()
    assert decay.grad < 0  # a higher decay makes the sum smaller


@deviation("after a spike the decay acts on the voltage after its reset, in the gradient too")
def _() -> None:
    """lava-dl's gradient takes the voltage before the reset."""
    decay = torch.tensor([0.25], requires_grad=True)
    x = torch.tensor([[[2.0, 0.0]]])
    _, state = run_cuba(x, 1.0, decay, 1.0)
    state.voltage.sum().backward()
    assert decay.grad == 0


@deviation("the current wraps at 24 bits and the voltage saturates, as on the chip")
def _() -> None:
    """lava-dl goes on beyond."""
    assert leaky_integrator(torch.full((1, 1, 1), 2049.0), 0.0).item() == 2049 - 4096


@deviation("a voltage equal to the threshold never spikes, whatever the threshold")
def _() -> None:
    """lava-dl adds 0.01/4096 to the threshold, which float32 loses from 64 on."""
    for threshold in (1.25, 64.0, 1000.0):
        x = torch.full((1, 1, 1), threshold)
        assert not run_cuba(x, 0.0, 0.0, threshold)[0].any()
        assert run_cuba(x + 1 / 4096, 0.0, 0.0, threshold)[0].all()


@deviation("a threshold that would be cut to zero is refused")
def _() -> None:
    """lava-dl goes on with a threshold of zero."""
    with pytest.raises(slayer.ArgumentError, match="threshold is zero once cut"):
        Neuron(0.01, 0.1, 0.1)


@deviation("a decay is stored as its logarithm and given as the fraction lost")
def _() -> None:
    """lava-dl stores it times 4096, where Adam's steps are too small to learn anything."""
    neuron = Neuron(1.0, 0.25, 0.5)
    assert neuron.current_decay.item() == pytest.approx(math.log(0.25))
    assert neuron.decays[1].item() == pytest.approx(0.5)
    neuron.load_state_dict({"current_decay": torch.tensor([1024.0]), "voltage_decay": torch.tensor([2048.0])})
    assert (neuron.cx_current_decay, neuron.cx_voltage_decay) == (1024, 2048)


@deviation("decays per channel act on channels of images", 33)
def _() -> None:
    """lava-dl broadcasts them along the width."""
    x, decays = torch.ones(1, 2, 2, 2, 3), torch.tensor([0.0, 1.0])
    u = leaky_integrator(x, decays)
    assert (u.select(-1, 2)[0, 0] == 3).all()
    assert (u.select(-1, 2)[0, 1] == 1).all()


@deviation("a saturated weight hears the gradient that brings it back", 56)
def _() -> None:
    """lava-dl stops its gradient for ever."""
    weight = torch.tensor([9.0], requires_grad=True)
    quantize_weight(weight).sum().backward()
    assert weight.grad == 1


@deviation("under float16, bfloat16 and autocast the spikes are float32's", 41)
def _() -> None:
    """lava-dl's change, silently."""
    block, x = make("dense"), events("dense")
    expected = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(block(x), expected)
    assert torch.equal(block(x.half()), expected)


@deviation("bool and integer spikes are spikes", 15)
def _() -> None:
    """lava-dl takes float32 only."""
    block, x = make("dense"), events("dense")
    assert torch.equal(block(x.bool()), block(x))
    assert torch.equal(block(x.long()), block(x))


@deviation("NaN and infinity are refused where they appear")
def _() -> None:
    """lava-dl turns them into some integer."""
    with pytest.raises(slayer.ArgumentError, match="NaN"):
        make("dense")(events("dense") * math.nan)


@deviation("decays out of range are refused when a neuron is made")
def _() -> None:
    """lava-dl clamps them, or computes with them."""
    with pytest.raises(slayer.ArgumentError, match="current_decay is out of range"):
        Neuron(1.0, 1.5, 0.1)


@deviation("a norm keeps a pre_hook_fx of its own")
def _() -> None:
    """lava-dl's neuron replaces it."""

    def whole(mean: torch.Tensor, descale: bool = False) -> torch.Tensor:
        return mean.round()

    assert Neuron(1.0, 0.1, 0.1, norm=lambda: MeanOnlyBatchNorm(pre_hook_fx=whole)).norm.pre_hook_fx is whole


@deviation("a norm without a hook has a bias", 62)
def _() -> None:
    """lava-dl's raises."""
    assert MeanOnlyBatchNorm(2).bias.tolist() == [0, 0]


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


@deviation("no state goes from batch to batch unless persistent_state asks for it", 47, 48)
def _() -> None:
    """lava-dl's Recurrent switches persistent_state on, in the caller's dictionary."""
    params = dict(NEURON)
    block, x = cuba.Recurrent(params, 6, 5, weight_scale=3), events("recurrent")
    assert torch.equal(block(x), block(x))
    assert params == NEURON


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


@deviation("Flatten takes what is flat already", 54)
def _() -> None:
    """lava-dl takes five dimensions only."""
    assert cuba.Flatten()(torch.zeros(2, 3, 4)).shape == (2, 3, 4)


@deviation("blocks without parameters of a neuron have their layer in a network file", 54)
def _() -> None:
    """lava-dl's Average and its Input without a neuron fail at export."""
    x = events("dense")
    for block, kind in ((cuba.Average(3), "average"), (cuba.Input(), "input")):
        block(x)
        assert block.layer_fields()["type"] == kind


@deviation("a block takes images of any size, one after the other", 42)
def _() -> None:
    """lava-dl's neurons keep the shape of their first input, and refuse every other."""
    block = make("conv")
    assert block(torch.ones(1, 2, 6, 6, 3)).shape == (1, 4, 6, 6, 3)
    assert block(torch.ones(1, 2, 5, 8, 3)).shape == (1, 4, 5, 8, 3)


@deviation("a block without pre_hook_fx is exported if its weights are whole", 55)
def _() -> None:
    """lava-dl's raises."""
    block = cuba.Dense(NEURON, 6, 5, pre_hook_fx=None)
    block.synapse.weight.data.fill_(0.5)
    assert (block.layer_fields()["weight"] == 32).all()


@deviation("state dicts load into a model that never ran", 49, 50)
def _() -> None:
    """lava-dl needs a forward pass for delays, norms and decays per channel, and its Recurrent never loads."""
    for name in ("dense with delay", "dense, each its decays", "recurrent with everything"):
        saved = make(name, seed=1).state_dict()
        fresh = make(name, seed=2)
        fresh.load_state_dict(saved)
        assert torch.equal(fresh(events(name)), make(name, seed=1)(events(name)))


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


@deviation("export leaves weight norm on", 55)
def _() -> None:
    """lava-dl takes it off the live model."""
    block = make("dense with weight norm")
    block.layer_fields()
    assert block.synapse.weight_norm_enabled


@deviation("grad_norm is zero before there is a gradient", 63)
def _() -> None:
    """lava-dl's raises."""
    assert make("dense").synapse.grad_norm == 0


@pytest.mark.parametrize("name", DEVIATIONS)
def test_deviation(name: str) -> None:
    DEVIATIONS[name]()


@pytest.mark.parametrize("name", CONVENTIONS)
def test_convention(name: str) -> None:
    CONVENTIONS[name]()


def test_every_deviation_says_what_lava_dl_does() -> None:
    for name, check in DEVIATIONS.items():
        assert "lava-dl" in (inspect.getdoc(check) or ""), name


def test_every_fact_of_the_list_is_answered() -> None:
    facts = {number: f"{item}: {fact}" for item, facts in ITEMS.items() for number, fact in facts.items()}
    assert [facts[number] for number in facts if number not in ANSWERED] == []
    assert set(ANSWERED) <= set(facts)
