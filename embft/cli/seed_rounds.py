"""More seeds for those that may be the best, round by round, once every configuration has its
first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embft.planning.plan import Plan, PlannedTrial

Run = Callable[["Plan", Sequence["PlannedTrial"]], bool]


def run_rounds(plan: Plan, pending: Sequence[PlannedTrial], run: Run) -> Plan:
    """Run the rounds of a sweep whose first seeds have ended. Returns the plan with their trials.

    pending: trials of the rounds so far. run: runs some, and says whether the sweep goes on. What
    is decided follows from the results alone, so that an interrupted sweep has the same rounds.
    """
    if plan.spec.more_seeds is None or (pending and not run(plan, pending)):
        return plan
    while (further := next_trials(plan)) is not None:
        plan, trials = further
        if trials and not run(plan, trials):
            break
    return plan


def next_trials(plan: Plan) -> tuple[Plan, tuple[PlannedTrial, ...]] | None:
    """The next round, written down, and its trials without a record; None where there is none."""
    from embft.leaderboard.build import build_leaderboard
    from embft.leaderboard.contenders import look_at
    from embft.planning.prepare import write_plan
    from embft.planning.seed_rounds import end_rounds, known_rounds, next_round
    from embft.planning.take_over import adopt_finished

    given = plan.spec.more_seeds
    assert given is not None  # noqa: S101 - the caller has seen to it
    found = look_at(build_leaderboard(plan.folder.path))
    left = given.rounds - len(known_rounds(plan).rounds)
    why = found.why or (None if left > 0 else "no more seeds")
    if why is not None:
        end_rounds(plan, why)
        return None
    extended = next_round(plan, found.contenders, found.best_set)
    write_plan(extended)
    new = [trial for trial in extended.trials[len(plan.trials) :] if trial.finished is None]
    return extended, adopt_finished(plan.folder, new)
