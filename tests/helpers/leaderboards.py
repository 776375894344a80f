"""Leaderboards made by hand, with real files on disk, for the tests of the report.

Scores are drawn, metrics are computed from them by the project's own metrics, so that the tables
are consistent. Trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs, Splits
from embft.leaderboard.front import front
from embft.leaderboard.ranking import rank
from embft.leaderboard.rows import Leaderboard, Row
from embft.leaderboard.verdict import verdict
from embft.metrics.pairs import weighted_metrics
from embft.metrics.weighted import sort_pairs
from embft.results.dataset import write_manifest
from embft.results.folders import SweepDir, TrialDir
from embft.results.records import (
    Completed,
    EpochScore,
    Failed,
    Provenance,
    Pruned,
    Status,
    Timings,
    TrialInput,
    TrialResult,
    Verification,
)
from embft.results.scores import write_scores
from embft.spec import DataSpec, Goal, LoraSpec, ModelSpec, Objective, TrainSpec, TrialSpec
from embft.storage.seal import sealed

Array = npt.NDArray[np.float64]
LORA_LR_AXES = ("train.method", "train.lora.rank", "train.learning_rate")
OUTDOORS = ("hike before breakfast", "sleep under canvas", "swim in cold lakes", "cycle to work")
INDOORS = ("read until midnight", "bake sourdough", "rewatch old films", "keep to the sofa")
VALUES = ("honesty", "a calm home", "saving every month", "long talks", "separate holidays")
CATEGORIES = ("lifestyle", "values", "family", "money", "communication")
PAIR_TYPES = ("compatible", "incompatible", "dealbreaker", "subtle_mismatch", "complex")


@dataclass(frozen=True)
class Plan:
    """One trial to make up. quality: how far the labels' cosines end apart, -1 to 1.

    rows: of train, where trials differ in that.
    """

    params: Mapping[str, Any]
    quality: float
    seed: int = 42
    status: str = "completed"
    epochs: int = 4
    per_epoch: int = 1
    speed: float = 0.6
    message: str = "loss is NaN at step 212 of epoch 2"
    rows: int | None = None


@dataclass(frozen=True)
class MadeUpSweep:
    """What the trials of one made-up sweep share."""

    folder: Path
    dev: Pairs
    test: Pairs
    noise: Mapping[str, Array]
    axes: tuple[str, ...]
    resamples: int = 200
    metric: str = "spearman"
    weights: Mapping[str, Array] = field(default_factory=dict)


def lora_lr(folder: Path, seeds: Sequence[int] = (42,), **changes: Any) -> Leaderboard:
    """The sweep of `lora_lr.yaml`, every trial completed."""
    return make_leaderboard(folder, lora_lr_plans(seeds), seeds=tuple(seeds), **changes)


def lora_lr_plans(seeds: Sequence[int] = (42,)) -> list[Plan]:
    """LoRA ranks by learning rates, and full fine-tuning at two rates."""
    quality = {2e-5: -0.05, 2e-4: 0.66, 2e-3: 0.8}
    plans = [
        Plan(params("lora", rank, rate), quality[rate] + 0.02 * np.log2(rank / 8), seed)
        for rank in (4, 8, 16)
        for rate in quality
        for seed in seeds
    ]
    full = ((2e-5, 0.9), (2e-4, 0.86))
    plans += [Plan(params("full", None, rate), q, seed) for rate, q in full for seed in seeds]
    return plans


def params(method: str, rank: int | None, rate: float) -> dict[str, Any]:
    """A point of `lora_lr`'s space."""
    return dict(zip(LORA_LR_AXES, (method, rank, rate), strict=True))


def make_pairs(count: int, rng: np.random.Generator) -> Pairs:
    """`count` dating-like pairs with a category and a pair type."""
    label = (rng.random(count) < 0.5).astype(np.float64)
    kinds, left, right = [], [], []
    for i, positive in enumerate(label):
        kinds.append(PAIR_TYPES[0 if positive and i % 5 else 4 if positive else 1 + i % 4])
        likes = OUTDOORS if i % 2 else INDOORS
        other = likes if positive else (INDOORS if i % 2 else OUTDOORS)
        wish = VALUES[i % len(VALUES)]
        left.append(f"Person {i}: I {likes[i % 4]}, and {wish} matters to me.")
        right.append(f"Most weekends I {other[(i + 1) % 4]}; I look for {wish}, number {i}.")
    categories = [CATEGORIES[i % len(CATEGORIES)] for i in range(count)]
    return Pairs(left, right, label, {"category": categories, "pair_type": kinds})


