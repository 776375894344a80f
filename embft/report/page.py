"""One sweep's HTML page: its sections in the order of a reader's questions.

Covers what stands in which section and how the file is put together. Charts are drawn in
`charts/`, the table in `table.py`, the trials' pages in `trials.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from embft.leaderboard.agreement import agreements
from embft.leaderboard.corpora import corpus_notes
from embft.leaderboard.costs import COSTS
from embft.leaderboard.findings import agreement_finding, leader_finding
from embft.leaderboard.highest_score import highest_score
from embft.leaderboard.labels import config_label, metric_label, ranks_note
from embft.leaderboard.rows import Decision, Leaderboard
from embft.leaderboard.significance import direction
from embft.leaderboard.table import Line, scored, table_lines
from embft.metrics.borda import MANY_TASKS
from embft.report import bundle
from embft.report import format as fmt
from embft.report.audit import audit_lines
from embft.report.chart import Chart, begin_svg
from embft.report.chart_list import Section, draw_charts
from embft.report.compared_models import MOST_SHOWN
from embft.report.comparison import compare_data
from embft.report.front import front_table
from embft.report.pairs import pairs_view
from embft.report.queries import queries_views
from embft.report.table import BAR_WIDTH, build_table
from embft.report.theme import CATEGORIES, MUTED, config
from embft.report.trials import SPARK, shared_provenance, trial_pages
from embft.results.records import Status
from embft.storage.files import write_atomic

# In the order in which a sentence counts them.
_PROGRESS = (Status.COMPLETED, Status.FAILED, Status.PRUNED, Status.RUNNING, Status.PENDING)
_PIECES = 10_000  # of text, each a few characters, that are written at once
_NUMBER = re.compile(r"(\S*\d\.?\d*e-?\d+\S*)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Stat:
    """One figure at the top: what it is, the number, and a remark."""

    label: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart with the picture that stands there before any script runs, once it is drawn."""

    chart: Chart
    drawn: Callable[[], str]

    @property
    def svg(self) -> Markup:
        """The picture, which vl-convert wrote with every text escaped."""
        return Markup(self.drawn())  # noqa: S704 - our own markup


def write_report(
    leaderboard: Leaderboard,
    path: Path,
    compare: tuple[str, str] | None = None,
    *,
    pictures: bool = True,
) -> None:
    """Write the page to `path`; whoever opens it at that moment sees the old or the new one.

    compare: two trials that "compare two" begins with. pictures: whether each chart stands there as
    a picture before any script runs.
    """
    write_atomic(path, _rendered(leaderboard, compare, pictures=pictures))


def _rendered(
    leaderboard: Leaderboard, compare: tuple[str, str] | None, *, pictures: bool
) -> Iterator[str]:
    """The page in parts: of thousands of trials the whole takes hundreds of megabytes."""
    leaderboard = scored(leaderboard)
    pairs = pairs_view(leaderboard, compare or ())
    drawn = draw_charts(leaderboard, pairs.compared)
    figures = _figures(drawn, pictures=pictures)  # drawn while the rest is made
    couples = compare_data(leaderboard, compare)
    context = {
        **_top(leaderboard),
        "table": build_table(leaderboard),
        "bar_width": BAR_WIDTH,
        "spark": SPARK,
        "pairs": pairs,
        "queries": queries_views(leaderboard),
        "figures_of": figures,
        "mapped": any(chart.key == "map" for chart in drawn[Section.BEFORE_AFTER]),
        "agreements": agreements(leaderboard),
        "agreement_finding": agreement_finding(agreements(leaderboard)),
        "metric_label": metric_label,
        "front": front_table(leaderboard),
        "couples": couples,
        "failures": [
            row for row in leaderboard.rows if row.status in {Status.FAILED, Status.PRUNED}
        ],
        "trials": trial_pages(leaderboard),
        "shared": shared_provenance(leaderboard),
        "method": method(leaderboard),
        "most_shown": MOST_SHOWN,
        "folder": leaderboard.folder.path,
        "audit": audit_lines(leaderboard),
        "fmt": fmt,
    }
    charts = [chart for section in drawn.values() for chart in section]
    return _assembled(context, charts, {"compare": couples})


def _figures(
    drawn: Mapping[Section, Sequence[Chart]], *, pictures: bool
) -> dict[str, dict[str, list[Figure]]]:
    """Section -> `shown` and `folded` -> figures."""
    return {
        section.value: {
            name: [figure(c, picture=pictures) for c in charts if c.folded is folded]
            for name, folded in (("shown", False), ("folded", True))
        }
        for section, charts in drawn.items()
    }


