"""Where the folder of a dataset is, if it was named one level too high or too low."""

from __future__ import annotations

import glob
import os
from pathlib import Path


def did_you_mean(folder: Path, *names: str) -> str:
    """The question for a folder near `folder` that holds one of `names`; empty if there is none.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "NMNIST" / "Train").mkdir(parents=True)
        >>> did_you_mean(root, "Train", "Test") == f"Did you mean '{root / 'NMNIST'}'?"
        True
    """
    beside = folder if os.path.isdir(folder) else folder.parent  # of a folder that is not there, what is beside it
    folders = glob.glob(os.path.join(glob.escape(str(beside)), "*", ""))
    near = [folder.parent, folder.parent.parent, *sorted(map(Path, folders))]
    there = (place for place in near if any(os.path.exists(place / name) for name in names))  # no: also if unreadable
    return next((f"Did you mean '{place}'?" for place in there), "")
