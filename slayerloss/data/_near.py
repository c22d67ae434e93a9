"""Where the folder of a dataset is, if it was named one level too high or too low."""

from __future__ import annotations

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
    beside = folder if folder.is_dir() else folder.parent  # of a folder that is not there, what is beside it
    near = [folder.parent, folder.parent.parent, *sorted(path for path in beside.glob("*") if path.is_dir())]
    return next((f"Did you mean '{place}'?" for place in near if any((place / name).exists() for name in names)), "")
