"""Checks of paths, before anything is read or written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from slayerloss._check import FileError, MissingFileError, check_type, message


def check_path(function: str, argument: str, value: Any) -> str:
    """Return a path as text; raise DtypeError unless it is a text or an os.PathLike."""
    check_type(function, argument, value, (str, os.PathLike), "a path")
    return str(os.fspath(value))


def check_file_to_read(function: str, path: str | os.PathLike[str]) -> None:
    """Raise FileError unless the file `path` can be read, MissingFileError if it is not there."""
    if not os.path.exists(Path(path)):
        raise MissingFileError(message(function, f"there is no file '{path}'", "a file", "no such file"))
    if os.path.isdir(Path(path)):
        raise FileError(message(function, f"'{path}' is a folder", "a file", "a folder"))
    if not os.access(path, os.R_OK):
        raise FileError(message(function, f"'{path}' cannot be read", "permission to", "none"))


def check_file_to_write(function: str, path: str | os.PathLike[str]) -> None:
    """Raise FileError unless the file `path` can be made or replaced: its folder is there and it is none itself."""
    folder, problem = Path(path).parent, f"'{path}' cannot be written"
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise FileError(message(function, problem, f"the folder '{folder}'", "a file"))
    if not os.path.isdir(folder):
        way_out = f"Make it first: mkdir -p {folder}"
        raise MissingFileError(message(function, problem, f"the folder '{folder}'", "no such folder", way_out))
    check_folder_to_write(function, folder)
    if os.path.isdir(Path(path)) or os.fspath(path).endswith(os.sep):
        raise FileError(message(function, f"'{path}' is a folder", "a file", "a folder", "Name a file in it"))


def check_folder_to_write(function: str, path: str | os.PathLike[str]) -> None:
    """Raise FileError unless the folder `path` can be made where it is missing, and files be written into it."""
    place = Path(path).absolute()
    while not os.path.exists(place) and place != place.parent:
        place = place.parent
    if not os.path.isdir(place):
        problem, got = f"'{path}' cannot be a folder", f"the file '{place}'"
        raise FileError(message(function, problem, "folders, or nothing yet, all along the path", got))
    if not os.access(place, os.W_OK | os.X_OK):
        way_out = "Choose another folder, or change its permissions"
        raise FileError(message(function, f"'{path}' cannot be written to", "permission to", "none", way_out))
