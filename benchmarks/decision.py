"""How long it takes to the same decision on the question of lora_lr.yaml, three ways in one run.

    python benchmarks/decision.py [--epochs 4] [--plain-points 11] [--rounds 3] [--no-publish]

A plain Ray Tune grid of the stock trainer (`plain_tune.py`), embft's own grid of the same points,
and an embft search of them with early stopping, in as many rounds, each with another seed of what
is proposed. Each from the start of its process to its end, in a fresh folder. A search has come to
the same decision where what it recommends may be the best by embft's whole grid.

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
    """One way to a decision. seconds: wall time. epochs: that were trained. decision: in words,
    None where it came to none. score: Spearman of what was decided for, on test. same: whether it
    may be the best by the whole grid; None where that is not asked.
    """

    name: str
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


def extrapolated(points: Points, measured: Points, seconds: Sequence[float], wall: float) -> float:
    """How long the whole grid would have taken. seconds: of each measured point; wall: of all."""
    by_method: dict[str, list[float]] = {}
    for point, each in zip(measured, seconds, strict=True):
        by_method.setdefault(point["method"], []).append(each)
    usual = statistics.fmean(seconds)
    means = {method: statistics.fmean(found) for method, found in by_method.items()}
    return wall - sum(seconds) + sum(means.get(p["method"], usual) for p in points)


def label(method: str, rank: int | None, rate: float) -> str:
    """A point in words."""
    ranked = f", rank {rank}" if method == "lora" else ""
    return f"{_METHODS[method]}{ranked}, {rate:g}"


def plain(data: Path, epochs: int, count: int, model: Path | None) -> tuple[Way, float]:
    """The plain sweep of so many points. Returns also how many seconds were measured."""
    points = some(WHOLE, count)
    options: list[object] = ["--data", data, "--epochs", epochs, "--points", json.dumps(points)]
    run = fresh(python("plain_tune.py", *options, *(["--model", model] if model else [])), {})
    scores: list[float] = run.output["scores"]
    whole = len(points) == len(WHOLE)
    best = points[scores.index(max(scores))]
    way = Way(
        "plain Ray Tune grid of the stock trainer",
        run.seconds if whole else extrapolated(WHOLE, points, run.output["seconds"], run.seconds),
        float(epochs * len(WHOLE)) if whole else None,
        label(best["method"], best["rank"], best["learning_rate"]) if whole else None,
        max(scores) if whole else None,
    )
    return way, run.seconds


def ours(name: str, text: str) -> tuple[Way, list[dict[str, Any]]]:
    """An embft sweep of this spec. Returns also the records of its leaderboard."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "spec.yaml").write_text(text)
        run = watched(embft("sweep", "spec.yaml"), Path(folder))
        return decided(name, run.seconds, SweepDir(Path(folder) / "results" / "rates"))


def decided(name: str, seconds: float, sweep: SweepDir) -> tuple[Way, list[dict[str, Any]]]:
    """What a finished sweep has come to, and the records of its leaderboard."""
    records: list[dict[str, Any]] = json.loads(sweep.leaderboard_json.read_text())["trials"]
    results = (trial.result() for trial in sweep.trials_by_key().values())
    epochs = sum(result.epochs[-1].epoch for result in results if result and result.epochs)
    chosen = next(record for record in records if record["recommended"])
    return Way(name, seconds, epochs, _words(chosen), chosen["test_spearman"]), records


def _words(record: Mapping[str, Any]) -> str:
    if record["trial"] == "baseline":
        return "the base model"
    rank = record.get("train.lora.rank")
    return label(record["train.method"], rank, record["train.learning_rate"])


def may_be_best(records: Sequence[Mapping[str, Any]]) -> set[str]:
    """The configurations that may be the best by a whole grid, in words."""
    return {_words(record) for record in records if record["in_best_set"]}


def shown(ways: Sequence[Way], measured: float, points: int) -> str:
    """The table: what each way took, and how many times as long the first did."""
    rows = []
    for way in ways:
        extrapolated_ = way is ways[0] and points < len(WHOLE)
        took = f"{way.seconds:.0f}"
        if extrapolated_:
            took += f" (extrapolated: {points} of {len(WHOLE)} points took {measured:.0f})"
        same = {None: "", True: "yes", False: "**no**"}[way.same]
        times = "" if way is ways[0] else f"**{ways[0].seconds / way.seconds:.1f}**"
        cells = [f"{way.epochs:g}" if way.epochs else "", way.decision or "none"]
        score = f"{way.score:.3f}" if way.score is not None else ""
        rows.append([way.name, took, times, *cells, score, same])
    headings = [
        "", "seconds", "times faster", "epochs trained", "decision", "Spearman on test",
        "may be the best by embft's grid",
    ]  # fmt: skip
    return table(headings, rows)


def main() -> None:
    """Run all ways, print, and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--plain-points", type=int, default=len(WHOLE))
    arguments.add_argument("--rounds", type=int, default=3, help="searches, each of another seed")
    arguments.add_argument("--algorithm", default="tpe", choices=["tpe", "random", "grid"])
    arguments.add_argument("--trials", type=int, default=6)
    arguments.add_argument("--grace", type=int, default=2)
    arguments.add_argument("--model", type=Path, help="another model than MiniLM, a folder")
    arguments.add_argument("--no-publish", action="store_true")
    given = arguments.parse_args()
    points = min(max(given.plain_points, 1), len(WHOLE))
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        model = given.model.resolve() if given.model else None
        base = f"model: {{base: {model}}}\n" if model else ""
        spec = SPEC.format(data=data, epochs=given.epochs, model=base)
        first, measured = plain(data, given.epochs, points, model)
        print(f"plain: {measured:.0f} s, {points} points", flush=True)
        grid, records = ours("embft, the whole grid", spec)
        print(f"embft's grid: {grid.seconds:.0f} s", flush=True)
        best, searches = may_be_best(records), list[Way]()
        for seed in range(1, given.rounds + 1):
            way, _ = ours(*_search(spec, given.algorithm, given.trials, seed, given.grace))
            searches.append(Way(**{**asdict(way), "same": way.decision in best}))
            print(f"{way.name}: {way.seconds:.0f} s, {way.decision}", flush=True)
    ways = [first, grid, *searches]
    text = shown(ways, measured, points)
    if given.no_publish:
        print(text)
        return
    figures = {"ways": [asdict(way) for way in ways], "plain_seconds_measured": measured}
    publish("decision", {**figures, "plain_points": points}, text, on=SEARCH_PAGE)


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
