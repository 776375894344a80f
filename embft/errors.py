"""The errors a user can fix.

Whatever a user can put right is an `EmbftError`: the command line prints it as it stands, without
a traceback. Everything else is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

# The exit statuses of every command; 0 is all well.
EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


class EmbftError(Exception):
    """Something the user can fix. The message says where, what was given, what is allowed."""


class SpecError(EmbftError):
    """The spec asks for what cannot be; the message names the field and its line."""


class DataError(EmbftError):
    """A data file cannot be read as what it should be; the message names file and line."""


class SearchError(EmbftError):
    """What proposes a search's trials has failed, or is another than it was."""


class ModelError(EmbftError):
    """A base model cannot be found or read."""


class VerificationError(EmbftError):
    """What was saved is not what was trained."""


class RecordError(EmbftError):
    """Something in the results folder is missing, damaged or newer than this version."""


class NewerRecordError(RecordError):
    """A newer version has written the record: it is whole, and not this one's to replace."""


class FailureReason(StrEnum):
    """Why a trial failed, in the one word that its record has."""

    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    HUNG = "hung"
    KILLED = "killed"
    CRASHED = "crashed"
    DIVERGED = "diverged"
    NOTHING_LEARNED = "nothing_learned"
    VERIFICATION_FAILED = "verification_failed"
    MODEL_ERROR = "model_error"
    INVALID_INPUT = "invalid_input"
    DISK_FULL = "disk_full"
    UNWRITABLE = "unwritable"

    @classmethod
    def _missing_(cls, value: object) -> FailureReason | None:
        """In older records a verification was called a proof."""
        return cls.VERIFICATION_FAILED if value == "proof_failed" else None


_LISTED, _CLOSE = 40, 3


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it comes from, one after another, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def nearest(given: str, allowed: Iterable[str]) -> str:
    """The sentence part that names what is allowed, and first what was probably meant.

    Of many names those alone are listed that are near what was given, or its section's.
    """
    import difflib

    names = sorted(allowed)
    few = len(names) <= _LISTED
    close = difflib.get_close_matches(given, names, n=1 if few else _CLOSE, cutoff=0.6)
    if few:
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{hint}allowed: {', '.join(names)}"
    if close:
        return f"did you mean {' or '.join(map(repr, close))}? ({len(names)} names are allowed)"
    section = given.partition(".")[0]
    same = [n for n in names if n.partition(".")[0] == section]
    shown = (same or names)[:_LISTED]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"allowed: {', '.join(shown)}{more}"
