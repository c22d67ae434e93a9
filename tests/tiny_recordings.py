"""A handful of recordings in N-MNIST's layout, and a recipe that trains on them in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from slayerloss import io

CLASSES = 3


def write_recordings(root: Path, per_class: int = 4) -> Path:
    """Recordings of three classes that differ in where their events are; as many to test with."""
    rng = np.random.default_rng(0)
    for split in ("Train", "Test"):
        for label in range(CLASSES):
            (root / split / str(label)).mkdir(parents=True)
            for number in range(per_class):
                x, y = rng.integers(8 * label, 8 * label + 16, 300), rng.integers(0, 34, 300)
                event = io.Event(x, y, rng.integers(0, 2, 300), np.sort(rng.uniform(0, 99, 300)))
                io.write(root / split / str(label) / f"{number:05}.bin", event)
    return root


def tiny_recipe(root: Path, **changes: Any) -> dict[str, Any]:
    """Two small layers with everything that draws random numbers; the output spikes and learns."""
    neuron = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1, "scale_grad": 3, "requires_grad": True}
    hidden = {"dropout": 0.2, "norm": "MeanOnlyBatchNorm"}
    recipe = {
        "data": {
            "type": "NMNIST",
            "root": str(root),
            "num_steps": 10,
            "step_ms": 10.0,
            "batch_size": 4,
            "valid_fraction": 0.25,
            "augment": [{"type": "Shift", "max_pixels": 2}],
        },
        "network": {
            "neuron": neuron,
            "layers": [
                {"type": "Conv", "out_features": 4, "kernel_size": 5, "stride": 3, "weight_scale": 3, "neuron": hidden},
                {"type": "Dense", "out_neurons": CLASSES, "weight_scale": 3, "weight_norm": True, "delay": True},
            ],
        },
        "loss": {"type": "SpikeRate", "true_rate": 0.5, "false_rate": 0.05},
        "optimizer": {"type": "Adam", "lr": 0.01},
        "schedule": {"type": "cosine", "warmup": 0.1},
        "trainer": {"max_epochs": 4, "accelerator": "cpu", "enable_progress_bar": False},
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        place = recipe
        for part in path:
            place = place[part]
        place[last] = value
    return recipe


def write_recipe_file(path: Path, recipe: dict[str, Any]) -> Path:
    """The recipe as a YAML file."""
    path.write_text(yaml.safe_dump(recipe))
    return path
