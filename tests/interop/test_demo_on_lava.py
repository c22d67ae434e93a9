"""The network that the demo trains and exports, on Lava itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slayerloss import netx, train
from slayerloss.cli import main


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "run"
    assert main(["demo", "--quick", "--out", str(out)]) == 0
    return out


def test_the_demos_file_runs_on_lava_as_it_was_trained(demo: Path, run_on_lava: Any) -> None:
    run = train.Run.open(demo)
    (events, _), *_ = run.data().test_dataloader()
    sample = events[0].numpy()
    recording = netx.Network(demo / "network.net").run(sample, states=True)
    on_lava = run_on_lava(demo / "network.net", sample.reshape(-1, sample.shape[-1]))  # Lava takes it flat
    assert len(on_lava) == len(recording.spikes) == 2
    for layer, spikes, states in zip(on_lava, recording.spikes, recording.states, strict=True):
        assert spikes.any()
        np.testing.assert_array_equal(layer["spikes"], spikes)
        for name in ("u", "v"):
            np.testing.assert_array_equal(layer[name], states[name])
    with torch.no_grad():
        trained = run.network()(events[:1])[0].numpy()
    np.testing.assert_array_equal(on_lava[-1]["spikes"], trained)
