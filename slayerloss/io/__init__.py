"""Event files, `Event`, tensors: numpy only.

`read` and `write` choose the format by the suffix; `to_frames` and `from_frames` lead to arrays and back with every
event counted. Under lava-dl's names: `Event.to_tensor`, `Event.fill_tensor`, `tensor_to_event` and the six functions
`read_*_spikes` and `encode_*_spikes`.
"""

from __future__ import annotations

from slayerloss.io.arrays import encode_np_spikes, from_structured, read_np_spikes, to_structured
from slayerloss.io.atomic import replacing
from slayerloss.io.binary import encode_1d_spikes, encode_2d_spikes, read_1d_spikes, read_2d_spikes
from slayerloss.io.event import Event, tensor_to_event
from slayerloss.io.files import SUFFIXES, read, write
from slayerloss.io.frames import bins, crop, from_frames, to_frames

__all__ = [
    "SUFFIXES",
    "Event",
    "bins",
    "crop",
    "encode_1d_spikes",
    "encode_2d_spikes",
    "encode_np_spikes",
    "from_frames",
    "from_structured",
    "read",
    "read_1d_spikes",
    "read_2d_spikes",
    "read_np_spikes",
    "replacing",
    "tensor_to_event",
    "to_frames",
    "to_structured",
    "write",
]
