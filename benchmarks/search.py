"""How much of a grid's training a search saves, replayed from a table of recorded curves.

    python benchmarks/search.py [--seeds 20] [--no-publish]

The searchers are embft's own (Optuna's and Ray Tune's distributions), the schedulers Ray Tune's;
only the trainings are read from the table (`curves.py`), one at a time. A suggestion stands for
the configuration of the grid that is nearest to it on log axes, and one that was run before is
answered from its record. Writes the tables of docs/search.md.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from curves import EVALUATIONS, SPACE, Table, lines_of, load
from measuring import FIGURES, ROOT, command, filled, machine, parser, table
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from embft.scheduler.early_stopping import EVALUATION, make_scheduler
from embft.scheduler.proposals import EVALUATION as OF_SEARCHER
from embft.scheduler.searchers import METRIC, make_searcher
from embft.spec import parse_spec
from embft.spec.search import Scheduler

PAGE = ROOT / "docs" / "search.md"
_MOST_SHARE, _MOST_SUGGESTIONS = 0.5, 80  # of the grid's epochs, and in all: then a replay ends
Propose = Callable[[int], int]
Told = Callable[[int, list[float], bool], None]


@dataclass(frozen=True)
class Step:
    """One trial of a replay. spent: evaluations so far. score: None where it was stopped early."""

    configuration: int
    spent: int
    score: float | None


@dataclass(frozen=True)
class Replayed:
    """One replay. steps: its trials. first: evaluations until a configuration of the grid's set of
    the best had completed, None where none did.
    """

    steps: tuple[Step, ...]
    first: int | None

    def choice(self, budget: float) -> int | None:
        """Which configuration leads when so many evaluations are spent, None if none has ended."""
        done = [s for s in self.steps if s.spent <= budget and s.score is not None]
        return max(done, key=lambda s: s.score or -1.0).configuration if done else None


class Strategy:
    """Proposes configurations of the grid. grace: ASHA's, which stops some; 0 where none does."""

    def __init__(self, name: str, search: str | None, grace: int = 0) -> None:
        self.name, self.search, self.grace = name, search, grace

    def replay(self, found: Table, seed: int, most: int) -> Replayed:
        """One search with this seed, until so many evaluations are spent or nothing is left."""
        own = _Run(found, seed, self.grace)
        for configuration, told in self._proposals(found, seed):
            if own.spent >= most or len(own.done) == len(found.means):
                break
            told(*own.ran(configuration))
        return Replayed(tuple(own.steps), own.first)

    def _proposals(self, found: Table, seed: int) -> Iterator[tuple[int, Callable[..., None]]]:
        if self.search is None:
            order = np.random.default_rng(seed).permutation(len(found.means))
            yield from ((int(i), lambda *_: None) for i in order)
            return
        searcher = make_searcher(_spec(self.search, seed))
        for number in range(_MOST_SUGGESTIONS):
            point = searcher.suggest(str(number)) or {}
            yield found.nearest(point), _teller(searcher, str(number))


def _spec(algorithm: str, seed: int) -> Any:
    search = f"search: {{algorithm: {algorithm}, trials: 1000, seed: {seed}}}\n"
    return parse_spec(f"name: replay\ndata: {{dataset: dating}}\n{SPACE}{search}")


def _teller(searcher: Searcher, name: str) -> Callable[[Sequence[float], float | None], None]:
    """Tells a searcher what a trial came to, as `scheduler/proposals.py` does."""

    def tell(curve: Sequence[float], score: float | None) -> None:
        for count, value in enumerate(curve, 1):
            searcher.on_trial_result(name, {METRIC: value, OF_SEARCHER: count})
        last = None if score is None else {METRIC: score, OF_SEARCHER: len(curve)}
        searcher.on_trial_complete(name, last)

    return tell


