"""`rounds.json`: which configurations have got more seeds, round by round.

A round is written down, and on the disk, before its trials run, so that an interrupted sweep goes
on with the rounds that it had.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from embft.results.folders import SweepDir
from embft.storage.files import write_atomic
from embft.storage.seal import damaged, refuse_newer, sealed, unsealed

ROUNDS_SCHEMA = 1

Why = Literal["resolved", "no more seeds", "nothing trained"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RoundTrial(_Part):
    """A trial that a round has added: a point of the space, and its seed."""

    params: dict[str, Any]
    seed: int


class Round(_Part):
    """One round. seeds: how many each of its configurations has after it. contenders: how many
    those are. best_set: how many might have been the best before it.
    """

    seeds: int
    contenders: int
    best_set: int
    trials: tuple[RoundTrial, ...]


class SeedRounds(_Part):
    """The rounds so far. identity: a digest of all that decides who gets more seeds, but results.

    ended: why there is none after the last; None while there may be.
    """

    schema_version: int = ROUNDS_SCHEMA
    identity: str
    rounds: tuple[Round, ...] = ()
    ended: Why | None = None

    def write(self, sweep: SweepDir) -> None:
        """Put it on the disk."""
        write_atomic(sweep.rounds_file, sealed(self.model_dump(mode="json")))


def read_rounds(sweep: SweepDir) -> SeedRounds | None:
    """The rounds of a sweep; None where there were none. Raises RecordError where they are damaged,
    or a newer embft's.
    """
    path = sweep.rounds_file
    try:
        content = unsealed(path)
        refuse_newer(path, content, ROUNDS_SCHEMA)
        return SeedRounds.model_validate(content)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise damaged(path, str(error)) from None
