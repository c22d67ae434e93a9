"""What a checkpoint of lava-dl becomes: the state dict in it, key by key, without the network that it was saved from.

Each neuron's own rule for loading converts its parameters, as `load_state_dict` would.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, FormatError, message
from slayerloss._path import check_file_to_read
from slayerloss.neuron import _decay
from slayerloss.neuron._oscillation import of_lava_dl

STATES = ("spike", "current", "voltage", "threshold", "refractory", "real", "imag", "pre", "residual", "error")
"""What lava-dl remembers of the last batch under these names with `_state` behind."""
TURN = ("sin_decay", "cos_decay")
DECAYS = ("current_decay", "voltage_decay", "threshold_decay", "refractory_decay")
SAME = (
    *("weight", "weight_g", "weight_v", "bias", "delay", "mask", "threshold", "self_excitation"),
    *("running_mean", "running_var", "filter"),
)
"""What lava-dl's modules have in the same form."""
LAVA_DL = 1
"""The version that torch notes for every module of lava-dl."""


class Entry(NamedTuple):
    """What became of one key."""

    key: str
    shape: tuple[int, ...] | None
    """None for what is no tensor."""
    fate: str
    """"converted", "kept" or "left out"."""
    note: str


class Migration(NamedTuple):
    """A state dict that slayerloss's networks load, and what became of every key of the checkpoint."""

    place: str
    """Where in the checkpoint the state dict was, its keys joined by dots; empty for the checkpoint itself."""
    state: OrderedDict[str, Tensor]
    entries: list[Entry]


def read(path: Path) -> Mapping[str, Any]:
    """The checkpoint in a file: tensors, numbers, text and containers of them, nothing else.

    Raises:
        FileError: there is no such file.
        FormatError: it is no checkpoint, or holds Python objects, whose code would have to run.
    """
    check_file_to_read("migrate", path)
    expected = "a state dict, or a dictionary that holds one"
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found is None:
            raise _unreadable(path, expected) from None
        problem, got = f"'{path}' holds Python objects, whose code is not run", found[1]
        way_out = "Where lava-dl is installed, save the state dict alone: torch.save(net.state_dict(), 'state.pt')"
        raise FormatError(message("migrate", problem, expected, got, way_out)) from None
    except Exception:  # whatever torch makes of a damaged file: it has no class for that
        raise _unreadable(path, expected) from None
    if not isinstance(checkpoint, Mapping):
        raise FormatError(message("migrate", f"'{path}' is no checkpoint", expected, type(checkpoint).__name__))
    return checkpoint


def _unreadable(path: Path, expected: str) -> FormatError:
    got = f"{path.stat().st_size:,} bytes that torch cannot read"
    return FormatError(message("migrate", f"'{path}' is no checkpoint", expected, got))


def migrate(checkpoint: Mapping[str, Any]) -> Migration:
    """Convert the state dict in a checkpoint of lava-dl.

    Raises:
        FormatError: there is no state dict of lava-dl in it, or more than one, or a value that lava-dl cannot have
            saved.
    """
    found = list(_state_dicts(checkpoint, ""))
    if not found:
        keys = ", ".join([str(key) for key in checkpoint][:4]) or "no key"
        rule = "keys such as blocks.0.neuron.current_decay"
        raise FormatError(message("migrate", "the checkpoint holds no neuron of lava-dl", rule, keys))
    if len(found) > 1:
        places = ", ".join(place or "the checkpoint itself" for place, _ in found)
        way_out = "Save the one you want in a file of its own"
        raise FormatError(message("migrate", "the checkpoint holds several networks", "one", places, way_out))
    place, saved = found[0]
    state: OrderedDict[str, Tensor] = OrderedDict()
    entries = [_convert(saved, key, state) for key in saved]
    state._metadata = _versions(saved, entries)  # type: ignore[attr-defined]
    return Migration(place, state, entries + list(_beside(checkpoint, place)))