class _Run:
    """What has been trained in one replay."""

    def __init__(self, found: Table, seed: int, grace: int) -> None:
        self.table, self.seed = found, seed % found.curves.shape[1]
        section = Scheduler(algorithm="asha", grace=max(grace, 1))
        self.scheduler: Any = make_scheduler(section, "max", EVALUATIONS) if grace else None
        self.steps: list[Step] = []
        self.done: dict[int, tuple[list[float], float | None]] = {}
        self.spent = 0
        self.first: int | None = None

    def ran(self, configuration: int) -> tuple[list[float], float | None]:
        """The curve of a training and its score, from the table or from before."""
        if configuration not in self.done:
            curve = self._curve(configuration)
            whole = len(curve) == EVALUATIONS
            score = float(self.table.finals[configuration, self.seed]) if whole else None
            self.done[configuration] = curve, score
            self.spent += len(curve)
            self.steps.append(Step(configuration, self.spent, score))
            if score is not None and self.first is None and self.table.best_set[configuration]:
                self.first = self.spent
        return self.done[configuration]

    def _curve(self, configuration: int) -> list[float]:
        """As far as the scheduler lets it go; after the last evaluation there is no decision."""
        curve: list[float] = self.table.curves[configuration, self.seed].tolist()
        if self.scheduler is None:
            return curve
        trial = SimpleNamespace(trial_id=str(configuration), config={})
        self.scheduler.on_trial_add(None, trial)
        for count, value in enumerate(curve[:-1], 1):
            result = {METRIC: value, EVALUATION: count}
            if self.scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                self.scheduler.on_trial_complete(None, trial, result)
                return curve[:count]
        self.scheduler.on_trial_complete(None, trial, {METRIC: curve[-1], EVALUATION: len(curve)})
        return curve


_SEARCHES = {"grid in random order": None, "random": "random", "TPE": "tpe"}
_EARLY = {"": 0, ", ASHA, grace 1": 1, ", ASHA, grace 3": 3}
STRATEGIES = tuple(
    Strategy(name + how, search, grace)
    for name, search in _SEARCHES.items()
    for how, grace in _EARLY.items()
)
BUDGETS = (0.2, 0.35)


def replays(
    found: Table, seeds: int, strategies: Sequence[Strategy] = STRATEGIES
) -> dict[str, list[Replayed]]:
    """For each strategy what came of each seed."""
    most = round(_MOST_SHARE * len(found.means) * EVALUATIONS)
    return {s.name: [s.replay(found, seed, most) for seed in range(seeds)] for s in strategies}


def summary(found: Table, name: str, runs: Sequence[Replayed]) -> dict[str, Any]:
    """How often, and after how much, a strategy has a configuration of the set of the best."""
    whole = len(found.means) * EVALUATIONS
    shares = [run.first / whole if run.first is not None else float("inf") for run in runs]
    content: dict[str, Any] = {"strategy": name, "replays": len(runs), "shares": shares}
    for budget in BUDGETS:
        chosen = [run.choice(budget * whole) for run in runs]
        content[f"reached {budget}"] = sum(share <= budget for share in shares)
        content[f"chosen {budget}"] = sum(c is not None and bool(found.best_set[c]) for c in chosen)
        lost = [found.means.max() - found.means[c] for c in chosen if c is not None]
        content[f"lost {budget}"] = float(np.mean(lost)) if lost else None
    return content


def shown(summaries: Sequence[dict[str, Any]]) -> str:
    """The table of the page."""
    headings = ["", "median share of the grid's epochs", "worst"]
    headings += [f"reached by {b:.0%}".replace("%", " %") for b in BUDGETS]
    headings += [f"chosen at {b:.0%}".replace("%", " %") for b in BUDGETS]
    rows = []
    for each in summaries:
        median, worst = statistics.median(each["shares"]), max(each["shares"])
        row = [each["strategy"], _percent(median), _percent(worst)]
        counts = [each[f"{what} {b}"] for what in ("reached", "chosen") for b in BUDGETS]
        row += [f"{count} of {each['replays']}" for count in counts]
        rows.append(row)
    return table(headings, rows)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if np.isfinite(share) else "never"


def main() -> None:
    """Replay, print and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=20)
    arguments.add_argument("--no-publish", action="store_true")
    given = arguments.parse_args()
    found = load()
    print(*lines_of(found), sep="\n")
    done = replays(found, given.seeds)
    summaries = [summary(found, name, runs) for name, runs in done.items()]
    text = shown(summaries)
    print(text)
    if not given.no_publish:
        about = machine()
        note = f"`{command()}`, {about['date']}, revision {about['revision']}."
        PAGE.write_text(filled(PAGE.read_text(), "replay", f"{text}\n\n{note}"))
        for each in summaries:
            each["shares"] = [s if np.isfinite(s) else None for s in each["shares"]]
        content = {
            "command": command(),
            "machine": about,
            "figures": summaries,
        }
        (FIGURES / "search.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
