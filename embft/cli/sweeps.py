"""Specs on the command line, one sweep after another: planned, run, reported, on one Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, NoReturn

import click

from embft.cli.commands import given_again
from embft.cli.planned import planned
from embft.errors import EXIT_FAILED, EXIT_INTERRUPTED, EmbftError, FailureReason, SearchError

if TYPE_CHECKING:
    from rich.console import Console

    from embft.leaderboard.rows import Leaderboard
    from embft.planning.plan import Plan, PlannedTrial
    from embft.results.folders import TrialDir
    from embft.results.observer import Observer
    from embft.scheduler.ahead import Ahead
    from embft.scheduler.choices import Choices
    from embft.scheduler.cluster import Cluster
    from embft.scheduler.kept_ray import KeptRay
    from embft.scheduler.ray_log import RayLog

_NEXT = 3  # points that a search would try next, for its report


@dataclass(frozen=True)
class Options:
    """What the command was given beside its specs."""

    results: Path
    address: str | None
    retry_failed: bool
    trackers: tuple[str, ...]
    maps: bool
    trusted: bool


@dataclass(frozen=True)
class _Stopped:
    """Why a sweep stopped before its last trial. no_room: nothing more can be written."""

    message: str
    exit_status: int
    no_room: bool = False


def dry_run_of(console: Console, specs: Sequence[Path], options: Options) -> None:
    """Plan every spec, and say what would run and what it would need."""
    from embft.cli.plan_text import (
        print_more_seeds,
        print_need,
        print_notes,
        print_plan_line,
        print_search,
        print_together,
        print_trainings,
    )
    from embft.execution.measure import known_need
    from embft.planning.estimate import check_fits

    plans, needs = _all_planned(specs, options), []
    for number, plan in enumerate(plans):
        _print_place(console, specs, number)
        pending = plan.pending(retry_failed=options.retry_failed)
        print_plan_line(console, plan, pending)
        print_notes(console, plan)
        print_trainings(console, pending)
        print_search(console, plan)
        print_more_seeds(console, plan)
        needed = (*pending, *plan.expected)
        need = known_need(plan, needed)
        print_need(console, plan, need, {})
        if needed:
            check_fits(plan, need)
        needs.append(need)
    if len(plans) > 1:
        print_together(console, plans, needs, retry_failed=options.retry_failed)


def _print_place(console: Console, specs: Sequence[Path], number: int) -> None:
    """Which spec of several comes now."""
    if len(specs) > 1:
        console.print(f"Sweep {number + 1} of {len(specs)}: {specs[number]}", style="bold")


def _all_planned(specs: Sequence[Path], options: Options) -> list[Plan]:
    """The plans of all specs. Raises EmbftError for the first that is at fault."""
    plans, names = [], dict[str, Path]()
    for path in specs:
        plan = planned(path, options.results, options.trusted, reading=False)
        name = plan.spec.name
        if name in names:
            twice = path.resolve() == names[name].resolve()
            raise EmbftError(
                f"{path} is given twice: each spec is one sweep"
                if twice
                else f"{path}: its name, {name}, is that of {names[name]} too, and with it the "
                "folder: give each spec a name of its own"
            )
        names[name] = path
        plans.append(plan)
    return plans


def run_queue(console: Console, specs: Sequence[Path], options: Options) -> int:
    """Run the specs' sweeps, one after another. Returns the exit status.

    Ends this process where one of them is interrupted.
    """
    from embft.execution.warming import end_warm_processes, warm_up
    from embft.scheduler import settings
    from embft.scheduler.kept_ray import KeptRay
    from embft.trackers.find import find_tracker

    for name in options.trackers:
        find_tracker(name)
    plan = _all_planned(specs, options)[0]
    settings.configure(options.address)
    statuses = []
    if _runs_here(plan, options):
        warm_up()
    else:
        end_warm_processes()
    with KeptRay() as ray:
        for number, path in enumerate(specs):
            if number:  # what ran in between may have finished some of its trials
                plan = planned(path, options.results, options.trusted, reading=False)
            _print_place(console, specs, number)
            statuses.append(_run_one(console, plan, options, ray, specs[number + 1 :]))
    return max(statuses)


def _runs_here(plan: Plan, options: Options) -> bool:
    """Whether trials of this plan will be forked from a warm process of this one."""
    from embft.planning.capacity import may_have_gpu

    here = options.address is None and not may_have_gpu(plan.spec.resources.device)
    pending = plan.pending(retry_failed=options.retry_failed)
    further = plan.spec.search.proposes or plan.spec.more_seeds is not None
    return here and bool(pending or further)


def _run_one(
    console: Console, plan: Plan, options: Options, ray: KeptRay, after: Sequence[Path]
) -> int:
    """Run one sweep, and write its report. Returns its exit status. after: the specs whose sweeps
    begin after it, unless it is interrupted.
    """
    from embft.cli.plan_text import print_mining
    from embft.cli.progress import mining_shown
    from embft.planning.freeze import to_mine
    from embft.planning.prefixes import share_prefixes
    from embft.planning.prepare import prepare
    from embft.scheduler.ray_log import ray_log

    with plan.folder.lock(), ray_log(plan.folder.ray_log_file, ray.threads) as log:
        print_mining(console, plan)
        with mining_shown(console) if to_mine(plan) else nullcontext() as seen:
            pending = prepare(plan, retry_failed=options.retry_failed, seen=seen)
        if plan.spec.scheduler is None:  # which sees every trial from its start
            pending = share_prefixes(pending)
        watching = _introduced(console, plan, pending, options)
        stopped = None
        if pending or plan.spec.search.proposes or plan.spec.more_seeds:
            stopped = _run(console, plan, pending, watching, log, options, ray)
        if stopped is None:
            plan.folder.forget_shared()
        elif stopped.no_room:
            _end_stopped(console, stopped, after)
        try:
            if plan.spec.serving is not None and not stopped:
                _measure_serving(console, plan, options)
            leaderboard = _reported(plan, maps=options.maps and not stopped)
        except (EmbftError, OSError) as error:  # the folder may be gone, or full
            if stopped is None:
                raise
            _end_stopped(console, replace(stopped, message=f"{stopped.message} {error}."), after)
        _print_answer(console, leaderboard)
        if stopped:
            _end_stopped(console, stopped, after)
    return _status(plan, leaderboard)


def _reported(plan: Plan, *, maps: bool) -> Leaderboard:
    """Write leaderboard and report. Imports what they need here: a trial must not wait for that,
    and while trials run, `BackgroundReport` imports it.
    """
    from embft.report.drawer import drawing_beside

    with drawing_beside():
        from embft.leaderboard.build import build_leaderboard
        from embft.report.output import Wanted, write_wanted

        leaderboard = build_leaderboard(plan.folder.path)
        if maps:
            write_lead_maps(leaderboard, ())
        write_wanted(leaderboard, [plan.folder.path], Wanted())
    return leaderboard


def _measure_serving(console: Console, plan: Plan, options: Options) -> None:
    """Measure what the models cost in service, where that was not done yet."""
    from embft.cli.console import say
    from embft.results.plan_record import read_plan

    def tell(done: int, total: int) -> None:
        say(console, f"serving: {done} of {total} models measured")

    folders = [plan.folder.trial(entry["folder"]) for entry in read_plan(plan.folder)["trials"]]
    _measure(plan, options, folders, tell)


def _measure(
    plan: Plan,
    options: Options,
    folders: Sequence[TrialDir],
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Measure these models in service, and say which could not be."""
    from embft.shipping.serving import measure_all

    assert plan.spec.serving is not None  # noqa: S101 - the spec says that they are measured
    dimensions = plan.spec.serving.dimensions
    failed = measure_all(folders, dimensions, trusted=options.trusted, tell=tell)
    for name, reason in failed.items():
        click.echo(f"embft: serving of {name}: {reason}", err=True)


