"""How often embft's statistics are right, by simulation: writes docs/statistics.md.

    python benchmarks/simulate.py [--minutes 200] [--processes 2] [--studies interval power …]
        [--no-publish]

Each cell of `simulations.py` is repeated for its share of the minutes (of processor time, over all
processes); a mean stands with its standard error and the number of repetitions. The same seeds
give the same repetitions, of which more minutes do more. Ctrl-C ends it early, with all passes over
the cells that are done. With some `--studies`, the page keeps what it says of the others.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from made_up_scores import METRICS
from measuring import FIGURES, ROOT, command, filled, machine, parser, table
from simulations import AUCS, COLLAPSE, ONES, SIZES, UNITS, Cell, Outcome, all_cells
from threadpoolctl import threadpool_limits

PAGE = ROOT / "docs" / "statistics.md"
SHARES = {
    "decision": 12,
    "best set": 22,
    "seeds": 12,
    "rounds": 8,
    "interval": 42,
    "headline": 5,
    "power": 7,
}
PASSES = 20
LOW = 0.93
_SURE = 2.6  # standard errors: 1 of 100 cells that hold is called otherwise by chance
_TITLES = {
    "auc": "AUC",
    "spearman": "Spearman",
    "average_precision": "Average precision",
    "f1": "F1",
}


@dataclass(frozen=True)
class Found:
    """A cell's means with their standard errors, over so many repetitions."""

    study: str
    names: Mapping[str, Any]
    repetitions: int
    mean: Mapping[str, float]
    error: Mapping[str, float]

    def text(self, name: str, *, percent: bool = True) -> str:
        """`5.1 ± 0.4 %`, or `0.0 % of 60` where all repetitions agree."""
        scale, digits = (100, 1) if percent else (1, 4)
        value, error = scale * self.mean[name], scale * self.error[name]
        if percent and error == 0:
            return f"{value:.0f} % of {self.repetitions}"
        return f"{value:.{digits}f} ± {error:.{digits}f}{' %' if percent else ''}"


def main() -> None:
    """Run, print and publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=200.0, help="of processor time, in all")
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument(
        "--studies",
        nargs="+",
        default=[*SHARES],
        choices=[*SHARES],
        help="those that are simulated and published",
    )
    arguments.add_argument("--no-publish", action="store_true")
    given = arguments.parse_args()
    found = simulated(given.minutes * 60, given.processes, given.studies)
    done = {each.study for each in found}
    shown = {name: section(found) for name, section in SECTIONS.items() if name in done}
    print("\n\n".join(shown.values()))
    if not given.no_publish:
        publish(found, shown)


def simulated(
    seconds: float, processes: int = 1, studies: Sequence[str] = tuple(SHARES)
) -> list[Found]:
    """What each cell gives in its share of this time, or of as much of it as there was."""
    cells = {i: cell for i, cell in enumerate(all_cells()) if cell.study in studies}
    for number, cell in cells.items():
        _once(cell, number, 0)  # what is true of it is computed, and no repetition's time
    counts = Counter(cell.study for cell in cells.values())
    second = seconds / sum(SHARES[study] for study in counts) / PASSES
    outcomes: dict[int, list[Outcome]] = {number: [] for number in cells}
    pool = multiprocessing.get_context("fork").Pool(processes, _deaf)
    with pool, contextlib.suppress(KeyboardInterrupt):
        for _ in range(PASSES):
            tasks = [
                (i, second * SHARES[cell.study] / counts[cell.study], len(outcomes[i]))
                for i, cell in cells.items()
            ]
            for i, more in zip(cells, pool.starmap(repeated, tasks, chunksize=1), strict=True):
                outcomes[i] += more
    return [summary(cells[i], done) for i, done in outcomes.items() if done]


def _deaf() -> None:
    """Ctrl-C is the parent's to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def repeated(number: int, seconds: float, done: int = 0) -> list[Outcome]:
    """Further repetitions of a cell, of which so many are done, until the time is over."""
    cell, start = all_cells()[number], time.process_time()
    outcomes: list[Outcome] = []
    while not outcomes or time.process_time() - start < seconds:
        outcomes.append(_once(cell, number, done + len(outcomes)))
    return outcomes


def summary(cell: Cell, outcomes: Sequence[Outcome]) -> Found:
    """The means of a cell's repetitions."""
    values = {name: np.array([float(each[name]) for each in outcomes]) for name in outcomes[0]}
    return Found(
        cell.study,
        cell.names,
        len(outcomes),
        {name: _mean(each) for name, each in values.items()},
        {name: _error(each) for name, each in values.items()},
    )


def _once(cell: Cell, number: int, repetition: int) -> Outcome:
    with threadpool_limits(1):
        return cell.run(np.random.default_rng([number, repetition]))


def _mean(values: np.ndarray[Any, Any]) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def _error(values: np.ndarray[Any, Any]) -> float:
    """The standard error of the mean."""
    kept = values[np.isfinite(values)]
    return float(kept.std() / np.sqrt(len(kept))) if len(kept) else float("nan")


def _of(found: Sequence[Found], study: str) -> list[Found]:
    return [each for each in found if each.study == study]