def _state_dicts(checkpoint: Mapping[Any, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every dictionary in the checkpoint that has a neuron of lava-dl among its keys, and where it is."""
    if any(isinstance(value, Tensor) and _is_of_neuron(key) for key, value in checkpoint.items()):
        yield place, checkpoint
    for key, value in checkpoint.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            yield from _state_dicts(value, f"{place}.{key}".lstrip("."))


def _is_of_neuron(key: object) -> bool:
    return isinstance(key, str) and (_leaf(key) in DECAYS + TURN or f".{key}".endswith(".delta.threshold"))


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _module(key: str) -> str:
    return key.rpartition(".")[0]


def _convert(saved: Mapping[str, Any], key: str, state: OrderedDict[str, Tensor]) -> Entry:
    """Put what a key becomes into `state`."""
    value, leaf = saved[key], _leaf(key)
    if not isinstance(value, Tensor):
        return Entry(key, None, "left out", f"no tensor, but {type(value).__name__}")
    shape = tuple(value.shape)
    if leaf.endswith("_state") and leaf.removesuffix("_state") in STATES:
        return Entry(key, shape, "left out", "of the last batch; a run begins at rest")
    if leaf not in DECAYS + TURN:
        state[key] = value
        return Entry(key, shape, "kept", "" if leaf in SAME else "not of lava-dl; it loads where the network has it")
    try:
        new = _converted(saved, key)
    except ArgumentError as error:
        raise FormatError(str(error).replace("load_state_dict", "migrate", 1)) from None
    state.update(new)
    names = " and ".join(map(_leaf, new))
    return Entry(key, shape, "converted", f"{_span(value)} / 4096 a step" + (f", to {names}" if leaf in TURN else ""))


def _converted(saved: Mapping[str, Any], key: str) -> dict[str, Tensor]:
    """The stored form of a decay, or of the decay and the frequency of a turn, under their names."""
    version, prefix = _version(saved, key), key.removesuffix(_leaf(key))
    if _leaf(key) in DECAYS:
        return {key: _decay.from_state_dict(key, saved[key], version)}
    sin, cos = (saved.get(prefix + name) for name in TURN)
    if not (isinstance(sin, Tensor) and isinstance(cos, Tensor)):
        problem = f"{key} is only half of a turn"
        raise FormatError(message("migrate", problem, " and ".join(prefix + name for name in TURN), key))
    names = (f"{prefix}log_decay", f"{prefix}log_frequency")
    return dict(zip(names, of_lava_dl(prefix, sin, cos), strict=True))


def _span(values: Tensor) -> str:
    low, high = values.min().item(), values.max().item()
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"


def _version(saved: Mapping[str, Any], key: str) -> int:
    """The version of the neuron that a parameter belongs to; what is no longer known is lava-dl's."""
    version: int = getattr(saved, "_metadata", {}).get(_module(key), {}).get("version") or LAVA_DL
    if version > LAVA_DL:
        problem, way_out = f"{key} is slayerloss's already", "Load it with load_state_dict"
        raise FormatError(message("migrate", problem, "lava-dl's", f"version {version}", way_out))
    return version


def _versions(saved: Mapping[str, Any], entries: list[Entry]) -> OrderedDict[str, dict[str, Any]]:
    """The versions that tell `load_state_dict` which form every module is in."""
    versions = OrderedDict(getattr(saved, "_metadata", {}))
    for entry in entries:
        if entry.fate == "converted":
            versions[_module(entry.key)] = {"version": _decay.VERSION}
    return versions


def _beside(checkpoint: Mapping[Any, Any], place: str) -> Iterator[Entry]:
    """What a checkpoint holds beside the state dict."""
    if not place:
        return
    within, _, rest = place.partition(".")
    for key, value in checkpoint.items():
        if key != within:
            note = "of the training of the other parameters" if "optim" in str(key) else "not of the network"
            yield Entry(str(key), tuple(value.shape) if isinstance(value, Tensor) else None, "left out", note)
    for entry in _beside(checkpoint[within], rest):
        yield entry._replace(key=f"{within}.{entry.key}")