def _needed(plan: Plan, folder: TrialDir) -> bool:
    """Whether a search still has to measure a trial's model in service."""
    from embft.results.serving import known_serving

    return plan.spec.search.by_service and known_serving(folder) is None


def _introduced(
    console: Console, plan: Plan, pending: Sequence[PlannedTrial], options: Options
) -> list[Observer]:
    """Say what is going to run. Returns who hears of it beside the terminal and the report."""
    from embft.cli.console import say
    from embft.cli.plan_text import (
        print_code,
        print_notes,
        print_plan_line,
        print_retention,
        print_trainings,
    )
    from embft.results.plan_record import read_plan
    from embft.results.retention import Retention
    from embft.scheduler.follow import InBackground
    from embft.trackers.find import find_tracker

    print_plan_line(console, plan, pending)
    print_code(console, plan)
    print_notes(console, plan)
    print_trainings(console, pending)
    waiting = {trial.key for trial in pending}
    folders = (plan.folder.trial(entry["folder"]) for entry in read_plan(plan.folder)["trials"])
    finished = (folder for folder in folders if folder.key not in waiting)
    retention = Retention(
        plan.spec.artifacts,
        plan.spec.objective,
        finished,
        partial(say, console),
        partial(_needed, plan),
    )
    runs = bool(pending) or plan.spec.search.proposes or plan.spec.more_seeds is not None
    print_retention(console, plan, retention.beyond, running=runs)
    return [retention, *map(InBackground, map(find_tracker, options.trackers))]


