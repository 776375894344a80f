"""The exit statuses by which a worker says how it ended, where 0 and a signal do not."""

from __future__ import annotations

from embft.errors import FailureReason

# It was asked to stop, and has saved where it was.
EXIT_STOPPED = 76
# It saw its launcher or its warm process end.
EXIT_ORPHANED = 75
# It could not even write down why it ends.
EXIT_STATUS = {FailureReason.DISK_FULL: 64, FailureReason.UNWRITABLE: 65}
