"""`search.jsonl`: what a search has proposed, in order, and what it was told of each.

A suggestion is written, and on the disk, before its trial runs; its answer before the next one that
knows of it. So a searcher that begins afresh, and is given the same in the same order, is where the
one before was. Each line has its own seal; a line that a kill has torn is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from embft.errors import NewerRecordError, RecordError
from embft.results.folders import SweepDir
from embft.results.records import Completed, Status, TrialResult
from embft.spec import Goal
from embft.storage.files import open_no_link, write_atomic
from embft.storage.paths import FileName
from embft.storage.seal import damaged, refuse_newer, sealed, unsealed

SEARCH_SCHEMA = 2
"""2: answers may have costs."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Began(_Line):
    """The first line. identity: a digest of all that decides what is proposed, but the budget."""

    event: Literal["began"] = "began"
    schema_version: int = SEARCH_SCHEMA
    identity: str
    algorithm: str
    seed: int
    versions: dict[str, str]


class Suggested(_Line):
    """A suggestion, counted from 0, and the trial that it is: as `plan.json` has one.

    refused: why there is no such trial, where its values do not go together.
    """

    event: Literal["suggested"] = "suggested"
    number: int
    params: dict[str, Any]
    folder: FileName | None = None
    spec: dict[str, Any] | None = None
    refused: str | None = None


class Answered(_Line):
    """What the searcher was told: the objective on dev after each evaluation, and of the model;
    costs: what it came to in the other objectives, where there are several.
    """

    event: Literal["answered"] = "answered"
    number: int
    status: Status
    score: float | None = None
    curve: tuple[float, ...] = ()
    costs: dict[str, float] | None = None


Event = Annotated[Began | Suggested | Answered, Field(discriminator="event")]
_EVENT = TypeAdapter[Began | Suggested | Answered](Event)


def answer(
    number: int, result: TrialResult, goal: Goal, costs: Mapping[str, float] | None = None
) -> Answered:
    """What a trial's record says to a searcher."""
    curve = [e.dev[goal.metric] for e in result.epochs if goal.metric in e.dev]
    score = result.dev.get(goal.metric) if isinstance(result, Completed) else None
    found = Answered(number=number, status=result.status, score=score, curve=tuple(curve))
    return found.model_copy(update={"costs": dict(costs)}) if costs else found


def refused_answer(number: int) -> Answered:
    """What a searcher is told of a suggestion that is no trial."""
    return Answered(number=number, status=Status.FAILED)


class SearchLog:
    """The file of one sweep's search. Only who holds the sweep's folder writes it."""

    def __init__(self, sweep: SweepDir, began: Began) -> None:
        self.path, self.sweep = sweep.search_file, sweep
        self.events = list(read_search(sweep))
        known = self.events[0] if self.events else None
        if not isinstance(known, Began) or known.identity != began.identity:
            self.events = [began]
        # Written anew, since whatever a kill has torn would swallow the next line.
        text = "".join(_text(event) for event in self.events)
        if not self.path.exists() or self.path.read_text(errors="replace") != text:
            write_atomic(self.path, text)

    @property
    def began(self) -> Began:
        """The first line."""
        first = self.events[0]
        assert isinstance(first, Began)  # noqa: S101 - the constructor has seen to it
        return first

    @property
    def suggested(self) -> list[Suggested]:
        """The suggestions, by number."""
        return [event for event in self.events if isinstance(event, Suggested)]

    def append(self, event: Suggested | Answered) -> None:
        """Add a line, which is on the disk when this returns."""
        self.events.append(event)
        descriptor = open_no_link(str(self.path), os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, _text(event).encode())
            os.fsync(descriptor)  # its name is on the disk since the file was made
        finally:
            os.close(descriptor)


def _text(event: BaseModel) -> str:
    return sealed(event.model_dump(mode="json", exclude_none=True), indent=None) + "\n"


def _events(sweep: SweepDir) -> Iterator[Began | Suggested | Answered]:
    """The whole lines of the file, up to the first that is none."""
    path = sweep.search_file
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in raw[: raw.rfind(b"\n") + 1].splitlines():
        try:
            content = unsealed(path, line)
            refuse_newer(path, content, SEARCH_SCHEMA)
            yield _EVENT.validate_python(content)
        except NewerRecordError:
            raise
        except (RecordError, ValidationError):
            return


def read_search(sweep: SweepDir) -> tuple[Began | Suggested | Answered, ...]:
    """What a sweep's search has proposed and heard; empty where there was none.

    Raises RecordError where another line than the last is damaged.
    """
    events = tuple(_events(sweep))
    whole = _count_lines(sweep)
    if whole > len(events) + 1:
        raise damaged(sweep.search_file, f"line {len(events) + 1} is not as it was written")
    return events


def _count_lines(sweep: SweepDir) -> int:
    try:
        return sweep.search_file.read_bytes().count(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return 0


def write_next(sweep: SweepDir, points: Sequence[Mapping[str, Any]]) -> None:
    """Leave the points that the searcher would have tried next."""
    write_atomic(sweep.next_file, sealed({"points": [dict(point) for point in points]}))


def read_next(sweep: SweepDir) -> list[dict[str, Any]]:
    """What the searcher would have tried next; empty where nothing is known of it."""
    try:
        return list(unsealed(sweep.next_file)["points"])
    except (FileNotFoundError, RecordError, KeyError, TypeError):
        return []


def entries(events: Iterable[Began | Suggested | Answered]) -> Iterator[dict[str, Any]]:
    """The trials that were suggested, each once, as `plan.json` has them."""
    seen = set()
    for event in events:
        if isinstance(event, Suggested) and event.folder and event.folder not in seen:
            seen.add(event.folder)
            yield {"folder": event.folder, "params": event.params, "spec": event.spec}
