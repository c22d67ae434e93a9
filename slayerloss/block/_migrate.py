"""What a checkpoint of lava-dl becomes: the state dict in it, key by key, without the network that it was saved from.

Each neuron's own rule for loading converts its parameters, as `load_state_dict` would.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss._check import FormatError, SlayerError, message
from slayerloss._path import check_file_to_read
from slayerloss.neuron import _decay
from slayerloss.neuron._oscillation import of_lava_dl
from slayerloss.neuron.base import MIGRATED

STATES = ("spike", "current", "voltage", "threshold", "refractory", "real", "imag", "pre", "residual", "error")
"""What lava-dl remembers of the last batch under these names with `_state` behind."""
PARTS = ("sigma", "delta")
"""Of a sigma-delta neuron."""
TURN = ("sin_decay", "cos_decay")
LEAK = ("current_decay", "voltage_decay")
DECAYS = (*LEAK, "threshold_decay", "refractory_decay")
SAME = (
    *("weight", "weight_g", "weight_v", "bias", "delay", "mask", "threshold", "self_excitation"),
    *("running_mean", "running_var", "filter"),
)
"""What lava-dl's modules have in the same form."""
LAVA_DL = 1
"""The version that torch notes for every module of lava-dl."""
PARALLEL = "module."
"""What DataParallel puts before every key."""


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
    prefix: str
    """What stood before every key and is taken away."""
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
    found = list(_state_dicts(checkpoint))
    if not found:
        keys = ", ".join([str(key) for key in checkpoint][:4]) or "no key"
        rule = "keys such as blocks.0.neuron.current_decay"
        raise FormatError(message("migrate", "the checkpoint holds no neuron of lava-dl", rule, keys))
    if len(found) > 1:
        places = ", ".join(_joined(place) or "the checkpoint itself" for place, _ in found)
        way_out = "Save the one you want in a file of its own"
        raise FormatError(message("migrate", "the checkpoint holds several networks", "one", places, way_out))
    place, mapping = found[0]
    named = OrderedDict((key, value) for key, value in mapping.items() if isinstance(key, str))
    prefix = PARALLEL if all(key.startswith(PARALLEL) for key in named) else ""
    saved = OrderedDict((key.removeprefix(prefix), value) for key, value in named.items())
    versions = getattr(mapping, "_metadata", {})
    saved._metadata = {key.removeprefix(prefix): value for key, value in versions.items()}  # type: ignore[attr-defined]
    neurons = _neurons(saved)
    state: OrderedDict[str, Tensor] = OrderedDict()
    entries = [_convert(saved, key, neurons, state) for key in saved]
    state._metadata = _versions(saved, entries)  # type: ignore[attr-defined]
    entries += [Entry(str(key), None, "left out", "its key is no text") for key in mapping if not isinstance(key, str)]
    return Migration(_joined(place), prefix, state, entries + list(_beside(checkpoint, place)))


def _joined(place: Iterable[object]) -> str:
    return ".".join(map(str, place))


def _state_dicts(
    mapping: Mapping[Any, Any], place: tuple[Any, ...] = (), around: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Mapping[Any, Any]]]:
    """Every dictionary in a checkpoint that has a neuron of lava-dl among its keys, and the keys that lead to it."""
    around = (*around, id(mapping))
    if _neurons(mapping):
        yield place, mapping
    for key, value in mapping.items():
        if isinstance(value, Mapping) and id(value) not in around:
            yield from _state_dicts(value, (*place, key), around)


def _neurons(saved: Mapping[Any, Any]) -> set[str]:
    """The modules in a state dict that have what only a neuron of lava-dl has."""
    keys = {key for key, value in saved.items() if isinstance(key, str) and isinstance(value, Tensor)}
    turn = {_module(key) for key in keys if _leaf(key) in TURN}
    current, voltage = ({_module(key) for key in keys if _leaf(key) == name} for name in LEAK)
    sends = {_module(_module(key)) for key in keys if f".{key}".endswith(".delta.threshold")}
    return turn | (current & voltage) | sends


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _module(key: str) -> str:
    return key.rpartition(".")[0]


def _convert(saved: Mapping[str, Any], key: str, neurons: set[str], state: OrderedDict[str, Tensor]) -> Entry:
    """Put what a key becomes into `state`."""
    value, leaf, module = saved[key], _leaf(key), _module(key)
    if not isinstance(value, Tensor):
        return Entry(key, None, "left out", f"no tensor, but {type(value).__name__}")
    shape = tuple(value.shape)
    # a block remembers its spikes, a neuron its states, and the parts of a sigma-delta neuron theirs
    owners = {f"{module}.neuron".lstrip("."), module, *([_module(module)] if _leaf(module) in PARTS else [])}
    if neurons & owners and leaf.endswith("_state") and leaf.removesuffix("_state") in STATES:
        return Entry(key, shape, "left out", "of the last batch; a run begins at rest")
    if leaf not in DECAYS + TURN or module not in neurons:
        state[key] = value
        return Entry(key, shape, "kept", _note(key, value, neurons))
    try:
        new = _converted(saved, key)
    except SlayerError as error:
        raise FormatError(re.sub("^load_state_dict:", "migrate:", str(error))) from None
    state.update(new)
    names = " and ".join(map(_leaf, new))
    return Entry(key, shape, "converted", f"{_span(value)}{f', to {names}' if leaf in TURN else ''}")


def _note(key: str, value: Tensor, neurons: set[str]) -> str:
    """What there is to say of a key that is kept."""
    if _leaf(key) not in SAME:
        return "not of lava-dl; it loads where the network has it"
    module = _module(key)
    if module.endswith("norm") and _module(module) in neurons and value.shape == (1,) and not value.any():
        return "of a norm that never ran; an Output of sigma-delta neurons leaves it out"
    return ""


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
    if math.isnan(low):
        return "not drawn yet"
    return (f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}") + " / 4096 a step"


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
            module, name = _module(entry.key), _leaf(entry.key)
            single = versions.get(module, {}).get(MIGRATED, {})
            if name in DECAYS and entry.shape == (1,):
                single = {**single, name: saved[entry.key].item()}
            versions[module] = {"version": _decay.VERSION, MIGRATED: single}
    return versions


def _beside(checkpoint: Mapping[Any, Any], place: tuple[Any, ...], above: tuple[Any, ...] = ()) -> Iterator[Entry]:
    """What a checkpoint holds beside the state dict."""
    if not place:
        return
    within, *rest = place
    for key, value in checkpoint.items():
        if key != within:
            note = "of the training of the other parameters" if "optim" in str(key) else "not of the network"
            shape = tuple(value.shape) if isinstance(value, Tensor) else None
            yield Entry(_joined((*above, key)), shape, "left out", note)
    yield from _beside(checkpoint[within], tuple(rest), (*above, within))
