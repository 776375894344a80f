"""Where the trials of one leaderboard did not run under the same conditions, in sentences.

A trial's key covers what its user chose. Package versions, machine and threads are none of that,
and neither is the memory that there was: the same trial may come out a little different.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from embft.leaderboard.rows import Leaderboard, Row
from embft.results.records import Provenance


def mixed_environments(leaderboard: Leaderboard) -> Iterator[str]:
    """Say so where trials ran under different versions, on different machines, or otherwise."""
    environments = [
        _of_scores(conditions(given)) if row.is_baseline else conditions(given)
        for row in leaderboard.rows
        if (given := _provenance(row))
    ]
    names = list(dict.fromkeys(name for environment in environments for name in environment))
    different = {name: _values(environments, name) for name in names}
    found = [
        f"{name} ({', '.join(values)})" for name, values in different.items() if len(values) > 1
    ]
    if found:
        yield (
            f"The trials did not all run under the same conditions: {'; '.join(found)}. Small "
            "differences between them may come from that; each trial's page has its own, and a "
            "trial whose folder is moved away runs again."
        )


def smaller_batches(leaderboard: Leaderboard) -> Iterator[str]:
    """Say so where memory ran out and a loss then compared fewer pairs with each other."""
    found = [row for row in leaderboard.rows if compares_fewer(row)]
    if found:
        parts = ", ".join(f"{row.trial.rpartition('-')[2]} {_part(row)}" for row in found)
        yield (
            f"Not comparable: for {len(found)} trials memory ran out, and they trained on parts of "
            f"their batches ({parts} pairs at once). Their loss compares the pairs of a batch with "
            "each other, so they trained on another loss than the other trials."
        )


def compares_fewer(row: Row) -> bool:
    """Whether memory ran out and the trial's loss was another one for that."""
    loss = row.completed.spec.train.loss.traits if row.completed else None
    return bool(loss and loss.compares_rows and not loss.cached and _part(row))


def _part(row: Row) -> int | None:
    return row.completed.micro_batch_size if row.completed else None


def _provenance(row: Row) -> Provenance | None:
    """Of the training, where it was another trial's and was scored later."""
    return row.completed.trained_under or row.completed.provenance if row.completed else None


def conditions(found: Provenance) -> Mapping[str, str]:
    """What a trial ran under, by name."""
    named = {
        "embft": found.embft,
        "Python": found.python,
        "processor": found.processor,
        "threads": str(found.threads),
        "precision": found.precision,
        "device": found.device,
    }
    without = {"speed-ups missing": ", ".join(sorted(found.without)) or "none"}
    return {**named, **without, **found.packages}


def _of_scores(found: Mapping[str, str]) -> Mapping[str, str]:
    """Without the threads of what was only scored, which change no first digit of it."""
    return {name: value for name, value in found.items() if name != "threads"}


def _values(environments: list[Mapping[str, str]], name: str) -> list[str]:
    """Those of the trials that have it, or `not installed` for a package."""
    having = [each for each in environments if name != "threads" or name in each]
    return sorted({environment.get(name, "not installed") for environment in having})
