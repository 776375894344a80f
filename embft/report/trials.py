"""The page of each trial inside the report: what there is to show, ready for the template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from embft.leaderboard.curves import by_steps
from embft.leaderboard.labels import metric_label
from embft.leaderboard.rows import Leaderboard, Row
from embft.leaderboard.table import rank_text, row_label
from embft.report import format as fmt
from embft.results.records import Completed, Failed, Provenance, Pruned, Status

Facts = list[tuple[str, str]]
SPARK = (240.0, 64.0)


@dataclass(frozen=True)
class MetricLine:
    """One metric of one trial on both splits, as texts."""

    label: str
    dev: str
    test: str
    test_interval: str


@dataclass(frozen=True)
class Spark:
    """A small curve in pixels. chosen: the kept epoch's point."""

    points: str
    chosen: tuple[float, float] | None
    low: str
    high: str
    epochs: float


@dataclass(frozen=True)
class TrialPage:
    """All that the page of one trial shows."""

    trial: str
    label: str
    status: Status
    rank: str
    score: str
    spec_yaml: str
    facts: Facts
    metrics: tuple[MetricLine, ...]
    undefined: tuple[tuple[str, str], ...]
    spark: Spark | None
    verified: str
    verified_detail: str
    reason: str
    message: str
    log: str
    provenance: Facts


def trial_pages(leaderboard: Leaderboard) -> Iterator[TrialPage]:
    """A page for each trial, the baseline's included, in the leaderboard's order."""
    ranks = {row.trial: rank_text(group) for group in leaderboard.groups for row in group.rows}
    shared = shared_provenance(leaderboard)
    for row in leaderboard.rows:
        yield _page(leaderboard, row, ranks.get(row.trial, ""), shared)


def shared_provenance(leaderboard: Leaderboard) -> Facts:
    """What every trial has in common; a trial's page names only what differs."""
    found = [provenance_facts(p) for row in leaderboard.rows if (p := _provenance_of(row))]
    if not found:
        return []
    first = found[0]
    return [(key, first[key]) for key in first if all(f.get(key) == first[key] for f in found)]


def _page(leaderboard: Leaderboard, row: Row, rank: str, shared: Facts) -> TrialPage:
    done, result = row.completed, row.result
    verified, detail = verification_words(done)
    own = provenance_facts(p) if (p := _provenance_of(row)) else {}
    label = row_label(leaderboard, row)
    several = len(leaderboard.seeds) > 1 and not row.is_baseline
    return TrialPage(
        trial=row.trial,
        label=f"{label}, seed {row.seed}" if several else label,
        status=row.status,
        rank=rank,
        score=fmt.score(row.test.get(leaderboard.metric)) if done else "",
        spec_yaml=row.spec_yaml,
        facts=trial_facts(row),
        metrics=trial_metrics(row),
        undefined=tuple(done.undefined.items()) if done else (),
        spark=_spark(leaderboard, row),
        verified=verified,
        verified_detail=detail,
        reason=result.reason if isinstance(result, (Failed, Pruned)) else "",
        message=result.message if isinstance(result, Failed) else "",
        log=result.log_tail if isinstance(result, Failed) else "",
        provenance=[item for item in own.items() if item not in shared],
    )


def verification_words(done: Completed | None) -> tuple[str, str]:
    """That the saved model was verified, and by what; empty where there is none."""
    if done is None or done.verification is None:
        return "", ""
    found = done.verification
    return "Saved model verified", (
        f"Loaded again in a fresh process, its embeddings of {found.probe_texts} texts differ by "
        f"{found.against_memory:.2g} from the trained model's (allowed: {found.tolerance:.0e}) and "
        f"by {found.against_base:.2g} from the base model's."
    )