def _rows(
    found: Sequence[Found], study: str, names: Sequence[str], measured: Sequence[str]
) -> list[list[Any]]:
    """A line for each cell of a study: what it is called, what was measured, how often."""
    return [
        [*(each.names[n] for n in names), *(each.text(m) for m in measured), each.repetitions]
        for each in _of(found, study)
    ]


def decision_section(found: Sequence[Found]) -> str:
    """What the recommendation loses."""
    rows = [
        [
            each.names["pairs"],
            each.text("loss", percent=False),
            each.text("leader", percent=False),
            each.text("more", percent=False),
            each.text("cheapest", percent=False),
            each.text("worst"),
            each.text("resolved"),
            each.text("wrong"),
            each.repetitions,
        ]
        for each in _of(found, "decision")
    ]
    headings = (
        "dev pairs", "mean loss", "of the leader", "difference", "of the cheapest that may be best",
        "the base model (0.30) recommended", "resolved", "shown within the tolerance, wrongly",
        "repetitions",
    )  # fmt: skip
    return table(headings, rows)


def best_section(found: Sequence[Found]) -> str:
    """The set of the best, and ranks."""
    rows = _rows(
        found, "best set", ("configurations", "truth"), ("excluded", "size", "ranks", "losses")
    )
    headings = (
        "configurations", "truth", "a true best excluded", "in the set, of all",
        "any rank interval wrong", "any loss bound wrong", "repetitions",
    )  # fmt: skip
    return table(headings, rows)


def seeds_section(found: Sequence[Found]) -> str:
    """Equal recipes with seeds."""
    rows = _rows(
        found, "seeds", ("configurations", "seeds"), ("excluded", "ranks", "different", "alone")
    )
    headings = (
        "configurations", "seeds", "a true best excluded", "any rank interval wrong",
        "any significantly different from one", "a single comparison below 5 %", "repetitions",
    )  # fmt: skip
    return table(headings, rows)


def rounds_section(found: Sequence[Found]) -> str:
    """Equal recipes with rounds of more seeds."""
    names = ("configurations", "start", "most", "spread")
    headings = (
        "configurations", "start", "most", "sd between seeds", "a true best excluded",
        "any significantly different from one", "of all trainings", "repetitions",
    )  # fmt: skip
    return table(headings, _rows(found, "rounds", names, ("excluded", "different", "trainings")))


def interval_section(found: Sequence[Found]) -> str:
    """Coverage in each cell, in all, and the cells that fall short."""
    cells = _of(found, "interval")
    parts = [_pooled(cells)]
    for metric in METRICS:
        parts += [f"**{_TITLES[metric]}**, one seed:", _grid(cells, metric)]
    parts += [
        "**AUC and Spearman**, several seeds of one configuration alone, single pairs:",
        _seed_grid(cells),
    ]
    parts += ["**Cells that fall short:**", "\n".join(_short(cells)) or "- none"]
    return "\n\n".join(parts)


def _pooled(cells: Sequence[Found]) -> str:
    """Over all cells, by the number of pairs: how often given, warned of, and held."""
    rows = []
    for metric in METRICS:
        for n in SIZES:
            part = [c for c in cells if c.names["pairs"] == n and c.names["units"] != COLLAPSE]
            if part:
                rows.append([_TITLES[metric], n, *_shares(part, metric)])
    headings = (
        "metric", "pairs", "not given", "warned", "held where neither", "held where warned",
        "repetitions",
    )  # fmt: skip
    return table(headings, rows)


def _shares(cells: Sequence[Found], metric: str) -> Iterator[str]:
    weight = np.array([cell.repetitions for cell in cells], float)
    given, warned = (
        np.array([cell.mean[f"{metric} {name}"] for cell in cells]) for name in ("given", "warned")
    )
    yield f"{100 * (1 - weight @ given / weight.sum()):.0f} %"
    yield f"{100 * (weight @ warned / weight.sum()):.0f} %"
    for name, share in (("held", given - warned), ("held, warned", warned)):
        counts = weight * share
        held = np.array([cell.mean[f"{metric} {name}"] for cell in cells])
        known = np.isfinite(held) & (counts > 0)
        total = counts[known].sum()
        if not total:
            yield ""
            continue
        mean = float(held[known] @ counts[known] / total)
        error = np.sqrt((counts[known] * held[known] * (1 - held[known])).sum()) / total
        yield f"{100 * mean:.1f} ± {100 * error:.1f} %"
    yield f"{weight.sum():,.0f}"


def _grid(cells: Sequence[Found], metric: str) -> str:
    by_names = {
        tuple(cell.names[name] for name in ("units", "labels", "AUC", "pairs")): cell
        for cell in cells
        if cell.names["seeds"] == 1
    }
    rows = [
        [
            units,
            ones,
            *(_state(by_names.get((units, ones, auc, n)), metric) for auc in AUCS for n in SIZES),
        ]
        for units in UNITS
        for ones in ONES
    ]
    headings = ["units", "labels", *(f"{auc}, {n:,}" for auc in AUCS for n in SIZES)]
    return table(headings, rows)


