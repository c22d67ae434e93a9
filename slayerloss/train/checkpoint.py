"""Checkpoint files: written complete or not at all, and read so that a damaged or foreign one is refused in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from slayerloss._check import FormatError, SlayerError, message
from slayerloss.io import replacing

_PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops", "epoch", "global_step")
_WAY_OUT = "Take the other checkpoint (best or last), or train again"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of a run, to the CPU.

    Raises:
        FormatError: it is damaged, or no checkpoint of a training.
        OSError: it cannot be read.
    """
    expected = "a checkpoint that slayerloss fit wrote"
    with open(path, "rb"):
        pass
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever torch makes of a damaged file, OSError too: it has no class for that
        got = f"{path.stat().st_size:,} bytes that torch cannot read"
        raise FormatError(message("run", f"'{path}' is damaged", expected, got, _WAY_OUT)) from None
    missing = [name for name in _PARTS if not isinstance(checkpoint, Mapping) or name not in checkpoint]
    if missing or not isinstance(checkpoint["state_dict"], Mapping):
        got = f"a file without {missing[0]}" if missing else "a state_dict that is none"
        raise FormatError(message("run", f"'{path}' is no checkpoint", expected, got, _WAY_OUT))
    return dict(checkpoint)


def load_parameters(module: torch.nn.Module, checkpoint: Mapping[str, Any], path: Path, prefix: str = "") -> None:
    """Give a module its parameters and buffers, which lie under `prefix` in the checkpoint.

    Raises:
        FormatError: they are not the module's: the recipe is not the one that the checkpoint was trained by.
    """
    state = _inner(checkpoint["state_dict"], prefix)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError, SlayerError) as error:
        expected, got = _difference(module.state_dict(), state) or ("its parameters", _first_sentence(error))
        problem, way_out = f"'{path}' does not fit the recipe", "Put recipe.yaml back as it was, or train again"
        raise FormatError(message("run", problem, expected, got, way_out)) from None


def _difference(ours: Mapping[str, Any], read: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first parameter that is not what it should be: what is expected, what is there."""
    for name in [*ours, *read]:
        expected, got = (_shape(state.get(name)) for state in (ours, read))
        if expected != got:
            return (f"{name} {expected}", got) if name in ours else (f"no {name}", got)
    return None


def _shape(value: Any) -> str:
    return "none" if value is None else str(tuple(getattr(value, "shape", ())))


def _inner(state: Any, prefix: str) -> Any:
    """The part of a state dict under a prefix, with the versions of its modules."""
    inner = type(state)((name.removeprefix(prefix), value) for name, value in state.items() if name.startswith(prefix))
    versions = getattr(state, "_metadata", {})
    inner._metadata = {name.removeprefix(prefix): v for name, v in versions.items() if f"{name}.".startswith(prefix)}
    return inner


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ["no reason given"]
    return lines[0].split(". ")[0].rstrip(".:; ")


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's way to checkpoints: a killed run leaves the last complete one, a damaged one is refused in words."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return read_checkpoint(Path(path))
