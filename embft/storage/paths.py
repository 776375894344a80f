"""Paths: those that a record may name, which must not lead out of its folder, and those that users
name, at which something can be written or not.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in value:
        raise ValueError("must be a path inside the sweep's folder")
    return value


def _file_name(value: str) -> str:
    if "/" in value or value in {"", ".", ".."} or "\0" in value:
        raise ValueError("must be a plain file name")
    return value


InsidePath = Annotated[str, AfterValidator(_inside)]
FileName = Annotated[str, AfterValidator(_file_name)]

# Files are written under another name first, `.NAME.PID.tmp`.
_LONGER_BY = 16


def why_unwritable(path: Path, *, folder: bool, reading: bool = False) -> str | None:
    """Why no folder, or no file, can be made or written at this path; None where nothing is known.

    reading: whether it is only to be read, if it is there. Looks and changes nothing.
    """
    try:
        return _why_not(path, folder=folder) or (None if reading else _why_no_more(path, folder))
    except NotADirectoryError:
        file = next(parent for parent in path.parents if parent.exists())
        return f"{file} is a file, so nothing can be in it: give another path"
    except OSError as error:  # too long a name, a loop of links, no permission to look
        return f"{error.strerror}: give another path"


def _why_not(path: Path, *, folder: bool) -> str | None:
    """What stands at a path in place of a folder, or of a file."""
    there = _mode(path)
    if there is None:
        links = [each for each in (path, *path.parents) if each.is_symlink() and not each.exists()]
        return f"{links[0]} leads to {links[0].readlink()}, which is not there" if links else None
    if folder and not stat.S_ISDIR(there):
        return "this is a file: give another path"
    if not folder and stat.S_ISDIR(there):
        return "this is a folder: give another path"
    if not folder and not stat.S_ISREG(there):
        return "this is no plain file, and would be replaced by one: give another path"
    return None


def _why_no_more(path: Path, folder: bool) -> str | None:
    """Why nothing can be added where a path leads."""
    home = next(
        each
        for each in (path, *path.parents)
        if (folder or each != path) and _mode(each) is not None
    )
    if not home.is_dir():
        return f"{home} is a file, so nothing can be in it: give another path"
    longest = os.pathconf(home, "PC_NAME_MAX") - _LONGER_BY
    if any(len(os.fsencode(part)) > longest for part in path.parts):
        return f"a name in it is longer than {longest} bytes: give a shorter one"
    if not os.access(home, os.W_OK | os.X_OK):
        return f"nothing can be written in {home}: change its permissions, or give another path"
    return None


def _mode(path: Path) -> int | None:
    """What is there, None where nothing is. Raises OSError where nobody can say."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
