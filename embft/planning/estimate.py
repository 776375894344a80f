"""What a sweep will need of disk and memory, from the plan and from what was measured.

Reads the headers of the base model's weights, so that a plan says it without torch. What is not
measured (`measure.py`) is an estimate: of memory a lower bound, so that only what cannot fit
is refused.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from embft.errors import EmbftError
from embft.planning.capacity import Demand, trials_at_once
from embft.planning.corpora import NO_TEXTS, TextsNeed, corpus_need
from embft.planning.mining_need import mining_need
from embft.planning.plan import Plan, PlannedTrial
from embft.planning.step_memory import SmallerSteps, StepMemory
from embft.planning.steps import training_steps
from embft.planning.weights import Shapes, weight_shapes
from embft.spec import TrialSpec
from embft.system.machine import available_cores, available_memory

FLOAT = 4  # bytes; models are trained and saved in float32
# Weights, best weights and the optimizer's two moments; the newest, the one before, and one that
# is being written.
CHECKPOINT_COPIES, CHECKPOINTS = 4, 3
# What driver and Ray hold together: 0.69 GB with one trial at once, 0.82 GB with two (lora_lr).
OURS_BYTES = 700_000_000
# Starting and ending: 13 s were measured in lora_lr, 25 s in quickstart.
SWEEP_SECONDS = 18.0
# A worker that trains, beside its weights and its steps: what it does not share of the imports.
_OWN_BYTES = 300_000_000
# And what it may hold beside: freed memory, and all of the imports.
_WORKER_BYTES = 400_000_000
_SMALL_BYTES = 1_000_000  # a trial's records, log and scores
_MARGIN_BYTES = 50_000_000
# What peft trains where a spec names no target modules; for most architectures these are two.
_USUAL_TARGETS = ("query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "q", "v", "qkv", "Wqkv")


@dataclass(frozen=True)
class Size:
    """Bytes of one trial: the model that it saves, its checkpoints, its worker."""

    model: int
    checkpoints: int
    memory: int


@dataclass(frozen=True)
class Need:
    """Bytes that the pending trials need. disk: at most at once. kept: of that, at the end.

    memory: for driver, Ray and workers together, at_once trials running (GPUs, which only Ray
    knows, left out). demand: what the trials ask of the machine. corpus: of that, of each trial,
    for the largest corpus that it ranks. mining: of hard negatives, before the first trial.
    smaller: what would fit into less memory.
    """

    disk: int
    kept: int
    memory: int
    measured: bool
    at_once: int
    demand: Demand
    corpus: TextsNeed = NO_TEXTS
    mining: TextsNeed = NO_TEXTS
    smaller: SmallerSteps | None = None


def size_of(trial: PlannedTrial) -> Size:
    """An estimate, from the shapes of the base model's weights."""
    shapes = weight_shapes(trial.base.folder)
    total = _count(shapes)
    if trial.spec.is_baseline:
        return Size(0, 0, FLOAT * total)
    trained = _trained(trial.spec, shapes)
    if trial.trained:  # whose files it shares
        return Size(0, 0, FLOAT * (total + trained))
    files = [p for p in trial.base.folder.rglob("*") if p.suffix in {".json", ".txt", ".model"}]
    saved = FLOAT * trained + sum(path.stat().st_size for path in files)
    # Weights, and of what is trained gradients, best weights and two moments.
    memory = _OWN_BYTES + FLOAT * (total + CHECKPOINT_COPIES * trained)
    return Size(saved, FLOAT * trained * CHECKPOINT_COPIES * CHECKPOINTS, memory)


def _trained(spec: TrialSpec, shapes: Shapes) -> int:
    if spec.train.method != "lora":
        return _count(shapes)
    targets = spec.train.lora.target_modules or _USUAL_TARGETS
    everything = "all-linear" in targets
    linear = [
        sum(shape)
        for name, shape in shapes.items()
        if len(shape) == 2
        and "embedding" not in name
        and (everything or name.removesuffix(".weight").rpartition(".")[2] in targets)
    ]
    return spec.train.lora.rank * sum(linear)