def _top(leaderboard: Leaderboard) -> dict[str, Any]:
    return {
        "leaderboard": leaderboard,
        "title": leaderboard.name,
        "question": leaderboard.description or leaderboard.name,
        "metric": metric_label(leaderboard.metric),
        "direction": "higher" if leaderboard.mode == "max" else "lower",
        "stats": stats(leaderboard),
        "progress": progress(leaderboard),
        "recommended": leaderboard.recommended,
        "of_one_sweep": len({row.folder.sweep for row in leaderboard.rows}) == 1,
        "leader_finding": leader_finding(leaderboard),
        "ranks_note": ranks_note(leaderboard.groups),
        "best_tag": "may be the best" if _several_best(leaderboard) else "best on dev",
    }


def _several_best(leaderboard: Leaderboard) -> bool:
    return sum(bool(group.in_best_set) for group in (*leaderboard.bases, *leaderboard.groups)) > 1


def figure(chart: Chart, *, picture: bool = True) -> Figure:
    """A chart with its static picture, which may be drawn until it is asked for."""
    return Figure(chart, begin_svg(chart) if picture else str)


def stats(leaderboard: Leaderboard) -> list[Stat]:
    """The figures of the recommended configuration."""
    line = next((line for line in table_lines(leaderboard) if line.recommended), None)
    if line is None:
        return []
    found = [
        Stat(
            f"{metric_label(leaderboard.metric)}, test",
            fmt.score(line.score),
            f"95 % interval {fmt.interval(line.interval)}" if line.interval else "",
        )
    ]
    if line.delta is not None and not line.is_baseline:
        found.append(Stat("against the base model, test", fmt.signed(line.delta), _gain(line)))
    if line.loss_high is not None and leaderboard.decision is not None:
        found.append(_loss(line.loss_high, leaderboard.decision))
    runner = runner_up(leaderboard)
    if runner is not None:
        found.append(runner)
    found.append(Stat("training", fmt.duration(line.seconds), _cost_remark(line.memory_mb)))
    remark = f"saved: {fmt.size(line.size)}" if line.size else ""
    found.append(Stat("trained weights", fmt.count(line.trainable), remark))
    return found


def runner_up(leaderboard: Leaderboard) -> Stat | None:
    """The next configuration: the leader where another is recommended, else the second."""
    chosen = leaderboard.recommended
    others = [group for group in leaderboard.groups if group is not chosen]
    if chosen is None or not others:
        return None
    other = others[0]
    state = "may be the best on dev too" if other.in_best_set else "is not the best on dev"
    ahead = direction(leaderboard.mode) * (other.dev_score - chosen.dev_score) > 0
    return Stat(
        "against the leader, test" if ahead else "against the runner-up, test",
        fmt.signed(chosen.score - other.score),
        f"{config_label(other.params, leaderboard.axes)} ({fmt.score(other.score)}) {state}",
    )


def _gain(line: Line) -> str:
    """The interval of the gain over the base model."""
    found = line.to_base
    return f"95 % interval {fmt.interval((found.low, found.high))}" if found else ""


def _loss(loss: float, decision: Decision) -> Stat:
    """The most that the recommended configuration loses on dev."""
    state = "" if decision.resolved else ": unresolved"
    return Stat(
        "against the best, dev",
        f"\N{LESS-THAN OR EQUAL TO} {fmt.score(loss)}",
        f"the most it loses (95 % confidence); tolerance {fmt.score(decision.objective.tolerance)}"
        f"{state}",
    )


def progress(leaderboard: Leaderboard) -> str:
    """How far the sweep is, in a sentence; empty when every trial has completed."""
    counts = {status: leaderboard.count(status) for status in _PROGRESS}
    total = sum(counts.values())
    if counts[Status.COMPLETED] == total:
        return ""
    parts = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    unfinished = counts[Status.RUNNING] + counts[Status.PENDING]
    return f"{'An early look: of' if unfinished else 'Of'} {total} trials, {parts}."


def method(leaderboard: Leaderboard) -> list[str]:
    """How the numbers came about, in sentences."""
    scheme = next((r.completed.interval_scheme for r in leaderboard.rows if r.completed), None)
    found = [
        *_ranked_by(leaderboard),
        "A 95 % interval is made so that in 95 of 100 draws of such evaluation pairs it holds the "
        "score that the model has on all pairs of this kind"
        + (f" (bootstrap over {scheme})." if scheme else "."),
        *_choosing(leaderboard),
        "Every saved model was loaded again in a fresh process and compared with the trained "
        "one before it was scored.",
    ]
    found += [*highest_score(leaderboard), *corpus_notes(leaderboard)]
    if leaderboard.more_seeds is not None:
        found.insert(2, "A configuration's scores are means over its seeds.")
    elif len(leaderboard.seeds) > 1:
        found.insert(2, f"Scores are means over {len(leaderboard.seeds)} seeds.")
    return found


