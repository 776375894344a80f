"""How long it takes to the same decision on the question of lora_lr.yaml, three ways in one run.

    python benchmarks/decision.py [--epochs 4] [--plain-points 11] [--rounds 3] [--at-once 1 2]
        [--no-publish]

A plain Ray Tune grid of the stock trainer (`plain_tune.py`), embft's own grid of the same points,
and an embft search of them with early stopping, in as many rounds, each with another seed of what
is proposed. Each from the start of its process to its end, in a fresh folder. A search has come to
the same decision where what it recommends may be the best by embft's whole grid.

All of it with one trial at a time, and again with two at once, which share the cores: each way is
compared with the plain grid of as many.

By default a search is of six trials by TPE (at random, then, for the first ten are), and ASHA
decides from the second evaluation on: the warm-up lasts longer than one.

With fewer `--plain-points` than there are, these are measured, and the time of the whole grid is
extrapolated: its start, and for each point the mean of the measured ones of its method. The table
says so then, and the plain grid has no decision.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measuring import ROOT, data_files, embft, fresh, parser, publish, python, table, watched
from tune_sweep import WHOLE, Points

from embft.results.folders import SweepDir

SEARCH_PAGE = ROOT / "docs" / "search.md"
_METHODS = {"lora": "LoRA", "full": "full"}
SPEC = """\
name: rates
data: {{train: {data}/train.jsonl, dev: {data}/dev.jsonl, test: {data}/test.jsonl}}
{model}train:
  epochs: {epochs}
  batch_size: 16
  warmup_steps: 100
  lora: {{alpha: 16, dropout: 0.1, target_modules: [query, value]}}
space:
  - train.method: [lora]
    train.lora.rank: [4, 8, 16]
    train.learning_rate: [2e-5, 2e-4, 2e-3]
  - train.method: [full]
    train.learning_rate: [2e-5, 2e-4]
