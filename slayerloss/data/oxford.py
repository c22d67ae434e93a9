"""The Oxford pair: one spike train in, one spike train wanted."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from slayerloss._check import FormatError, check_choice, check_integer, message
from slayerloss._path import check_path
from slayerloss.data._near import did_you_mean
from slayerloss.io import Event, read_1d_spikes, to_frames

NUM_NEURONS = 200


class Oxford(Dataset[tuple[Tensor, Tensor]]):
    """Spike-time regression: 200 input neurons, 200 output neurons whose spikes draw a picture of Oxford, about 1.9 s.

    Args:
        root: the folder that holds `input.bs1` and `output.bs1`.
        num_steps: T; spikes after it are left out.
        step_ms: the width of a time step in ms, above 0.
        rounding: "floor", or "lava-dl" as its tutorial does: "nearest" for the input, "floor" for the target.

    Raises:
        FormatError: a file is missing or truncated, or has an id of 200 or more.
        ArgumentError: an option is out of range.

    Example:
        >>> import tempfile
        >>> from slayerloss import io
        >>> folder = Path(tempfile.mkdtemp())
        >>> io.write(folder / "input.bs1", Event([3], None, [1], [0.5]))
        >>> io.write(folder / "output.bs1", Event([199], None, [1], [7.0]))
        >>> spikes, target = Oxford(folder, num_steps=10)[0]
        >>> spikes.shape, target.nonzero()
        (torch.Size([200, 10]), tensor([[199,   7]]))

    Note:
        The dataset has one item, (input (200, T), target (200, T)), both float32 and binary.
    """

    def __init__(
        self, root: str | os.PathLike[str], num_steps: int = 2000, step_ms: float = 1.0, *, rounding: str = "floor"
    ) -> None:
        check_integer("Oxford", "num_steps", num_steps, 1)
        check_choice("Oxford", "rounding", rounding, ("floor", "lava-dl"))
        root = check_path("Oxford", "root", root)
        self.num_steps = num_steps
        self.step_ms = step_ms
        self.input = _spikes(
            Path(root) / "input.bs1", num_steps, step_ms, "floor" if rounding == "floor" else "nearest"
        )
        self.target = _spikes(Path(root) / "output.bs1", num_steps, step_ms, "floor")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index not in (0, -1):
            raise IndexError(message("Oxford", "index is out of range", "0", index))
        return self.input, self.target

    def __repr__(self) -> str:
        return f"Oxford({self.num_steps} steps of {self.step_ms:g} ms)"


def _spikes(path: Path, num_steps: int, step_ms: float, rounding: str) -> Tensor:
    """The spikes of a file, (200, T); the polarity says nothing here."""
    if not path.is_file():
        near = did_you_mean(path.parent, path.name)
        way_out = near or "datasets/oxford/README.md says where to get it"
        raise FormatError(message("Oxford", f"'{path}' is missing", "input.bs1 and output.bs1", "no file", way_out))
    event = read_1d_spikes(path)
    if event.x.max(initial=0) >= NUM_NEURONS:
        got = f"ids to {event.x.max()}"
        raise FormatError(message("Oxford", f"'{path}' has too many neurons", f"ids below {NUM_NEURONS}", got))
    event = Event(event.x, None, event.c * 0, event.t)
    return torch.from_numpy(to_frames(event, (1, NUM_NEURONS), num_steps, step_ms, rounding=rounding)[0])
