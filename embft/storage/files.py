"""Files and folders that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path


def write_atomic(path: Path, content: bytes | str | Iterable[str]) -> None:
    """Replace a file as a whole: whoever reads it sees the old or the new content, never a part.

    content: all of it, or its parts in turn.
    """
    parts = [content] if isinstance(content, bytes | str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part.encode() if isinstance(part, str) else part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def replace_folder(temporary: Path, folder: Path) -> None:
    """Put a folder that was filled under another name in its place: whole or not at all."""
    for path in temporary.rglob("*"):
        sync_folder(path)  # files too: a folder's name may not outlive what is in it
    sync_folder(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    sync_folder(folder.parent)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which takes its place when the block is done, and is removed
    when the block fails.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_no_link(path: str, flags: int) -> int:
    """As os.open, but a link that someone laid there is an error: it may lead anywhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)
