"""lava-dl's blocks themselves: their state dicts, spikes and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lava_dl_networks import NETWORKS, build, outputs, spikes

import slayerloss

pytestmark = pytest.mark.lava

NORMS = [name for name in NETWORKS if "norm" in name and name != "weight norm"]
NORM_OF_EACH_STEP = "recurrent norm"  # in training; in eval mode it is a bias
# With a bias the place of the step matters; an input block of the chip has none.
OLD_PLACE_ONLY = [*NORMS, "input"]
CUT_IN_TIME = ["recurrent", "recurrent delays", NORM_OF_EACH_STEP]


@pytest.fixture(scope="module")
def golden(lava_dl, tmp_path_factory):
    """What lava-dl makes of every network."""
    path = tmp_path_factory.mktemp("lava_dl") / "results.pt"
    lava_dl(Path(__file__).with_name("lava_dl_networks.py"), path)
    return torch.load(path, weights_only=True)


def loaded(name, state, delay_shift=None):
    """A fresh network that never ran, with lava-dl's state."""
    torch.manual_seed(1000)
    network = build(slayerloss, name, delay_shift)
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize(
    ("name", "place"),
    [(name, "lava-dl") for name in NETWORKS] + [(name, None) for name in NETWORKS if name not in OLD_PLACE_ONLY],
)
def test_a_fresh_model_loads_and_spikes_as_lava_dl(golden, name, place):
    result = golden[name]
    network = loaded(name, result.get("state after", result["state"]), place).eval()
    answers, grads = outputs(network, spikes(name))
    for answer, expected in zip(answers, result["eval"], strict=True):
        assert torch.equal(answer, expected.reshape(answer.shape))  # lava-dl's Dense of images keeps (N, C, 1, 1, T)
    assert answers[0].any()
    assert_grads_match(name, grads, result["grads"], place)


def assert_grads_match(name, grads, expected, place):
    """The same up to rounding, but for what lava-dl gets wrong or cuts off."""
    assert grads.keys() == expected.keys()
    for key, grad in grads.items():
        if name in CUT_IN_TIME:
            continue  # see below
        if "decay" in key:
            continue  # wrong sign, see below
        if "delay.delay" in key and (place is None or name == "no step"):
            continue  # lava-dl takes it of the spikes, the delay at the input of what causes them
        want = expected[key]
        if name == "mask":
            want = want * build(slayerloss, name)[0].mask if key != "x" else want
        torch.testing.assert_close(grad, want, rtol=1e-4, atol=1e-5 * float(want.abs().max()) + 1e-9, msg=f"{key}")


@pytest.mark.parametrize("name", [name for name in NORMS if name != NORM_OF_EACH_STEP])
def test_training_with_batch_norm(golden, name):
    result = golden[name]
    network = loaded(name, result["state"], "lava-dl")
    answers, grads = outputs(network, spikes(name, seed=4))
    for answer, expected in zip(answers, result["trained"], strict=True):
        assert torch.equal(answer, expected)
    for key, value in network.state_dict().items():
        if "running_mean" in key:
            torch.testing.assert_close(value, result["state after"][key])
    assert_grads_match(name, grads, result["trained grads"], "lava-dl")


@pytest.mark.parametrize("name", ["dense", "weight norm", "delay", "images"])
def test_decay_gradients_are_lava_dls_with_the_sign_turned(golden, name):
    network = loaded(name, golden[name]["state"], "lava-dl").eval()
    grads = outputs(network, spikes(name))[1]
    expected = golden[name]["grads"]
    keys = [key for key in grads if "current_decay" in key]
    assert keys
    for key in keys:
        decay = network.get_parameter(key).detach().exp()  # the parameter is the logarithm
        torch.testing.assert_close(grads[key] / decay, -expected[key], rtol=1e-3, atol=1e-4)


def test_lava_dl_cuts_the_gradient_of_recurrent_neurons_at_their_states(golden):
    """It runs the neuron step by step, from states without a graph: what an input does later through current and
    voltage has no gradient there, what it does through the feedback has. So the gradients are the same where neurons
    have no memory, which the comparison above shows, and are the same in the last step, which no state follows.
    """
    name = "recurrent delays"  # without a step to the next layer
    result = golden[name]
    network = loaded(name, result["state"]).eval()
    grads = outputs(network, spikes(name))[1]
    want, block = result["grads"], network[0]
    assert not torch.allclose(grads["x"], want["x"], rtol=0.1)
    # The delays of its last block move every output but that of the neurons without one.
    whole = block.delay.whole_delay
    assert whole.max() > 0
    late = 40 - 1 - int(whole.min())
    torch.testing.assert_close(grads["x"][..., late:], want["x"][..., late:], rtol=1e-4, atol=1e-7)
    assert want["x"][..., late].abs().sum() > 0