def count_weights(folder: Path) -> int:
    """How many numbers a saved model's weights are."""
    return _count(weight_shapes(folder))


def _count(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def need(
    plan: Plan, pending: Sequence[PlannedTrial], measured: Mapping[str, Size] | None = None
) -> Need:
    """What these trials need. measured: the sizes of trials that are known, by key."""
    known = measured or {}
    corpora, mining, steps = _corpora(plan, pending), mining_need(plan), StepMemory(plan)
    sizes = [
        known.get(trial.key) or _with(size_of(trial), corpus.memory + steps.of(trial))
        for trial, corpus in zip(pending, corpora, strict=True)
    ]
    demand = _demand(plan, pending, sizes, known)
    concurrent = _at_once(plan, demand)
    count = plan.spec.artifacts.count
    models = sorted((size.model for size in sizes), reverse=True)
    kept = sum(models if count is None else models[:count]) + _SMALL_BYTES * len(sizes)
    on_disk = zip(sizes, corpora, strict=True)
    # A corpus is encoded when the training has ended, and its checkpoints are still there.
    working = sorted((s.model + s.checkpoints + c.disk for s, c in on_disk), reverse=True)
    shared = _prefixes(pending, sizes)
    memory = sorted((size.memory for size in sizes), reverse=True)
    return Need(
        disk=kept + sum(working[:concurrent]) + shared + mining.disk,
        kept=kept,
        memory=OURS_BYTES + sum(memory[:concurrent]),
        measured=all(trial.key in known for trial in pending),
        at_once=concurrent,
        demand=demand,
        corpus=max(corpora, key=lambda corpus: corpus.memory, default=NO_TEXTS),
        mining=mining,
        smaller=SmallerSteps(pending, [s.memory for s in sizes], OURS_BYTES, concurrent, steps),
    )


def _corpora(plan: Plan, pending: Sequence[PlannedTrial]) -> list[TextsNeed]:
    """Of each trial. Of thousands of trials few differ in data, base and evaluators."""
    found: dict[tuple[str, ...], TextsNeed] = {}
    for trial in pending:
        kind = (trial.data_digest, trial.base.digest)
        if kind not in found:
            found[kind] = corpus_need(plan, trial)
    return [found[trial.data_digest, trial.base.digest] for trial in pending]


def _with(size: Size, memory: int) -> Size:
    return replace(size, memory=size.memory + memory)


def _demand(
    plan: Plan,
    pending: Sequence[PlannedTrial],
    sizes: Sequence[Size],
    known: Mapping[str, Size],
) -> Demand:
    workers = [
        size.memory + (0 if trial.key in known else _WORKER_BYTES)
        for trial, size in zip(pending, sizes, strict=True)
    ]
    return Demand(len(pending), max(workers, default=0), plan.spec.resources.gpus_per_trial)


def _at_once(plan: Plan, demand: Demand) -> int:
    resources = plan.spec.resources
    if resources.concurrent_trials != "auto":
        return resources.concurrent_trials
    memory = min(resources.memory or sys.maxsize, available_memory())
    return trials_at_once(demand, available_cores(), memory)


def _prefixes(pending: Sequence[PlannedTrial], sizes: Sequence[Size]) -> int:
    """What trials that share a prefix keep for one another, two ends of each group."""
    groups = {trial.prefix: size.checkpoints for trial, size in zip(pending, sizes, strict=True)}
    groups.pop(None, None)
    return sum(groups.values()) * 2 // CHECKPOINTS


def longest_first(plan: Plan, pending: Sequence[PlannedTrial]) -> tuple[PlannedTrial, ...]:
    """The baselines, then all others from the longest training to the shortest, as they are planned
    where nothing tells them apart: so that of several at once none runs long when all others have
    ended (Graham, 1969). Trials that share a prefix have an order of their own, and keep it.
    """
    if any(trial.prefix is not None for trial in pending):
        return tuple(pending)
    return tuple(sorted(pending, key=lambda trial: -_work(plan, trial)))


def _work(plan: Plan, trial: PlannedTrial) -> float:
    """What a training multiplies: its pairs, passes and the model's weights. Of a baseline, which
    comes first, more than of all others.
    """
    if trial.spec.is_baseline:
        return math.inf
    if trial.trained:
        return 0.0
    train = trial.spec.train
    seen = training_steps(train, len(plan.data[trial.data_digest].train)) * train.batch_size
    # Forward, the activations' gradients, and those of the weights.
    passes = 2 if train.method == "lora" else 3
    return float(seen * passes * _count(weight_shapes(trial.base.folder)))


def free_disk(folder: Path) -> int:
    """Bytes that are free where this folder is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(os.fspath(folder)).free


def check_fits(plan: Plan, found: Need) -> None:
    """Raise EmbftError where a sweep cannot fit the disk, or its own memory budget."""
    how = "measured" if found.measured else "estimated"
    free, budget = free_disk(plan.folder.path), plan.spec.resources.memory
    of_corpus = size_text(found.corpus.disk)
    vectors = f", {of_corpus} of each trial for a corpus's vectors" if found.corpus.disk else ""
    if found.disk + _MARGIN_BYTES > free:
        raise EmbftError(
            f"the sweep needs about {size_text(found.disk)} of disk ({how}{vectors}; "
            f"{size_text(found.kept)} of it in the end), and {size_text(free)} are free in "
            f"{plan.folder.path}: free some, give another folder with --results, or keep fewer "
            f"models (artifacts.keep is {plan.spec.artifacts.keep}; best and none keep less)"
        )
    if budget is not None and found.mining.memory > budget:
        raise EmbftError(
            f"mining hard negatives needs at least {size_text(found.mining.memory)} of memory "
            f"(estimated, among {found.mining.texts:,} texts), and resources.memory allows "
            f"{size_text(budget)}: allow more, give fewer texts (data.negatives.corpus), or mine "
            "by a smaller model (data.negatives.mine) or without a cross_encoder"
        )
    if budget is not None and found.memory > budget:
        documents = found.corpus.texts
        corpus = (
            f", {size_text(found.corpus.memory)} of each trial for its corpus of {documents:,} "
            "documents"
            if documents
            else ""
        )
        fewer = ", a smaller corpus" if documents else ""
        raise EmbftError(
            f"the sweep needs at least {size_text(found.memory)} of memory ({how}{corpus}), and "
            f"resources.memory allows {size_text(budget)}: {_proposed(found, budget)}allow more, "
            "run fewer trials at once (resources.concurrent_trials), or use LoRA or a smaller base "
            f"model{fewer}"
        )


def tight_note(plan: Plan, found: Need) -> str | None:
    """A sentence where a sweep may need more memory than is free, with what would fit.

    None where it fits, or has a budget, which `check_fits` holds it to.
    """
    free = available_memory()
    if plan.spec.resources.memory is not None or found.memory <= free:
        return None
    how = "measured" if found.measured else "estimated"
    return (
        f"Memory: about {size_text(found.memory)} ({how}), and {size_text(free)} are free: "
        f"{_proposed(found, free)}end other programs, or use LoRA or a smaller base model"
    )


def _proposed(found: Need, budget: int) -> str:
    """Which micro-batches fit, and what they do; nothing where none do."""
    fitting = found.smaller.fitting(budget) if found.smaller else None
    if fitting is None:
        return ""
    about = f"about {size_text(fitting.memory)}"
    if fitting.cached:
        losses = ", ".join(fitting.cached)
        return (
            f"set train.loss to {losses} and train.micro_batch_size to {fitting.rows} (the same "
            f"comparisons, {about}), or "
        )
    what = (
        f"{', '.join(fitting.apart)} then compares the rows of a part alone"
        if fitting.apart
        else "the same gradients"
    )
    return f"set train.micro_batch_size to {fitting.rows} ({what}, {about}), or "


def size_text(size: float) -> str:
    """A number of bytes as messages give it: `1.2 GB`, `350 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def duration_text(seconds: float) -> str:
    """A number of seconds as messages give it: `50 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
