"""Writing a file so that a crash leaves the old one, or none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty file beside `path` to write to; it becomes `path` once the block has ended well.

    If the block raises, `path` stays as it was and the temporary file is removed. If the process is killed, `path`
    stays as it was, too, and a hidden file `.NAME.<random>.tmp` may be left beside it.

    Args:
        path: the file to write or to replace.

    Yields:
        The path of the temporary file.

    Raises:
        OSError: the folder is missing or cannot be written to; the error names `path`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("new")
        >>> (folder / "a.txt").read_text()
        'new'
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())  # the bytes reach the disk before the name changes hands
        try:
            os.replace(temporary, target)
        except OSError as error:  # a folder has the name
            raise OSError(error.errno, error.strerror, str(target)) from None
    finally:
        temporary.unlink(missing_ok=True)
