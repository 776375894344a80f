"""How plans, leaderboards and audits look on a terminal."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embft.cli.console import say
from embft.data.audit.findings import Audit
from embft.leaderboard.contenders import FEWEST_AT_FIRST
from embft.leaderboard.export import to_csv
from embft.leaderboard.labels import (
    axis_titles,
    metric_label,
    number,
    value_text,
)
from embft.leaderboard.rows import Group, Leaderboard
from embft.leaderboard.table import row_label
from embft.metrics.registry import METRICS
from embft.planning.estimate import SWEEP_SECONDS, Need, duration_text, free_disk, size_text
from embft.planning.plan import Plan, PlannedTrial
from embft.planning.seed_rounds import known_rounds
from embft.report.audit import audit_figures
from embft.report.format import size as format_size
from embft.results.dataset import has_dataset
from embft.results.folders import TrialDir
from embft.results.records import Status
from embft.results.removal import size_of
from embft.results.search_log import Suggested, read_search
from embft.spec.names import distinct_names, identity

if TYPE_CHECKING:
    from embft.execution.evaluate import Evaluation

_WIDE = 110  # columns from which on intervals fit beside the scores
_IN_WORDS = 40  # columns for a configuration in words
_STYLES = {"problem": "bold red", "warning": "yellow", "info": "dim"}


def print_plan_line(console: Console, plan: Plan, pending: Sequence[PlannedTrial]) -> None:
    """One line before a sweep: how much is done and what will run."""
    done = len(plan.trials) - len(pending)
    failed = sum(t.finished == Status.FAILED for t in plan.trials)
    failed -= sum(t.finished is not None for t in pending)  # to run again, as was asked
    line = Text(plan.spec.name, style="bold")
    line.append(f": {len(plan.trials)} trials with the baseline, ", style="not bold")
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
    folder = plan.folder
    wanted = [digest for digest, splits in plan.data.items() if splits.mining is not None]
    left = [d for d in wanted if not has_dataset(folder.dataset(folder.data_name(d)))]
    if left:
        say(console, f"Mining hard negatives first, {len(left)} of {len(wanted)} settings.")


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


def metric_records() -> list[dict[str, Any]]:
    """A record for each metric of the registry; an end of its range is None where there is none."""
    words = {"max": "higher", "min": "lower"}
    return [
        {
            "metric": name,
            "label": metric.label,
            "better": words.get(str(metric.direction)),
            "lowest": metric.bounds[0],
            "highest": metric.bounds[1],
            "computed_by": metric.computed_by,
            "objective": "yes" if metric.objective else "no",
            "labels": "0 and 1" if metric.binary_only else None,
            "formula": metric.formula,
            "source": metric.source or None,
        }
        for name, metric in METRICS.items()
    ]


def metric_rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of `metric_records` what a terminal has room for."""

    def end(value: float | None) -> str:
        return "any" if value is None else f"{value:g}"

    return [
        {
            **{name: record[name] for name in ("metric", "label", "better")},
            "range": f"{end(record['lowest'])} to {end(record['highest'])}",
            "objective": record["objective"],
        }
        for record in records
    ]


def print_records(
    console: Console, form: str, records: Sequence[Mapping[str, Any]], title: str
) -> None:
    """Records as JSON or CSV for scripts, or as a table for people."""
    if form == "json":
        console.out(json.dumps(records, indent=2), highlight=False)
    elif form == "csv":
        console.out(to_csv([dict(record) for record in records]), end="", highlight=False)
    else:
        console.print(_records_table(records, title, console.width))


def _records_table(records: Sequence[Mapping[str, Any]], title: str, width: int) -> Table:
    """Records as a table. Where its columns have no room in so many of a terminal's, a single one
    holds what varies between trials, in words.
    """
    cells = _cells(records)
    if _width(cells) > width and "trial" in cells:
        cells = _in_words(cells)
    table = _table(title)
    for name, wide in _fitted(cells, width).items():
        table.add_column(name, overflow="fold", width=wide)
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table


def _fitted(cells: Cells, width: int) -> dict[str, int]:
    """How wide each column is in so many columns of a terminal: those that can be broken between
    words give way, the one with most to give first; if all words do not fit, the longest.
    """
    columns = {name: [name, *column] for name, column in cells.items()}
    wide = {name: max(map(cell_len, column)) for name, column in columns.items()}
    least = {
        name: max((cell_len(word) for cell in column for word in cell.split()), default=1)
        for name, column in columns.items()
    }
    excess = sum(wide.values()) + _BESIDE_CELLS * len(wide) + 1 - width
    for _ in range(max(0, excess)):
        name = max(wide, key=lambda name: (wide[name] - least[name], wide[name]))
        wide[name] = max(1, wide[name] - 1)
    return wide