def _print_answer(console: Console, leaderboard: Leaderboard) -> None:
    from embft.cli.tables import print_leaderboard

    print_leaderboard(console, leaderboard)


def _status(plan: Plan, leaderboard: Leaderboard) -> int:
    from embft.results.records import Status

    fine = {Status.COMPLETED, Status.PRUNED}
    if plan.spec.stop.is_set:
        fine |= {Status.PENDING}
    return 0 if all(row.status in fine for row in leaderboard.rows) else EXIT_FAILED


def _run(  # noqa: PLR0913, PLR0917 - what a run needs
    console: Console,
    plan: Plan,
    pending: Sequence[PlannedTrial],
    observers: Sequence[Observer],
    log: RayLog,
    options: Options,
    ray: KeptRay,
) -> _Stopped | None:
    """Run what is pending or proposed, and the rounds of more seeds after it. Returns why it
    stopped before the end, if it did.
    """
    from embft.results.search_log import write_next
    from embft.scheduler.choices import choices_of
    from embft.scheduler.interruption import Interrupted, RayDiedError
    from embft.storage.errors import StorageError

    run = partial(_run_on_ray, console, observers, log, options, ray)
    at_first = [trial for trial in pending if not trial.replicate]
    try:
        resolved = partial(_is_resolved, plan)
        choices = choices_of(
            plan,
            at_first,
            resolved,
            measure=lambda folder: _measure(plan, options, [folder]),
            again=options.retry_failed,
        )
        if (at_first or choices.open) and choices.enough.reason is None:
            run(plan, at_first, choices)
        _say_enough(console, choices)
        if choices.search is not None:
            write_next(plan.folder, choices.search.ahead(_NEXT))
        _run_rounds(console, plan, pending, choices, run)
    except Interrupted:
        return _Stopped("Interrupted.", EXIT_INTERRUPTED)
    except RayDiedError as error:
        return _Stopped(f"{error}.", EXIT_INTERRUPTED)
    except SearchError as error:
        return _Stopped(f"{error}.", EXIT_FAILED)
    except StorageError as error:
        first = (
            "Free some disk first"
            if error.reason == FailureReason.DISK_FULL
            else "See first that the results folder is there and can be written"
        )
        return _Stopped(f"Stopped: {error}. {first}.", EXIT_FAILED, no_room=True)
    return None


def _run_rounds(
    console: Console,
    plan: Plan,
    pending: Sequence[PlannedTrial],
    before: Choices,
    run: Callable[[Plan, Sequence[PlannedTrial], Choices], None],
) -> None:
    """Run the rounds of more seeds, in what is left of the time."""
    from embft.cli.console import say
    from embft.cli.seed_rounds import run_rounds
    from embft.planning.prefixes import share_prefixes
    from embft.scheduler.choices import Choices

    proposed = len(before.search.keys) if before.search else 0

    def further(plan: Plan, trials: Sequence[PlannedTrial]) -> bool:
        enough = before.enough.rest()
        if enough is None:
            return False
        say(console, f"More seeds for those that may be the best: {len(trials)} trials.")
        choices = Choices(enough=enough, done=proposed)
        run(plan, share_prefixes(trials), choices)
        _say_enough(console, choices)
        return enough.reason is None

    if before.enough.rest() is not None:
        run_rounds(plan, [trial for trial in pending if trial.replicate], further)


