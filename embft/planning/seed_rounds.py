"""More seeds for some configurations: a round on disk -> trials of the plan, and the next round.

Who gets more is decided in `leaderboard/contenders.py`, which knows the scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from embft.errors import NewerRecordError, RecordError
from embft.results.seed_rounds import Round, RoundTrial, SeedRounds, Why, read_rounds
from embft.storage.seal import canonical_json

if TYPE_CHECKING:
    from embft.planning.plan import Plan, PlannedTrial, Planner


def identity(plan: Plan) -> str:
    """A digest of what decides who gets more seeds, but for the results: another one's rounds are
    not gone on with.
    """
    spec = plan.spec
    content = {
        "trials": [trial.key for trial in (*plan.trials, *plan.samples) if not trial.replicate],
        "space": [{a: d.model_dump(mode="json") for a, d in p.items()} for p in spec.space],
        "search": spec.search.identity,
        "scheduler": spec.scheduler.model_dump(mode="json") if spec.scheduler else None,
        "seeds": spec.more_seeds.model_dump(mode="json") if spec.more_seeds else None,
        "objective": spec.objective.model_dump(mode="json"),
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def known_rounds(plan: Plan) -> SeedRounds:
    """The rounds of this plan so far; none where what is on disk is another spec's or damaged, for
    the same results give the same rounds. Raises NewerRecordError.
    """
    own, found = identity(plan), _read(plan)
    return found if found is not None and found.identity == own else SeedRounds(identity=own)


def _read(plan: Plan) -> SeedRounds | None:
    try:
        return read_rounds(plan.folder)
    except NewerRecordError:
        raise
    except RecordError:
        return None


def with_rounds(plan: Plan) -> Plan:
    """The plan with the trials that its rounds have added."""
    if plan.spec.more_seeds is None or plan.planner is None:
        return plan
    have = {trial.key for trial in plan.trials}
    more = [
        trial
        for one in known_rounds(plan).rounds
        for trial in _planned(plan.planner, one.trials)
        if trial.key not in have
    ]
    return _extended(plan, plan.planner, more)


def next_round(plan: Plan, contenders: Sequence[Sequence[str]], best_set: int) -> Plan:
    """Write down a round in which these configurations get seeds up to the round's number, and
    return the plan with its trials. contenders: the folders' names of the trials of each.
    """
    given, planner = plan.spec.more_seeds, plan.planner
    assert given is not None  # noqa: S101 - only such a plan has rounds
    assert planner is not None  # noqa: S101 - every plan that make_plan has made
    before = known_rounds(plan)
    seeds = given.start + len(before.rounds) + 1
    entries = entries_of(plan)
    trials = [
        entry
        for names in contenders
        for entry in _more(planner, [entries[name] for name in names], given.seeds(seeds))
    ]
    found = Round(
        seeds=seeds,
        contenders=len(contenders),
        best_set=best_set,
        trials=tuple(RoundTrial(params=dict(t.params), seed=t.spec.seed) for t in trials),
    )
    before.model_copy(update={"rounds": (*before.rounds, found), "ended": None}).write(plan.folder)
    return _extended(plan, planner, trials)


def forget_other_rounds(plan: Plan) -> None:
    """Remove the rounds of another spec, whose trials stay where they are."""
    found = _read(plan)
    if plan.spec.more_seeds is None or found is None or found.identity != identity(plan):
        plan.folder.rounds_file.unlink(missing_ok=True)


def end_rounds(plan: Plan, why: Why) -> None:
    """Write down that there is no further round."""
    before = known_rounds(plan)
    if before.ended != why:
        before.model_copy(update={"ended": why}).write(plan.folder)


def entries_of(plan: Plan) -> dict[str, Mapping[str, Any]]:
    """The trials of a sweep by their folders' names, those of a search among them."""
    from embft.results.plan_record import read_plan

    return {entry["folder"]: entry for entry in read_plan(plan.folder)["trials"]}


def _more(
    planner: Planner, entries: Sequence[Mapping[str, Any]], seeds: Sequence[int]
) -> Iterator[PlannedTrial]:
    """The trials that a configuration lacks of these seeds."""
    have = {entry["spec"]["seed"] for entry in entries}
    for seed in seeds:
        if seed not in have:
            yield _replicate(planner.point(entries[0]["params"], seed))


def _planned(planner: Planner, trials: Sequence[RoundTrial]) -> Iterator[PlannedTrial]:
    for trial in trials:
        yield _replicate(planner.point(trial.params, trial.seed))


def _replicate(trial: PlannedTrial) -> PlannedTrial:
    """Trained to its end: of a configuration whose worse seeds are stopped early, the mean over the
    others would be too good.
    """
    return replace(trial, scheduler=None, replicate=True)


def _extended(plan: Plan, planner: Planner, more: Sequence[PlannedTrial]) -> Plan:
    data = {trial.data_digest: planner.data(trial.data_digest) for trial in more}
    return replace(plan, trials=(*plan.trials, *more), data={**data, **plan.data})