def make_leaderboard(
    folder: Path,
    plans: Sequence[Plan],
    *,
    axes: tuple[str, ...] = LORA_LR_AXES,
    seeds: tuple[int, ...] = (42,),
    pairs: tuple[int, int] = (300, 1000),
    resamples: int = 200,
    baseline: bool = True,
    edit: Any = None,
    start: int = 0,
    tolerance: float = 0.06,
    **changes: Any,
) -> Leaderboard:
    """A leaderboard over made-up trials, written below `folder`. `edit` may change the test pairs.

    start: the number of the first trial; trials of one number and plan are one trial. tolerance:
    with the default a LoRA configuration is recommended.
    """
    rng = np.random.default_rng(7)
    dev, test = (make_pairs(count, rng) for count in pairs)
    test = edit(test) if edit else test
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, content in (("dev", dev), ("test", test)):
        content.write(folder / "data" / f"{split}.parquet")
    write_manifest(folder / "data")
    noise = {"dev": rng.normal(size=len(dev)), "test": rng.normal(size=len(test))}
    weights = {
        name: rng.multinomial(len(p), np.full(len(p), 1 / len(p)), size=resamples).astype(
            np.float64
        )
        for name, p in (("dev", dev), ("test", test))
    }
    sweep = MadeUpSweep(folder, dev, test, noise, axes, resamples, weights=weights)
    base = make_row(sweep, Plan({}, -0.09), -1) if baseline else None
    rows = [make_row(sweep, plan, i) for i, plan in enumerate(plans, start)]
    found = rank([*([base] if base else []), *rows], Objective(tolerance=tolerance))
    order = {"completed": 0, "pruned": 1, "failed": 2, "running": 3, "pending": 4}
    place = {row.trial: group.rank for group in found.groups for row in group.rows}
    ranked = sorted(rows, key=lambda row: (order[row.status], place.get(row.trial, 0)))
    leaderboard = Leaderboard(
        name="lora-lr",
        description="Does LoRA need a higher learning rate than full fine-tuning, and which rank "
        "is enough?",
        metric="spearman",
        mode="max",
        axes=axes,
        seeds=seeds,
        rows=(*([base] if base else []), *ranked),
        groups=found.groups,
        baseline=base,
        pairs={"train": 1200, "dev": len(dev), "test": len(test)},
        group_columns=("category", "pair_type"),
        warnings=(),
        verdict=(),
        audit=None,
        bases=found.bases,
        decision=found.decision,
        folder=SweepDir(folder),
    )
    leaderboard = replace(leaderboard, **changes)
    leaderboard = replace(leaderboard, front=front(leaderboard))
    return replace(leaderboard, verdict=leaderboard.verdict or tuple(verdict(leaderboard)))


def save_sweep(leaderboard: Leaderboard, **changes: Any) -> Path:
    """Write the plan and the records, so that the leaderboard's folder is a sweep's."""
    trials = []
    for row in leaderboard.rows:
        trial = row.folder
        if row.result is not None:
            trial.write_result(row.result)
        spec = trial.read_input().spec
        trials.append(
            {"folder": trial.name, "params": dict(row.params), "spec": spec.model_dump(mode="json")}
        )
    plan = {
        "schema_version": 1, "name": leaderboard.folder.path.name,
        "description": leaderboard.description, "metric": leaderboard.metric,
        "mode": leaderboard.mode, "seeds": list(leaderboard.seeds), "trials": trials,
        "data": ["data"], "pairs": dict(leaderboard.pairs),
        "group_columns": list(leaderboard.group_columns),
        "dev_is_cut": False, "test_is_dev": False, **_chosen_by(leaderboard), **changes,
    }  # fmt: skip
    (leaderboard.folder.plan_file).write_text(sealed(plan))
    return leaderboard.folder.path