def _seed_grid(cells: Sequence[Found]) -> str:
    several = [cell for cell in cells if cell.names["seeds"] > 1]
    rows = [
        [
            cell.names["units"] if cell.names["units"] == COLLAPSE else "",
            cell.names["seeds"],
            cell.names["labels"],
            cell.names["AUC"],
            cell.names["pairs"],
            *(_state(cell, metric) for metric in ("auc", "spearman")),
            cell.repetitions,
        ]
        for cell in several
    ]
    headings = ("", "seeds", "labels", "true AUC", "pairs", "AUC", "Spearman", "repetitions")
    return table(headings, rows)


def _state(cell: Found | None, metric: str) -> str:
    """A cell in a word: the percentage that held, or that it is warned of or not given."""
    if cell is None:
        return ""
    given, warned = (cell.mean[f"{metric} {name}"] for name in ("given", "warned"))
    if given < 0.5:
        return "not given"
    if warned > 0.5 * given:
        return f"warned ({100 * cell.mean[f'{metric} held, warned']:.0f})"
    text = f"{100 * cell.mean[f'{metric} held']:.0f}"
    return f"**{text}**" if _falls_short(cell, metric) else text


def _falls_short(cell: Found, metric: str) -> bool:
    """Whether fewer than 93 % held of those that are given without a warning, beyond chance."""
    given, warned = (cell.mean[f"{metric} {name}"] for name in ("given", "warned"))
    held, count = cell.mean[f"{metric} held"], cell.repetitions * (given - warned)
    if count < 10 or warned > 0.5 * given:
        return False
    return bool(held + _SURE * np.sqrt(LOW * (1 - LOW) / count) < LOW)


def _short(cells: Sequence[Found]) -> Iterator[str]:
    for cell in cells:
        for metric in METRICS:
            if _falls_short(cell, metric):
                names = ", ".join(
                    str(cell.names["units"]) if name == "units" else f"{name} {value}"
                    for name, value in cell.names.items()
                )
                yield f"- {_TITLES[metric]}: {names}: {cell.text(f'{metric} held')}"


def headline_section(found: Sequence[Found]) -> str:
    """What is said where there is nothing to say."""
    rows = [
        [
            each.names["what"],
            each.text("said"),
            each.text("more") if "more" in each.mean else "",
            each.repetitions,
        ]
        for each in _of(found, "headline")
    ]
    headings = ("on noise", "said to differ or to matter", "said to matter more", "repetitions")
    return table(headings, rows)


def power_section(found: Sequence[Found]) -> str:
    """Power foreseen, and had."""
    rows = [
        [
            each.names["units"],
            each.names["pairs"],
            f"{each.mean['difference']:.3f}",
            each.text("foreseen"),
            each.text("significant"),
            f"{100 * (each.mean['foreseen'] - each.mean['significant']):+.1f}",
            f"{100 * each.mean['warned']:.0f} %",
            each.repetitions,
        ]
        for each in _of(found, "power")
    ]
    headings = (
        "pairs are", "pairs", "true difference (Spearman)", "power foreseen, mean", "significant",
        "points apart", "warned", "repetitions",
    )  # fmt: skip
    return table(headings, rows)


SECTIONS: Mapping[str, Callable[[Sequence[Found]], str]] = {
    "decision": decision_section,
    "best set": best_section,
    "seeds": seeds_section,
    "rounds": rounds_section,
    "interval": interval_section,
    "headline": headline_section,
    "power": power_section,
}


def publish(found: Sequence[Found], shown: Mapping[str, str]) -> None:
    """Write the page's tables, and the figures beside them; those of other studies stay."""
    about, page = machine(), PAGE.read_text()
    for name, text in shown.items():
        page = filled(page, name, text)
    file = FIGURES / "simulate.json"
    kept = json.loads(file.read_text())
    cells = [
        {"study": f.study, **f.names, "repetitions": f.repetitions, "mean": _plain(f.mean),
         "error": _plain(f.error)}
        for f in found
    ]  # fmt: skip
    cells = [*(cell for cell in kept["cells"] if cell["study"] not in shown), *cells]
    runs = [
        {**run, "studies": left}
        for run in kept["runs"]
        if (left := [name for name in run["studies"] if name not in shown])
    ]
    runs.append({"command": command(), "machine": about, "studies": [*shown]})
    PAGE.write_text(filled(page, "run", "\n".join(_said(run, cells) for run in runs)))
    file.write_text(json.dumps({"runs": runs, "cells": cells}) + "\n")


def _said(run: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    """Which studies a run is behind, and how large it was."""
    own = [cell for cell in cells if cell["study"] in run["studies"]]
    total, about = sum(cell["repetitions"] for cell in own), run["machine"]
    return (
        f"- {', '.join(run['studies'])}: `{run['command']}`, {len(own)} cells, {total:,} "
        f"repetitions, {about['date']}, revision {about['revision']}."
    )


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """To five digits, None for what no repetition said."""
    return {
        name: float(f"{value:.5g}") if np.isfinite(value) else None
        for name, value in values.items()
    }


if __name__ == "__main__":
    main()
