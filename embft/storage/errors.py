"""What a disk that is full or not writable means: the sweep stops, and can go on later."""

from __future__ import annotations

import errno

from embft.errors import FailureReason, causes

_FULL = {errno.ENOSPC, errno.EDQUOT}
_UNWRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EINTR, errno.ESTALE}
_FULL_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded")


class StorageError(Exception):
    """The results folder takes no more: neither this trial nor another can go on.

    reason: DISK_FULL or UNWRITABLE.
    """

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def storage_reason(error: BaseException | None) -> FailureReason | None:
    """DISK_FULL or UNWRITABLE where that is what an exception, or its cause, comes from.

    Libraries in Rust and C++ tell a full disk in the text of exceptions of their own.
    """
    for cause in causes(error):
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _FULL or any(words in str(cause) for words in _FULL_WORDS):
            return FailureReason.DISK_FULL
        if number in _UNWRITABLE:
            return FailureReason.UNWRITABLE
    return None