def _kept(done: Completed) -> tuple[str, str]:
    """Which evaluation's weights were kept, by epochs, or by steps where some came between."""
    if not by_steps(score.epoch for score in done.epochs):
        return "Epoch kept", f"{done.best_epoch} of {len(done.epochs)}"
    step = next(score.step for score in done.epochs if score.epoch == done.best_epoch)
    return "Step kept", f"{step:,} of {done.epochs[-1].step:,}"


def trial_facts(row: Row) -> Facts:
    """What a trial came to beside its scores, by name."""
    done = row.completed
    facts = [("Short name", row.folder.short), ("Folder", row.folder.name)]
    if not row.is_baseline:
        facts.append(("Seed", str(row.seed)))
    if isinstance(row.result, Failed):
        facts.append(("Failed after", fmt.duration(row.result.total_seconds)))
    if done is None:
        return facts
    if done.best_epoch is not None:
        facts.append(_kept(done))
    if done.threshold is not None:
        facts.append(("Threshold from dev", fmt.score(done.threshold, 2)))
    facts += [
        ("Trained weights", f"{done.trainable_parameters:,} of {done.total_parameters:,}"),
        ("Training", fmt.duration(done.timings.train)),
        ("Whole trial", fmt.duration(done.timings.total)),
        ("Peak memory", fmt.memory(done.peak_memory_mb)),
        ("Saved size", fmt.size(done.artifact_bytes)),
    ]
    if done.trained_by is not None:
        facts.append(("Scored again", f"its training is that of {done.trained_by}"))
    if row.folder.removed_file.exists():
        facts.append(("Model", "removed after it was scored (artifacts.keep)"))
    return facts


def trial_metrics(row: Row) -> tuple[MetricLine, ...]:
    """Every metric of a trial, test's order first."""
    names = list(dict.fromkeys([*row.test, *row.dev]))
    return tuple(
        MetricLine(
            metric_label(name),
            fmt.metric(name, row.dev.get(name)),
            fmt.metric(name, row.test.get(name)),
            _range(row.test_intervals, name),
        )
        for name in names
    )


def _range(found: Mapping[str, tuple[float, float]], name: str) -> str:
    return fmt.interval(found[name]) if name in found else ""


def _spark(leaderboard: Leaderboard, row: Row) -> Spark | None:
    metric = leaderboard.epoch_metric
    found = [(e.epoch, e.dev[metric]) for e in row.epochs if metric in e.dev]
    if not found:
        return None
    points = _scaled(found)
    best = row.completed.best_epoch if row.completed else None
    chosen = next((p for (epoch, _), p in zip(found, points, strict=True) if epoch == best), None)
    scores = [score for _, score in found]
    return Spark(
        points=" ".join(f"{x},{y}" for x, y in points),
        chosen=chosen,
        low=fmt.score(min(scores)),
        high=fmt.score(max(scores)),
        epochs=found[-1][0],
    )


def _scaled(found: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    width, height = SPARK
    steps = by_steps(epoch for epoch, _ in found)
    first = found[0][0] if steps else 1
    last = max(found[-1][0], first if steps else 2)
    low, high = min(s for _, s in found), max(s for _, s in found)
    span = (high - low) or 1.0
    return [
        (
            round(8 + (epoch - first) / ((last - first) or 1) * (width - 16), 1),
            round(height - 8 - (score - low) / span * (height - 16), 1),
        )
        for epoch, score in found
    ]


def _provenance_of(row: Row) -> Provenance | None:
    return row.result.provenance if row.result else None


def provenance_facts(found: Provenance) -> dict[str, str]:
    """What a trial ran under, by name."""
    return {
        "embft": found.embft,
        "Python": found.python,
        "Platform": found.platform,
        "Processor": f"{found.processor}, {found.cpu_count} cores, {found.threads} threads",
        "Device": f"{found.device}, {found.precision}",
        "Git revision": found.revision or "none",
        "Packages": ", ".join(f"{name} {version}" for name, version in found.packages.items()),
        "Started": found.started,
        "Finished": found.finished,
    }
