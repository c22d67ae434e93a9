"""Network files of neurons with an adaptive threshold: lava-dl's and ours say the same, and Lava shall not get them."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
import torch

import slayerloss
from slayerloss import ArgumentError, netx
from slayerloss.netx.differing_fields import differing_fields

ADAPTIVE = {"threshold_step": 0.1, "threshold_decay": 0.1, "refractory_decay": 0.2}
LIF = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, **ADAPTIVE}
RESONATOR = {"threshold": 1, "period": 10, "decay": 0.03, **ADAPTIVE}
NEURONS = {"alif": LIF, "adrf": RESONATOR, "adrf_iz": RESONATOR}
REASONS = {
    "alif": r"Lava cannot load dense layers of ALIF neurons.*It loads CUBA",
    "adrf": r"Lava takes ADRF_PHASE neurons for RF_PHASE: the threshold does not adapt.*Train RF_PHASE neurons",
    "adrf_iz": r"Lava takes ADRF_IZHIKEVICH neurons for RF_IZHIKEVICH.*Train RF_IZHIKEVICH neurons",
}

# Builds a dense layer of each neuron, lets it run, and writes its state dict and its part of a network file. lava-dl's
# own forward of ADRF_IZ fails.
ON_LAVA_DL = f"""
import sys, h5py, torch
from lava.lib.dl import slayer
slayer.neuron.adrf_iz.Neuron.forward = lambda self, x: self.spike(*self.dynamics(x))
for name, parameters in {NEURONS!r}.items():
    block = getattr(slayer.block, name).Dense(parameters, 5, 3, weight_scale=2, delay=True).eval()
    with torch.no_grad():
        block((torch.rand(1, 5, 4) > 0.5).float())
        block.delay.delay.data = torch.tensor([0.0, 3.5, 7.0])
    torch.save(block.state_dict(), f"{{sys.argv[1]}}/{{name}}.pt")
    with h5py.File(f"{{sys.argv[1]}}/{{name}}.net", "w") as file:
        block.export_hdf5(file.create_group("layer/0"))
"""


@pytest.fixture(scope="module")
def folder(lava_dl, tmp_path_factory):
    """What lava-dl writes."""
    path = tmp_path_factory.mktemp("adaptive")
    lava_dl("-c", ON_LAVA_DL, path)
    return path


@pytest.mark.lava
@pytest.mark.parametrize("name", NEURONS)
def test_a_block_writes_what_lava_dls_does(folder: Path, tmp_path: Path, name: str) -> None:
    block = getattr(slayerloss.block, name).Dense(NEURONS[name], 5, 3, delay=True)
    block.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True))
    with h5py.File(tmp_path / "own.net", "w") as file:
        block.export_hdf5(file.create_group("layer/0"))
    own, other = (netx.read(path).layers[0] for path in (tmp_path / "own.net", folder / f"{name}.net"))
    assert own.type == other.type == "dense"
    assert other.neuron is not None
    assert other.neuron["vThStep"] == 6
    assert differing_fields(own, other) == differing_fields(other, own) == []


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("shared", [True, False])
def test_a_file_gives_the_block_back(tmp_path: Path, name: str, shared: bool) -> None:
    torch.manual_seed(0)
    block = getattr(slayerloss.block, name).Dense({**NEURONS[name], "shared_param": shared}, 5, 30, weight_scale=5)
    x = (torch.rand(2, 5, 60) > 0.5).float()
    spikes = block(x)
    with h5py.File(tmp_path / "own.net", "w") as file:
        block.export_hdf5(file.create_group("layer/0"))
    again = netx.to_torch(tmp_path / "own.net")
    assert type(again[0]) is type(block)
    assert again[0].neuron.device_params.keys() == block.neuron.device_params.keys()
    assert spikes.any()
    assert torch.equal(again(x), spikes)


@pytest.mark.parametrize("name", NEURONS)
def test_export_refuses_what_lava_would_not_run(tmp_path: Path, name: str) -> None:
    model = torch.nn.Sequential(getattr(slayerloss.block, name).Dense(NEURONS[name], 5, 3))
    with pytest.raises(ArgumentError, match=REASONS[name]):
        netx.export(model, tmp_path / "network.net", input_shape=(5,))
    assert not list(tmp_path.iterdir())
