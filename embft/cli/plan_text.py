"""What is said of a plan before it runs: its trials, what it needs, and what it will do besides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from embft.cli.console import say
from embft.cli.tables import SCORED_AGAIN
from embft.leaderboard.contenders import FEWEST_AT_FIRST
from embft.leaderboard.costs import COSTS as PREFERRED
from embft.leaderboard.labels import metric_label
from embft.planning.estimate import (
    SWEEP_SECONDS,
    Need,
    duration_text,
    free_disk,
    size_text,
    tight_note,
)
from embft.planning.freeze import to_mine
from embft.planning.plan import Plan, PlannedTrial
from embft.planning.seed_rounds import known_rounds
from embft.report.format import size as format_size
from embft.results.folders import TrialDir
from embft.results.records import Status
from embft.results.removal import size_of
from embft.results.search_log import Suggested, read_search
from embft.spec.costs import COSTS
from embft.spec.distributions import space_size


def counted(trials: Sequence[PlannedTrial]) -> str:
    """How many trials, in words."""
    return "1 trial" if len(trials) == 1 else f"{len(trials)} trials"


def print_plan_line(console: Console, plan: Plan, pending: Sequence[PlannedTrial]) -> None:
    """One line before a sweep: how much is done and what will run."""
    done = len(plan.trials) - len(pending)
    failed = sum(t.finished == Status.FAILED for t in plan.trials)
    failed -= sum(t.finished is not None for t in pending)  # to run again, as was asked
    line = Text(plan.spec.name, style="bold")
    base = ", the baseline" if len(plan.trials) == 1 else " with the baseline"
    line.append(f": {counted(plan.trials)}{base}, ", style="not bold")
    again = sum(trial.trained is not None for trial in pending)
    scored = f" ({again} of them scored again, not trained)" if again else ""
    line.append(f"{done} done, {len(pending)} to run{scored}, ", style="not bold")
    line.append(f"in {plan.folder.path}", style="not bold")
    console.print(line, soft_wrap=not console.is_terminal)
    if failed:
        console.print(f"{failed} of those done have failed: --retry-failed runs them again")


def print_code(console: Console, plan: Plan) -> None:
    """Which code of the user's a sweep runs: a spec may come from somebody else."""
    for entry, files in plan.evaluators.items():
        if entry.is_users:
            found = (str(files.folder / name) for name in files.sources)
            text = f"Runs code: {', '.join(found) or 'installed'} (evaluator {entry.fields.title})"
            say(console, text)


def print_notes(console: Console, plan: Plan) -> None:
    """What a user may not expect of the base models and trainings."""
    for note in plan.notes:
        say(console, f"Note: {note}")


def print_mining(console: Console, plan: Plan) -> None:
    """That negatives are mined before the first trial, unless all were."""
    wanted = sum(splits.mining is not None for splits in plan.data.values())
    if left := to_mine(plan):
        say(console, f"Mining hard negatives first, {len(left)} of {wanted} settings.")


def print_search(console: Console, plan: Plan) -> None:
    """What a search may propose, and what it has."""
    search = plan.spec.search
    if not search.proposes:
        return
    proposed = [e for e in read_search(plan.folder) if isinstance(e, Suggested) and e.folder]
    folders = dict.fromkeys(each.folder for each in proposed if each.folder)
    done = sum(plan.folder.trial(name).result_file.exists() for name in folders)
    text = f"Up to {search.trials} trials are proposed by {search.algorithm}, seed {search.seed}"
    if folders:
        text += f": {len(folders)} so far, {done} of them finished"
    say(console, f"{text}. From:")
    for product in plan.spec.space:
        axes = ", ".join(f"{axis} {domain.text()}" for axis, domain in product.items())
        say(console, f"  {axes}")
    if (size := space_size(plan.spec.space)) < (search.trials or 0):
        say(console, f"  These are {size:g} points: the search ends when it has found them.")
    if search.costs:
        _print_objectives(console, plan)


def _print_objectives(console: Console, plan: Plan) -> None:
    """What a search with several objectives goes by, and what goes by the score alone."""
    spec = plan.spec
    goal = f"{metric_label(spec.objective.metric)} on dev ({spec.objective.mode})"
    costs = [f"{COSTS[cost].label} (min)" for cost in spec.search.costs]
    say(console, f"Objectives: {', '.join((goal, *costs))}. The report shows their Pareto front.")
    if timed := [COSTS[cost].label for cost in spec.search.costs if COSTS[cost].measured]:
        say(
            console,
            f"  The {' and the '.join(timed)} are measured: what is on disk counts as it was "
            "recorded, and another machine may be led to other points.",
        )
    limits = ("stop.score", "stop.no_better_for")
    alone = [name for name in limits if getattr(spec.stop, name.partition(".")[2]) is not None]
    if spec.scheduler is not None:
        alone.insert(0, spec.scheduler.algorithm)
    if alone:
        goes, ended = ("goes" if len(alone) == 1 else "go"), ""
        if spec.scheduler is not None:
            ended = "; of a trial that is stopped early the searcher learns no objective"
        say(console, f"  {' and '.join(alone)} {goes} by the score alone{ended}.")
    say(
        console,
        f"  One is recommended all the same: of those that lose at most "
        f"{spec.objective.tolerance:g} against the best the one with the "
        f"{PREFERRED[spec.objective.prefer]} (objective.prefer: {spec.objective.prefer}).",
    )


