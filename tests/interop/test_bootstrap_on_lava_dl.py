"""Bootstrap training beside lava-dl's own: fits, schedules, and networks in every mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lava_dl_bootstrap as cases
import pytest
import torch

from slayerloss import bootstrap

pytestmark = pytest.mark.lava


@pytest.fixture(scope="module")
def golden(lava_dl: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What lava-dl makes of every case."""
    path = tmp_path_factory.mktemp("bootstrap") / "results.pt"
    lava_dl(Path(cases.__file__), path)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("name", cases.SAMPLERS)
def test_a_sampler_fits_as_lava_dl(golden: Any, name: str) -> None:
    for ours, theirs in zip(cases.sampled(bootstrap, name), golden[name], strict=True):
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-6, atol=1e-7, msg=f"{name}: {key}")


@pytest.mark.parametrize("name", cases.SCHEDULES)
def test_a_schedule_is_lava_dls(golden: Any, name: str) -> None:
    assert cases.scheduled(bootstrap, name) == golden[f"schedule {name}"]


@pytest.mark.parametrize("name", cases.NETWORKS)
def test_a_network_runs_in_every_mode_as_lava_dl(golden: Any, name: str) -> None:
    theirs = golden[f"network {name}"]
    network = cases.build(bootstrap, name, delay_shift="lava-dl")
    assert set(network.state_dict()) == set(theirs["state"])
    network.load_state_dict(theirs["state"])
    ours = cases.run(bootstrap, network, name)
    for key in ("snn", "sample", "pairs", "centers"):
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-6, atol=1e-7, msg=key)
    assert theirs["snn"].any()
    torch.testing.assert_close(ours["ann"], theirs["ann"], rtol=1e-5, atol=1e-6)
    assert set(ours["grads"]) == set(theirs["grads"])
    for key, grad in theirs["grads"].items():
        torch.testing.assert_close(ours["grads"][key], grad, rtol=1e-4, atol=1e-6, msg=key)
