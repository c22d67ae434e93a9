"""Writing a file so that a crash leaves the old one, or none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slayerloss._check import FileError, MissingFileError, message

_LONG = 100
"""Bytes of a name from which on the temporary one is no longer than it: systems limit a name, most to 255 bytes."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty file beside `path` to write to; it becomes `path` once the block has ended well.

    If the block raises, `path` stays as it was and the temporary file is removed. If the process is killed, `path`
    stays as it was, too, and a hidden file `.NAME.<random>.tmp` may be left beside it; of a
    long name the end is cut off there, so that every name that the disk takes can be written.

    Args:
        path: the file to write or to replace.

    Yields:
        The path of the temporary file.

    Raises:
        FileError: the folder is missing or cannot be written to, or the disk does not take the name.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("new")
        >>> (folder / "a.txt").read_text()
        'new'
    """
    target = Path(path)
    name = target.name if len(target.name.encode(errors="surrogatepass")) <= _LONG else target.name[:-14]
    try:
        temporary = target.with_name(f".{name}.{secrets.token_hex(4)}.tmp")  # 14 characters more than `name`
        temporary.touch(exist_ok=False)
    except (OSError, ValueError) as error:  # ValueError: a name that is none, or with a NUL in it
        raise _refused(target, error) from None
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())  # the bytes reach the disk before the name changes hands
        try:
            os.replace(temporary, target)
        except OSError as error:  # a folder has the name
            raise _refused(target, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def _refused(target: Path, error: OSError | ValueError) -> FileError:
    """The system's reason with the name of the file that was to be written."""
    kind = MissingFileError if isinstance(error, FileNotFoundError) else FileError
    reason = getattr(error, "strerror", None) or str(error)
    return kind(message("replacing", f"'{target}' cannot be written", "a file that can be made or replaced", reason))