"""


@dataclass(frozen=True)
class Way:
    """One way to a decision. at_once: trials at a time. seconds: wall time. epochs: that were
    trained. decision: in words, None where it came to none. score: Spearman of what was decided
    for, on test. same: whether it may be the best by the whole grid; None where that is not asked.
    """

    name: str
    at_once: int
    seconds: float
    epochs: float | None
    decision: str | None
    score: float | None
    same: bool | None = None


def some(points: Points, count: int) -> Points:
    """So many of the points, from the first to the last at even distances, so that each method is
    among them.
    """
    if count >= len(points):
        return points
    step = (len(points) - 1) / max(count - 1, 1)
    return [points[round(i * step)] for i in range(count)]


def extrapolated(
    points: Points, measured: Points, seconds: Sequence[float], wall: float, at_once: int = 1
) -> float:
    """How long the whole grid would have taken, so many trials at a time.

    seconds: of each measured point, with as many beside it; wall: of all.
    """
    by_method: dict[str, list[float]] = {}
    for point, each in zip(measured, seconds, strict=True):
        by_method.setdefault(point["method"], []).append(each)
    usual = statistics.fmean(seconds)
    means = {method: statistics.fmean(found) for method, found in by_method.items()}
    busy = max(*seconds, sum(seconds) / at_once)
    whole = sum(means.get(p["method"], usual) for p in points)
    return wall - busy + whole / min(at_once, len(points))


def label(method: str, rank: int | None, rate: float) -> str:
    """A point in words."""
    ranked = f", rank {rank}" if method == "lora" else ""
    return f"{_METHODS[method]}{ranked}, {rate:g}"


def plain(
    data: Path, epochs: int, count: int, model: Path | None, at_once: int
) -> tuple[Way, float]:
    """The plain sweep of so many points. Returns also how many seconds were measured."""
    points = some(WHOLE, count)
    options: list[object] = ["--data", data, "--epochs", epochs, "--points", json.dumps(points)]
    options += ["--at-once", at_once]
    run = fresh(python("plain_tune.py", *options, *(["--model", model] if model else [])), {})
    scores: list[float] = run.output["scores"]
    whole = len(points) == len(WHOLE)
    best = points[scores.index(max(scores))]
    way = Way(
        "plain Ray Tune grid of the stock trainer",
        at_once,
        run.seconds
        if whole
        else extrapolated(WHOLE, points, run.output["seconds"], run.seconds, at_once),
        float(epochs * len(WHOLE)) if whole else None,
        label(best["method"], best["rank"], best["learning_rate"]) if whole else None,
        max(scores) if whole else None,
    )
    return way, run.seconds


def ours(name: str, text: str, at_once: int) -> tuple[Way, list[dict[str, Any]]]:
    """An embft sweep of this spec. Returns also the records of its leaderboard."""
    text += f"resources: {{concurrent_trials: {at_once}}}\n"
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "spec.yaml").write_text(text)
        run = watched(embft("sweep", "spec.yaml"), Path(folder))
        return decided(name, at_once, run.seconds, SweepDir(Path(folder) / "results" / "rates"))


def decided(
    name: str, at_once: int, seconds: float, sweep: SweepDir
) -> tuple[Way, list[dict[str, Any]]]:
    """What a finished sweep has come to, and the records of its leaderboard."""
    records: list[dict[str, Any]] = json.loads(sweep.leaderboard_json.read_text())["trials"]
    results = (trial.result() for trial in sweep.trials_by_key().values())
    epochs = sum(result.epochs[-1].epoch for result in results if result and result.epochs)
    chosen = next(record for record in records if record["recommended"])
    return Way(name, at_once, seconds, epochs, _words(chosen), chosen["test_spearman"]), records


def _words(record: Mapping[str, Any]) -> str:
    if record["trial"] == "baseline":
        return "the base model"
    rank = record.get("train.lora.rank")
    return label(record["train.method"], rank, record["train.learning_rate"])


def may_be_best(records: Sequence[Mapping[str, Any]]) -> set[str]:
    """The configurations that may be the best by a whole grid, in words."""
    return {_words(record) for record in records if record["in_best_set"]}


def shown(ways: Sequence[Way], measured: Mapping[int, float], points: int) -> str:
    """The table: what each way took, and how many times as long the plain grid did with as many
    trials at once, the first way of these. measured: seconds of the plain grid's measured points.
    """
    firsts: dict[int, Way] = {}
    rows = []
    for way in ways:
        first = firsts.setdefault(way.at_once, way)
        took = f"{way.seconds:.0f}"
        if way is first and points < len(WHOLE):
            seconds = measured[way.at_once]
            took += f" (extrapolated: {points} of {len(WHOLE)} points took {seconds:.0f})"
        same = {None: "", True: "yes", False: "**no**"}[way.same]
        times = "" if way is first else f"**{first.seconds / way.seconds:.1f}**"
        cells = [f"{way.epochs:g}" if way.epochs else "", way.decision or "none"]
        score = f"{way.score:.3f}" if way.score is not None else ""
        rows.append([way.name, str(way.at_once), took, times, *cells, score, same])
    headings = [
        "", "at once", "seconds", "times faster", "epochs trained", "decision", "Spearman on test",
        "may be the best by embft's grid",
    ]  # fmt: skip
    return table(headings, rows)


def main() -> None:
    """Run all ways, print, and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--plain-points", type=int, default=len(WHOLE))
    arguments.add_argument("--rounds", type=int, default=3, help="searches, each of another seed")
    arguments.add_argument(
        "--at-once", type=int, nargs="+", default=[1, 2], help="trials at a time"
    )
    arguments.add_argument("--algorithm", default="tpe", choices=["tpe", "random", "grid"])
    arguments.add_argument("--trials", type=int, default=6)
    arguments.add_argument("--grace", type=int, default=2)
    arguments.add_argument("--model", type=Path, help="another model than MiniLM, a folder")
    arguments.add_argument("--no-publish", action="store_true")
    given = arguments.parse_args()
    points = min(max(given.plain_points, 1), len(WHOLE))
    ways, best, measured = list[Way](), set[str](), dict[int, float]()
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        model = given.model.resolve() if given.model else None
        base = f"model: {{base: {model}}}\n" if model else ""
        spec = SPEC.format(data=data, epochs=given.epochs, model=base)
        for at_once in given.at_once:
            way, measured[at_once] = plain(data, given.epochs, points, model, at_once)
            ways.append(_told(way))
            if not best:
                way, records = ours("embft, the whole grid", spec, at_once)
                ways.append(_told(way))
                best = may_be_best(records)
            for seed in range(1, given.rounds + 1):
                searched = _search(spec, given.algorithm, given.trials, seed, given.grace)
                way, _ = ours(*searched, at_once)
                ways.append(_told(Way(**{**asdict(way), "same": way.decision in best})))
    text = shown(ways, measured, points)
    if given.no_publish:
        print(text)
        return
    figures = {"ways": [asdict(way) for way in ways], "plain_seconds_measured": measured}
    publish("decision", {**figures, "plain_points": points}, text, on=SEARCH_PAGE)


def _told(way: Way) -> Way:
    """The way, once it is said how long it took."""
    print(f"{way.name}, {way.at_once} at once: {way.seconds:.0f} s, {way.decision}", flush=True)
    return way


def _search(spec: str, algorithm: str, trials: int, seed: int, grace: int) -> tuple[str, str]:
    """The name of a search, and its spec."""
    early = f"scheduler: {{algorithm: asha, grace: {grace}}}\n"
    if algorithm == "grid":
        return "embft, the grid with ASHA", spec + early
    search = f"search: {{algorithm: {algorithm}, trials: {trials}, seed: {seed}}}\n"
    name = f"embft, {algorithm} of {trials} trials with ASHA, seed {seed}"
    return name, spec + search + early


if __name__ == "__main__":
    main()
