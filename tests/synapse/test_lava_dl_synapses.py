"""lava-dl's synapses themselves: their state dicts, outputs and gradients, real and complex."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lava_dl_synapses import SYNAPSES, build, outputs, spikes

import slayerloss

pytestmark = pytest.mark.lava


@pytest.fixture(scope="module")
def golden(lava_dl, tmp_path_factory):
    """What lava-dl makes of every synapse."""
    path = tmp_path_factory.mktemp("lava_dl_synapses") / "results.pt"
    lava_dl(Path(__file__).with_name("lava_dl_synapses.py"), path)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("name", SYNAPSES)
def test_state_dicts_load_and_give_lava_dls_outputs_and_gradients(golden, name, is_complex):
    result = golden[f"complex {name}" if is_complex else name]
    synapse = build(slayerloss, name, is_complex)
    assert {key: value.shape for key, value in synapse.state_dict().items()} == {
        key: value.shape for key, value in result["state"].items()
    }
    synapse.load_state_dict(result["state"])
    answers, grads = outputs(synapse, spikes(name))
    for answer, expected in zip(answers, result["answers"], strict=True):
        assert torch.equal(answer, expected)
        assert answer.any()
    learned_there = result["grads"].keys()  # with weight norm lava-dl learns a pool's fixed weight
    assert grads.keys() == ({"x"} if "pool" in name.lower() else learned_there)
    for key, grad in grads.items():
        torch.testing.assert_close(grad, result["grads"][key], rtol=1e-4, atol=1e-5, msg=key)
    if len(grads) > 1:
        assert synapse.grad_norm == pytest.approx(result["grad norm"], rel=1e-4)
