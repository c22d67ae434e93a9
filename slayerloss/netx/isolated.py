"""Read a network file that somebody else wrote: first in a process of its own.

A damaged file can crash the HDF5 library, or make it take memory and time without end. That ends the process, and no
`try` catches it. So a child process, with limits of both, has to come through the file first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from slayerloss._check import FormatError, message
from slayerloss._path import check_file_to_read, check_path
from slayerloss.netx.description import Description
from slayerloss.netx.read import read

SECONDS = 60.0
"""The child's time; the largest file that `read` accepts takes a few seconds."""

BYTES = 6 << 30
"""The child's memory; `read` accepts 2 GiB of data and holds parts of them twice."""

# The child has the parent's modules, not those that happen to lie in the current folder.
_CHILD = "import sys; sys.path[:] = {path!r}; from slayerloss.netx.isolated import child; child(sys.argv[1])"
_READ, _REFUSED = 0, 3


def read_isolated(path: str | os.PathLike[str]) -> Description:
    """Read a network file after a child process has shown that it can be read.

    Args:
        path: a network file, as for `read`.

    Returns:
        What `read` returns.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: `read` refuses the file; or it crashes the HDF5 library, or takes more than a minute or 6 GiB of
            memory (where the system limits the memory of a process: Linux).

    Example:
        >>> read_isolated("missing.net")
        Traceback (most recent call last):
        ...
        slayerloss._check.MissingFileError: netx: there is no file 'missing.net'; expected a file, got no such file.
    """
    source = check_path("netx", "path", path)
    check_file_to_read("netx", source)
    command = [sys.executable, "-c", _CHILD.format(path=sys.path), source]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads take time to start, and memory
    try:
        child = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            env={**os.environ, **one_thread},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unreadable(source, f"nothing after {SECONDS:g} seconds") from error
    if child.returncode == _REFUSED:
        raise FormatError(json.loads(child.stdout))
    if child.returncode != _READ:
        raise _unreadable(source, f"a reader that died ({_words(child.returncode, child.stderr)})")
    return read(source)


def child(source: str) -> None:
    """Read the file and end the process; its exit status and output tell how it went."""
    limit_memory(BYTES)
    try:
        read(source)
    except FormatError as error:
        print(json.dumps(str(error)))
        sys.stdout.flush()
        os._exit(_REFUSED)
    os._exit(_READ)  # at once: the library's own end may crash on what it has seen


def limit_memory(size: int) -> None:
    """Let this process have no more than `size` bytes, and leave no dump when it crashes, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, limit in ((resource.RLIMIT_AS, size), (resource.RLIMIT_CORE, 0)):
        _, most = resource.getrlimit(kind)
        if most == resource.RLIM_INFINITY or limit < most:
            try:
                resource.setrlimit(kind, (limit, most))
            except (ValueError, OSError):  # a system that has the limit and does not let it be set
                continue


def _unreadable(source: str, got: str) -> FormatError:
    way_out = "The file is damaged: copy or export it again"
    return FormatError(message("netx", f"'{source}' cannot be read", "an HDF5 network file", got, way_out))


def _words(status: int, stderr: bytes) -> str:
    """What ended a process: the signal's name, or its last words."""
    if status < 0:
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"
    lines = stderr.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return f"exit status {status}: {last}"