def _cells(records: Sequence[Mapping[str, Any]]) -> Cells:
    """What a table shows of records, by its headings: names in words, a baseline by its name."""
    found: Cells = {}
    records = [_worded(record) for record in records]
    for column in records[0] if records else ():
        names = distinct_names(column, (record[column] for record in records))
        found[column.rpartition(".")[2]] = [
            "" if value is None else names.get(identity(value), str(value))
            for value in (record[column] for record in records)
        ]
    if "trial" in found:
        varying = next((name for name in found if name not in _OF_TRIALS), None)
        for i, record in enumerate(records):
            found["trial"][i] = _short(str(record["trial"]))
            if varying and str(record["trial"]).startswith("baseline"):
                found[varying][i] = "base model"
    return found


def _worded(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record with its status in the words of a plan."""
    if SCORED_AGAIN not in record:
        return record
    shown = {name: value for name, value in record.items() if name != SCORED_AGAIN}
    return {**shown, "status": "scored again"} if record[SCORED_AGAIN] else shown


SCORED_AGAIN = "scored_again"
_LEAST_ROOM = 16  # columns of a terminal for a configuration, however narrow it is
_BESIDE_CELLS = 3  # columns of a terminal for the space around a cell, and for the line between

# Columns of a table of trials that hold no parameter.
_OF_TRIALS = ("trial", "status", "seed", "train_rows", "seconds")


def _in_words(cells: Cells) -> Cells:
    """The same with one column for all that varies."""
    axes = {name: column for name, column in cells.items() if name not in _OF_TRIALS}
    words = [
        ", ".join(
            value if value == "base model" else f"{name.replace('_', ' ')} {value}"
            for name, value in zip(axes, row, strict=True)
            if value
        )
        for row in zip(*axes.values(), strict=True)
    ]
    left = {name: cells[name] for name in ("trial", "status", "seed")}
    right = {name: cells[name] for name in _OF_TRIALS[3:] if name in cells}
    return {**left, "configuration": words, **right}


def print_evaluation(
    console: Console, form: str, found: Evaluation, by: Sequence[str] = ()
) -> None:
    """The metrics of one model, what is undefined and why, and the breakdown by these columns."""
    title = f"{found.model}: intervals by resampling {found.scheme}"
    groups = [
        {"column": column, **asdict(row)} for column in by for row in found.groups.get(column, ())
    ]
    if form == "json" and by:
        content = {"metrics": found.rows, "undefined": found.undefined, "groups": groups}
        console.out(json.dumps(content, indent=2), highlight=False)
        return
    rows = found.rows
    if form == "table":
        rows = [{k: v for k, v in row.items() if k != "note"} for row in rows]
    print_records(console, form, rows, title)
    if form == "table":
        for note, metrics in _notes(found.rows).items():
            say(console, f"{', '.join(metrics)}: {note}")
    if groups and form == "table":
        print_records(console, form, groups, "Test broken down")
    for name, reason in found.undefined.items():
        say(Console(stderr=True, highlight=False), f"{name}: {reason}")


def _notes(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What is to be said of intervals, each with the metrics and splits that it is said of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.get("note"):
            found.setdefault(row["note"], []).append(f"{row['metric']} on {row['split']}")
    return found


def print_leaderboard(console: Console, leaderboard: Leaderboard) -> None:
    """The ranked table, the answer, and its warnings."""
    console.print(leaderboard_table(leaderboard, console.width))
    for sentence in leaderboard.verdict:
        say(console, sentence)
    for sentence in leaderboard.warnings:
        say(console, f"Warning: {sentence}", "yellow")
    for row in leaderboard.rows:
        if row.status == Status.FAILED and row.result is not None:
            failure = getattr(row.result, "message", "")
            named = f"{row.folder.short} {row.trial.rpartition('-')[0]}"
            say(console, f"Failed: {named}: {failure}", "red")
    if (report := leaderboard.folder.report_file()).exists():
        say(console, f"Report: {report}")


def print_audit(
    console: Console,
    audit: Audit,
    fractions: Mapping[float, int] | None = None,
    *,
    everything: bool = False,
) -> None:
    """The findings, gravest first, with what each does and what to do; infos only on demand.

    fractions: how many rows of train each `data.fraction` has, where there are several.
    """
    sizes = ", ".join(f"{count:,} {name}" for name, count in audit.sizes.items())
    console.print(Text(f"Data audit of {sizes} pairs", style="bold"))
    if fractions:
        parts = ", ".join(f"{share:g} has {count:,}" for share, count in sorted(fractions.items()))
        say(console, f"Rows of train by data.fraction: {parts}")
    shown_findings = [f for f in audit.findings if everything or f.severity != "info"]
    for finding in shown_findings:
        console.print()
        mark = Text(f"{finding.severity}: ", style=_STYLES[finding.severity])
        console.print(
            mark.append(finding.message, style="not bold not dim"),
            soft_wrap=not console.is_terminal,
        )
        figures = "; ".join(f"{name} {value}" for name, value in audit_figures(asdict(finding)))
        say(console, f"  figures: {figures}", hang=4)
        say(console, f"  effect: {finding.effect}", hang=4)
        say(console, f"  advice: {finding.advice}", hang=4)
        for example in finding.examples[:2]:
            say(console, f"  e.g. {json.dumps(example, ensure_ascii=False)}", "dim", hang=4)
    if not shown_findings:
        console.print("No warning and no problem was found.")
    hidden = len(audit.findings) - len(shown_findings)
    if hidden:
        console.print(Text(f"\n{hidden} more for information: --all shows them", style="dim"))


def leaderboard_table(leaderboard: Leaderboard, width: int) -> Table:
    """The ranked table in so many columns of a terminal.

    Where the axes have no room side by side, one column holds them in words; a wide terminal shows
    intervals and the number of trained weights too.
    """
    titles = axis_titles(leaderboard.axes)
    axes = {titles[axis]: _axis_cells(leaderboard, axis) for axis in leaderboard.axes}
    left, right = _fixed_columns(leaderboard, wide=width >= _WIDE)
    if _width({**left, **axes, **right}) > width:
        axes = {"configuration": [row_label(leaderboard, row) for row in leaderboard.rows]}
        if _width({**left, **right}) + _IN_WORDS > width:
            left, right = _fixed_columns(leaderboard, wide=False)
        if all(row.status == Status.COMPLETED for row in leaderboard.rows):
            del left["status"]
    table = _table(f"{leaderboard.name}: {metric_label(leaderboard.metric)}, ranked on dev")
    for heading in left:
        table.add_column(heading, no_wrap=True)
    room = max(_LEAST_ROOM, width - _width({**left, **right}) + 1)
    for heading, wide in _fitted(axes, room).items():
        table.add_column(heading, overflow="fold", width=wide)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    for cells in zip(*left.values(), *axes.values(), *right.values(), strict=True):
        table.add_row(*cells)
    return table


Cells = dict[str, list[str]]


def _fixed_columns(leaderboard: Leaderboard, *, wide: bool) -> tuple[Cells, Cells]:
    """The columns before and after the axes, by their headings."""
    groups = {row.trial: group for group in leaderboard.groups for row in group.rows}
    metric, rows = leaderboard.metric, leaderboard.rows
    done = [row.completed for row in rows]
    left = {
        "rank": [_rank(groups.get(row.trial)) for row in rows],
        "trial": [row.folder.short for row in rows],
        "status": [str(row.status) for row in rows],
    }
    right = {
        "dev": [_number(row.dev.get(metric)) for row in rows],
        "test": [
            _number(row.test.get(metric), row.test_intervals.get(metric) if wide else None)
            for row in rows
        ],
    }
    if any(result and result.test_without_leaks for result in done):
        right["no leaks"] = [
            _number(result.test_without_leaks.get(metric)) if result else "" for result in done
        ]
    right["train s"] = [f"{result.timings.train:.0f}" if result else "" for result in done]
    if wide:
        right["trainable"] = [f"{r.trainable_parameters:,}" if r else "" for r in done]
    return left, right


def _axis_cells(leaderboard: Leaderboard, axis: str) -> list[str]:
    named = axis == next(iter(leaderboard.axes))  # the base model is named where axes begin
    values = [
        "base model" if row.is_baseline and named else row.params.get(axis)
        for row in leaderboard.rows
    ]
    return ["" if value is None else value_text(value) for value in values]


def _width(columns: Cells) -> int:
    """The columns of a terminal that a table takes, the space between its columns included."""
    widths = (max(map(cell_len, (title, *cells))) for title, cells in columns.items())
    return 1 + sum(_BESIDE_CELLS + width for width in widths)


def _rank(group: Group | None) -> str:
    if group is None:
        return ""
    same = group.rank_low == group.rank_high
    rank = str(group.rank) if same else f"{group.rank_low}–{group.rank_high}"
    return f"{rank} ★" if group.recommended else rank


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _short(trial: str) -> str:
    return TrialDir(Path(trial)).short


def _number(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return ""
    between = f" ({number(interval[0])} to {number(interval[1])})" if interval else ""
    return number(value) + between


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