def _say_enough(console: Console, choices: Choices) -> None:
    from embft.cli.console import say

    search = choices.search
    if choices.enough.reason is not None:
        say(console, f"Enough: {choices.enough.reason}.")
    elif search is not None and search.exhausted:
        wanted = search.plan.spec.search.trials
        say(
            console,
            f"Nothing new is proposed any more: the search ends with {len(search.keys)} of "
            f"{wanted} trials. A larger space has more.",
        )


def _run_on_ray(  # noqa: PLR0913, PLR0917 - what a run needs
    console: Console,
    observers: Sequence[Observer],
    log: RayLog,
    options: Options,
    ray: KeptRay,
    plan: Plan,
    pending: Sequence[PlannedTrial],
    choices: Choices,
) -> None:
    """Run these trials, or what is proposed. Raises EmbftError where they do not fit."""
    from embft.execution.measure import known_need
    from embft.planning.estimate import check_fits, longest_first
    from embft.scheduler.ahead import begun_ahead
    from embft.scheduler.interruption import Stop, stop_on_signals, told_at_once
    from embft.system.allocator import release_memory

    need = known_need(plan, (*pending, *plan.expected))
    check_fits(plan, need)
    release_memory()  # what reading and auditing the data took
    if need.at_once > 1 and choices.early is None:
        pending = longest_first(plan, pending)
    plan.folder.stop_file.unlink(missing_ok=True)  # the last interruption's
    first = _first(pending, choices) if _runs_here(plan, options) else ()
    resources, stop = plan.spec.resources, Stop(plan.folder.ask_to_stop)
    with (
        stop_on_signals(stop),
        told_at_once(stop),
        begun_ahead(first, resources, need) as ahead,
    ):
        from embft.scheduler.cluster import ray_cluster  # its imports take a second

        made = ray_cluster(resources, need.demand, options.address, log, kept=ray, stop=stop)
        with made as cluster:
            _run_on(cluster, console, plan, pending, observers, choices, ahead)


def _first(pending: Sequence[PlannedTrial], choices: Choices) -> Sequence[PlannedTrial]:
    """The trials that nothing but their order decides on: with a scheduler, the baselines."""
    if choices.early is None:
        return pending
    return [trial for trial in pending if trial.spec.is_baseline]


def _run_on(  # noqa: PLR0913, PLR0917 - what a run needs
    cluster: Cluster,
    console: Console,
    plan: Plan,
    pending: Sequence[PlannedTrial],
    observers: Sequence[Observer],
    choices: Choices,
    ahead: Ahead,
) -> None:
    from embft.cli.progress import SweepView
    from embft.execution.measure import known_seconds
    from embft.planning.take_over import begin
    from embft.report.background import BackgroundReport
    from embft.scheduler.tune import run_trials

    resources = plan.spec.resources
    for trial in pending:
        if trial not in ahead:
            begin(trial, cluster.cpus_per_trial, resources)
    done = len(plan.trials) - len(pending) + choices.done
    budget = choices.search.left if choices.search else 0
    view = SweepView(console, budget, known_seconds(plan, pending))
    watching = [view, BackgroundReport(), choices.enough, *observers]
    for message in run_trials(pending, cluster, resources, watching, done, choices, ahead):
        click.echo(f"embft: a trial was lost again and again: {shorten(message, 200)}", err=True)


def _is_resolved(plan: Plan) -> bool:
    from embft.leaderboard.build import build_leaderboard

    decision = build_leaderboard(plan.folder.path).decision
    return decision is not None and decision.resolved


def _end_stopped(console: Console, stopped: _Stopped, after: Sequence[Path]) -> NoReturn:
    """End at once: Ray's threads would wait for processes that are gone."""
    from embft.cli.console import say

    left = f" Not begun: {', '.join(map(str, after))}." if after else ""
    say(console, f"{stopped.message}{left} To carry on: {given_again()}", "yellow")
    sys.stdout.flush()
    os._exit(stopped.exit_status)


def write_lead_maps(leaderboard: Leaderboard, names: Sequence[str]) -> None:
    """Write the maps of these models, the lead ones, and say what has none."""
    from embft.execution.maps import write_maps
    from embft.leaderboard.lookup import find_scored
    from embft.report.pairs import lead_models

    wanted = [find_scored(leaderboard, name).trial for name in names]
    folders = [model.row.folder for model in lead_models(leaderboard, wanted)]
    for name, reason in write_maps(folders).items():
        click.echo(f"embft: {name}: {reason}", err=True)