def _chosen_by(leaderboard: Leaderboard) -> dict[str, Any]:
    return {"tolerance": leaderboard.decision.objective.tolerance} if leaderboard.decision else {}


def make_scores(sweep: MadeUpSweep, split: str, quality: float, index: int) -> Array:
    """Cosines of one trial: shared difficulty of the pairs, and some of its own noise."""
    pairs = getattr(sweep, split)
    own = np.random.default_rng(1000 + index).normal(size=len(pairs))
    spread = 0.26 + 0.16 * np.isin(pairs.groups["pair_type"], ("subtle_mismatch", "complex"))
    noise = spread * (0.8 * sweep.noise[split] + 0.35 * own)
    scores: Array = np.clip(0.48 + quality * 0.46 * (2 * pairs.label - 1) + noise, -1, 1)
    return scores


def make_row(sweep: MadeUpSweep, plan: Plan, index: int) -> Row:
    """One trial's row, with its folder, input and scores on disk."""
    is_baseline = index < 0
    spec = trial_spec(plan)
    key = f"{index + 1:012x}"
    parts = [str(value) for value in plan.params.values() if value is not None]
    name = "baseline-" + key if is_baseline else "-".join([*parts, f"seed{plan.seed}", key])
    trial_dir = SweepDir(sweep.folder).trial(name)
    given = TrialInput(
        key=key, name=name, spec=spec, data=_data(sweep, plan.rows), data_digest="d" * 64,
        model_digest="m" * 64, threads=2,
    )  # fmt: skip
    trial_dir.create(given)
    result = make_result(sweep, plan, index, given, trial_dir)
    return Row(
        trial="baseline" if is_baseline else name,
        folder=trial_dir,
        status=Status(plan.status),
        is_baseline=is_baseline,
        seed=plan.seed,
        params=dict(plan.params),
        result=result,
        to_yaml=lambda *_: spec_text(plan),
    )


def _data(sweep: MadeUpSweep, rows: int | None) -> str:
    """The folder of the frozen data; of its own where train has so many rows."""
    if rows is None:
        return "data"
    folder = sweep.folder / f"data-{rows}"
    if not folder.exists():
        folder.mkdir()
        train = make_pairs(rows, np.random.default_rng(rows))
        for split, content in (("train", train), ("dev", sweep.dev), ("test", sweep.test)):
            content.write(folder / f"{split}.parquet")
        write_manifest(folder)
    return folder.name


def trial_spec(plan: Plan) -> TrialSpec:
    """The spec that a plan stands for; parameters that it does not know are left out."""
    method = plan.params.get("train.method", "full" if plan.params else "none")
    train = TrainSpec(
        method=method,
        epochs=plan.epochs,
        learning_rate=plan.params.get("train.learning_rate") or 2e-5,
        lora=LoraSpec(rank=plan.params.get("train.lora.rank") or 8),
    )
    return TrialSpec(
        data=DataSpec(dataset="dating", fraction=plan.params.get("data.fraction") or 1.0),
        model=ModelSpec(), train=train, objective=Goal(),
        seed=plan.seed,
    )  # fmt: skip


def spec_text(plan: Plan) -> str:
    """The one-trial YAML of a plan."""
    lines = ["name: lora-lr", "data: {dataset: dating}", "train:"]
    lines += [f"  {k.removeprefix('train.')}: {v}" for k, v in plan.params.items() if v is not None]
    return "\n".join([*lines, f"seeds: [{plan.seed}]", ""])


def make_result(
    sweep: MadeUpSweep, plan: Plan, index: int, given: TrialInput, trial_dir: TrialDir
) -> TrialResult | None:
    """The result of a plan, by its status."""
    shared = {
        "key": given.key, "name": given.name, "spec": given.spec, "data_digest": given.data_digest,
        "model_digest": given.model_digest,
    }  # fmt: skip
    if plan.status in {"pending", "running"}:
        return None
    if plan.status == "failed":
        log = f"Traceback (most recent call last):\n  …\nFloatingPointError: {plan.message}"
        return Failed(
            **shared, epochs=curve(plan, sweep, index, 1), reason="diverged",
            message=plan.message, log_tail=log, total_seconds=21.0,
        )  # fmt: skip
    if plan.status == "pruned":
        return Pruned(
            **shared, epochs=curve(plan, sweep, index, 2), reason="worse than the median at epoch 2"
        )
    return completed(sweep, plan, index, shared, trial_dir)


