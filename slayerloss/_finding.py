"""What a check of a file or folder has to say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that a check of a file or folder found; its text is a line for people.

    Attributes:
        severity: "error" (it cannot be used, or not as it says), "warning" (it can, but is probably not what was meant)
            or "note".
        place: the file or folder, or the path inside an HDF5 file.
        problem: what is there, and what becomes of it.
        way_out: what to do about it.
        fatal: it cannot be loaded or run, by whom `scope` says.
        scope: of a network file, "lava" for what only Lava (or the chip) would refuse, change or ignore, and "file" for
            what has no meaning whatever reads it, such as NaN or shapes that do not chain.

    Example:
        >>> print(Finding("warning", "Train/3", "the folder is empty", "Unpack the archive again"))
        warning: Train/3: the folder is empty. Unpack the archive again.
    """

    severity: str
    place: str
    problem: str
    way_out: str = ""
    fatal: bool = False
    scope: str = "file"

    def __str__(self) -> str:
        way_out = f" {self.way_out}{'' if self.way_out.endswith('?') else '.'}" if self.way_out else ""
        return f"{self.severity}: {self.place}: {self.problem}.{way_out}"
