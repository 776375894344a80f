"""What a disk that is full or not writable means: the sweep stops, and can go on later."""

from __future__ import annotations

import errno

_FULL = {errno.ENOSPC, errno.EDQUOT}
_UNWRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EINTR, errno.ESTALE}
_FULL_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded")


class StorageError(Exception):
    """The results folder takes no more: neither this trial nor another can go on.

    reason: disk_full or unwritable.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def storage_reason(error: BaseException | None) -> str | None:
    """`disk_full` or `unwritable` where that is what an exception, or its cause, comes from.

    Libraries in Rust and C++ tell a full disk in the text of exceptions of their own.
    """
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        if number in _FULL or any(words in str(error) for words in _FULL_WORDS):
            return "disk_full"
        if number in _UNWRITABLE:
            return "unwritable"
        error = error.__cause__ or error.__context__
    return None