def _ranked_by(leaderboard: Leaderboard) -> Iterator[str]:
    """What is chosen by, and on what."""
    dev, test = (leaderboard.pairs.get(split, 0) for split in ("dev", "test"))
    reported = f"Scores are reported on the test split ({test:,} pairs)."
    objective = leaderboard.decision.objective if leaderboard.decision else None
    if objective is None or not objective.tasks:
        yield (
            f"Trials are ranked by {metric_label(leaderboard.metric)} on the dev split ({dev:,} "
            f"pairs), which also chose each trial's epoch and threshold. {reported}"
        )
        return
    tasks, few = ", ".join(objective.tasks), len(objective.tasks) < MANY_TASKS
    yield (
        f"Trials are ranked by the Borda score over these tasks: {tasks}, on the dev split "
        f"({dev:,} pairs). It is the mean over tasks of the share of the other configurations that "
        "one beats, ties counting half. "
        f"Each trial's epoch was chosen by {objective.metric}. {reported}"
    )
    yield (
        "Two configurations count as different in a task where their difference is significant "
        "for all pairs in all tasks at once; a pair that is not counts for and against, so that "
        "intervals of Borda scores are wide and hold for all at once."
        if few
        else "Tasks are a sample: intervals are made by drawing tasks again."
    )


def _choosing(leaderboard: Leaderboard) -> list[str]:
    """How the recommendation and the ranks come about."""
    decision = leaderboard.decision
    if decision is None or not decision.compared:
        return []
    tolerance = fmt.score(decision.objective.tolerance)
    cheapest = COSTS[decision.objective.prefer]
    free = "" if decision.objective.prefer == "serving" else "; the base model costs nothing"
    return [
        "On dev all are compared with all, the base model among them, on the same pairs. A "
        "configuration may be the best where none is ahead of it by more than the error of such "
        "comparisons (multiple comparisons with the best: Hsu, 1981), and its ranks are those that "
        "hold for all at once (Mogstad, Romano, Shaikh and Wilhelm, 2024): each at 95 %.",
        f"Recommended is the cheapest ({cheapest}) of those that lose at most {tolerance} "
        f"(`objective.tolerance`) against the best, by a bound that holds for all at once{free}. "
        "Where that is shown for none, it is the leader, and unresolved.",
        "On test the recommended configuration is compared with every one that may be the best; "
        "intervals and p-values are corrected for all of them (Dunnett, 1955).",
    ]


def _cost_remark(memory_mb: float | None) -> str:
    return f"peak memory {fmt.memory(memory_mb)}" if memory_mb else ""


def _assembled(
    context: dict[str, Any], drawn: Sequence[Chart], data: dict[str, Any]
) -> Iterator[str]:
    style, script = bundle.asset("report.css"), bundle.asset("report.js")
    admitted = [bundle.library(), script] if drawn else [script]
    content = {"charts": {c.key: c.spec for c in drawn}, "config": config(), **data}
    content |= {"palette": list(CATEGORIES), "grey": MUTED}
    page = _template().stream(
        **context,
        policy=bundle.policy([style], admitted),
        style=Markup(style),  # noqa: S704 - an asset of ours
        script=Markup(script),  # noqa: S704 - an asset of ours
        library=Markup(bundle.packed_library() if drawn else ""),  # noqa: S704 - base64
        data=Markup(bundle.script_json(content)),  # noqa: S704 - escaped by script_json
    )
    page.enable_buffering(_PIECES)
    return page


@cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("embft.report", "assets")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["nb"] = unbroken
    environment.filters["zip"] = zip
    return environment.get_template("page.html.j2")


def unbroken(text: str) -> Markup:
    """The text with its numbers kept on one line, for browsers break `2e-5` at its hyphen, and with
    what stands between backticks as code.
    """
    code = Markup("<code>{}</code>")
    parts = _CODE.split(text)
    return Markup().join(code.format(p) if i % 2 else _numbers(p) for i, p in enumerate(parts))


def _numbers(text: str) -> Markup:
    whole = Markup("<span class=nb>{}</span>")
    parts = _NUMBER.split(text)
    return Markup().join(whole.format(p) if i % 2 else p for i, p in enumerate(parts))
