"""The fields of a neuron in a network file, as the arguments of a neuron."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slayerloss._check import ArgumentError, DtypeError, check_range, check_type, message


def field(device_params: Mapping[str, Any], name: str, lsbs: float) -> Any:
    """A field in units of so many LSBs: a number, or an array with one per channel.

    Raises:
        DtypeError, ArgumentError: there is no such field, or it holds no finite numbers.
    """
    check_type("neuron_params", "device_params", device_params, Mapping, "a dictionary as Neuron.device_params")
    check_range("neuron_params", "the scale", lsbs, 0, low_open=True)
    if name not in device_params:
        rule, got = f"a field {name!r}", ", ".join(map(str, device_params)) or "none"
        raise ArgumentError(message("neuron_params", "device_params is of another neuron", rule, got))
    value = np.asarray(device_params[name])
    if value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        kind = ArgumentError if value.dtype.kind in "iuf" else DtypeError
        raise kind(message("neuron_params", f"{name} is no number", "finite numbers", device_params[name]))
    return value.item() / lsbs if value.ndim == 0 else value / lsbs