def curve(plan: Plan, sweep: MadeUpSweep, index: int, epochs: int) -> tuple[EpochScore, ...]:
    """Dev scores that approach the plan's quality."""
    found = []
    for count in range(1, epochs * plan.per_epoch + 1):
        epoch = count / plan.per_epoch if count % plan.per_epoch else count // plan.per_epoch
        share = 1 - np.exp(-plan.speed * 2.2 * epoch) if plan.params else 0.0
        scores = make_scores(sweep, "dev", -0.09 + (plan.quality + 0.09) * share, index)
        dev = point_metrics(sweep, "dev", scores, 0.5)
        loss = float(0.25 - 0.2 * max(plan.quality, 0) * share)
        found.append(
            EpochScore(epoch=epoch, step=int(epoch * 75), loss=loss, dev=dev, seconds=9.5 * epoch)
        )
    return tuple(found)


def point_metrics(
    sweep: MadeUpSweep, split: str, scores: Array, threshold: float
) -> dict[str, float]:
    """The metrics of one split, without intervals."""
    pairs = sort_pairs(scores, getattr(sweep, split).label, threshold)
    found = weighted_metrics(pairs, np.ones((1, len(scores))))
    return {name: float(value[0]) for name, value in found.items() if np.isfinite(value[0])}


def intervals(
    sweep: MadeUpSweep, split: str, scores: Array, threshold: float
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the metrics of one split."""
    pairs = sort_pairs(scores, getattr(sweep, split).label, threshold)
    found = weighted_metrics(pairs, sweep.weights[split])
    return {
        name: (float(np.nanpercentile(v, 2.5)), float(np.nanpercentile(v, 97.5)))
        for name, v in found.items()
    }


def completed(
    sweep: MadeUpSweep, plan: Plan, index: int, shared: dict[str, Any], trial_dir: TrialDir
) -> Completed:
    """A completed result with its scores on disk."""
    scores = {split: make_scores(sweep, split, plan.quality, index) for split in ("dev", "test")}
    write_scores(trial_dir.scores_file, Splits(sweep.dev, sweep.dev, sweep.test), scores)
    lora = plan.params.get("train.method") == "lora"
    rank = plan.params.get("train.lora.rank") or 8
    baseline = not plan.params
    epochs = () if baseline else curve(plan, sweep, index, plan.epochs)
    best = max(epochs, key=lambda e: e.dev.get("spearman", -1)).epoch if epochs else None
    trainable = 0 if baseline else 9216 * rank if lora else 22_713_216
    seconds = 0.0 if baseline else (36.0 if lora else 58.0) + index % 5
    verification = Verification(
        probe_texts=16, against_memory=0.0, against_base=0.31, tolerance=1e-5
    )
    return Completed(
        **shared,
        epochs=epochs,
        best_epoch=best,
        threshold=0.5,
        dev=point_metrics(sweep, "dev", scores["dev"], 0.5),
        test=point_metrics(sweep, "test", scores["test"], 0.5),
        dev_intervals=intervals(sweep, "dev", scores["dev"], 0.5),
        test_intervals=intervals(sweep, "test", scores["test"], 0.5),
        interval_scheme="pairs",
        verification=None if baseline else verification,
        trainable_parameters=trainable,
        total_parameters=22_713_216,
        artifact_bytes=0 if baseline else 4 * trainable + 4000,
        timings=Timings(train=seconds, evaluate=4.2, total=seconds + 7),
        peak_memory_mb=1240.0 + index % 7 * 11,
        provenance=provenance(),
    )


def provenance() -> Provenance:
    """A machine that never was."""
    return Provenance(
        embft="0.1.0", python="3.11.9", platform="Linux", processor="a processor", cpu_count=2,
        threads=2, precision="bf16", device="cpu",
        packages={"torch": "2.13.0", "sentence-transformers": "6.2.0"}, revision=None,
        started="2025-01-05T10:00:00+00:00", finished="2025-01-05T10:00:45+00:00",
    )  # fmt: skip