def print_more_seeds(console: Console, plan: Plan) -> None:
    """The fewest and the most trainings of a sweep that gives more seeds where they count."""
    given = plan.spec.more_seeds
    if given is None:
        return
    first = sum(not t.spec.is_baseline and not t.replicate for t in plan.trials)
    count = plan.spec.search.trials or first // given.start
    fewest = count * given.start + (min(count, FEWEST_AT_FIRST) if given.start == 1 else 0)
    say(
        console,
        f"Seeds: {given.start} for each of {count} configurations, and up to {given.most} for "
        f"those that may be the best: {fewest} to {count * given.most} trainings.",
    )
    if rounds := known_rounds(plan).rounds:
        added = sum(len(each.trials) for each in rounds)
        say(console, f"  So far {len(rounds)} of {given.rounds} rounds, with {added} trainings.")


def print_need(console: Console, plan: Plan, need: Need, seconds: Mapping[str, float]) -> None:
    """What a plan's pending trials need. seconds: each one's, where measured."""
    free = size_text(free_disk(plan.folder.path))
    text = f"Disk: about {size_text(need.disk)}, {size_text(need.kept)} of it in the end"
    text += f" (artifacts.keep: {plan.spec.artifacts.keep}); {free} are free."
    if need.measured:
        text += f" Memory: about {size_text(need.memory)}."
    if seconds:
        samples = [seconds[t.key] for t in plan.expected if t.key in seconds]
        fixed = sum(s for key, s in seconds.items() if key in {t.key for t in plan.trials})
        wall = SWEEP_SECONDS + (fixed + sum(samples)) / need.at_once
        text += f" Time: about {duration_text(wall)}"
        text += " for the first seeds" if plan.spec.more_seeds else ""
        text += " if nothing is stopped early." if plan.spec.scheduler else "."
    say(console, text)
    if (tight := tight_note(plan, need)) is not None:
        say(console, f"{tight}.", "yellow")


def print_together(
    console: Console, plans: Sequence[Plan], needs: Sequence[Need], *, retry_failed: bool
) -> None:
    """What several sweeps, one after another, come to."""
    left = sum(len(plan.pending(retry_failed=retry_failed)) for plan in plans)
    proposed = sum(plan.spec.search.trials or 0 for plan in plans)
    more = f" and up to {proposed} to propose" if proposed else ""
    kept, free = sum(need.kept for need in needs), free_disk(plans[0].folder.path)
    say(
        console,
        f"Together {len(plans)} sweeps, {left} trials to run{more}. Disk: about "
        f"{size_text(kept)} in the end; {size_text(free)} are free.",
    )
    if kept > free:
        say(console, "Note: that is more than there is: the sweeps will stop when it is full.")


def print_retention(
    console: Console, plan: Plan, beyond: Sequence[TrialDir], *, running: bool
) -> None:
    """What `artifacts.keep` will remove of trials that run, and what it has not removed.

    beyond: finished trials whose models are more than what is kept.
    """
    keep = plan.spec.artifacts.keep
    if running and keep != "all":
        when = "once it is scored" if keep == "none" else "once others are better on dev"
        say(console, f"artifacts.keep is {keep}: a trial's model is removed {when}.")
    if beyond:
        size = format_size(sum(size_of(folder.model_folder) for folder in beyond))
        say(
            console,
            f"artifacts.keep is {keep}, and {len(beyond)} finished trials beyond it still have "
            f"their models ({size}): `embft prune {plan.folder.path} --models {keep}` removes "
            "them.",
        )


def plan_records(
    plan: Plan,
    seconds: Mapping[str, float] | None = None,
    elsewhere: Collection[str] = (),
) -> list[dict[str, Any]]:
    """A flat record for each trial of a plan. seconds: predicted, by key. elsewhere: the keys of
    those that another sweep has completed.

    Where training sets differ, each says how many rows it trains on; a baseline on none. Where some
    are only scored, as their training is finished, each says whether it is.
    """
    names = list(dict.fromkeys(name for trial in plan.trials for name in trial.params))
    rows = {digest: len(splits.train) for digest, splits in plan.data.items()}
    several = len(set(rows.values())) > 1
    again = any(trial.trained for trial in plan.trials)
    return [
        {
            "trial": trial.folder.name,
            "status": trial.finished
            or (Status.COMPLETED if trial.key in elsewhere else Status.PENDING),
            **({SCORED_AGAIN: _is_scored_again(trial, elsewhere)} if again else {}),
            "seed": trial.spec.seed,
            **{name: trial.params.get(name) for name in names},
            **(
                {"train_rows": 0 if trial.spec.is_baseline else rows[trial.data_digest]}
                if several
                else {}
            ),
            **({"seconds": _rounded(seconds.get(trial.key))} if seconds else {}),
        }
        for trial in plan.trials
    ]


def _is_scored_again(trial: PlannedTrial, elsewhere: Collection[str]) -> bool:
    return trial.trained is not None and not trial.finished and trial.key not in elsewhere


def print_trainings(console: Console, left: Sequence[PlannedTrial]) -> None:
    """Which of the pending trials are only scored, and which must be trained once more."""
    again = [trial for trial in left if trial.trained]
    lost = [trial for trial in left if trial.before and not trial.before.kept]
    if again:
        say(
            console,
            f"Scored again, not trained: {len(again)} of the pending trials. Their trainings are "
            "finished; evaluators, groups and test pairs change no model.",
        )
    if lost:
        names = ", ".join(trial.before.folder.short for trial in lost if trial.before)
        say(
            console,
            f"Trained again: {len(lost)} of the pending trials. Their trainings were finished, but "
            f"the models were not kept (artifacts.keep, `embft prune`): those of {names}.",
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
