"""Every metric that embft knows, by name: the one list that all others are read from.

The spec asks it what an objective may name, evaluators which names are taken, leaderboard and
report what a metric is called and which way is better. A metric of pairs is declared in
`pair_definitions.py`, beside its code, an evaluator's in the evaluator's module; here stand the few
that neither computes. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from embft.metrics.metric import BORDA, LEADERBOARD, SHARE, USERS, Family, Metric
from embft.metrics.pair_definitions import PAIR_METRICS

Source = Callable[[], Iterable[Metric | Family]]

_OTHERS = (
    Metric(
        "brier",
        "Brier score",
        "mean of (p - label)^2, p the score calibrated by isotonic regression on dev",
        direction="min",
        bounds=SHARE,
        source="Brier (1950); Zadrozny and Elkan (2002)",
        binary_only=True,
    ),
    Metric(
        "welch_p",
        "p of Welch's t",
        "two-sided, Welch-Satterthwaite degrees of freedom",
        direction=None,
        source="Welch (1947)",
        form="p",
    ),
    Metric(
        "false_positives",
        "False positives",
        "label 0 with score >= threshold",
        direction=None,
        form="count",
    ),
    Metric(
        BORDA,
        "Borda score",
        "mean over tasks of the share of the other configurations that it beats, ties half",
        bounds=SHARE,
        source="Borda (1781)",
        computed_by=LEADERBOARD,
    ),
    Metric(
        "probe_drop",
        "Drop on the probe",
        "probe_spearman of the base model minus that of the trained one",
        direction=None,
        computed_by=LEADERBOARD,
    ),
)


class _Registry(Mapping[str, Metric]):
    """Metrics by name. A source that was added is asked once a name is not known without it."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._others = {metric.name: metric for metric in _OTHERS}
        self._families: list[Family] = []

    def add_source(self, source: Source) -> None:
        """Have this function asked for more metrics and families."""
        self._sources.append(source)

    def __getitem__(self, name: str) -> Metric:
        found = PAIR_METRICS.get(name) or self._others.get(name)
        if found is None:
            self._ask()
            members = (family.member(name) for family in self._families)
            found = self._others.get(name) or next((each for each in members if each), None)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        self._ask()
        return iter([*PAIR_METRICS, *self._others])

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def families(self) -> list[Family]:
        """The families, of which iterating gives only the members that something computes."""
        self._ask()
        return list(self._families)

    def _ask(self) -> None:
        """Take in what the sources have; two metrics of one name are an error of ours."""
        while self._sources:
            for declared in self._sources.pop()():
                if isinstance(declared, Family):
                    self._families.append(declared)
                    continue
                same = PAIR_METRICS.get(declared.name) or self._others.get(declared.name)
                if same is not None:
                    raise ValueError(f"there are two metrics called {declared.name}")
                self._others[declared.name] = declared


METRICS = _Registry()
"""Every metric by its name; members of a family are found with any cut-off."""


def metric(name: str) -> Metric:
    """The metric of this name; one that only a user's function knows counts upward."""
    return METRICS.get(name) or Metric(name, name.replace("_", " "), "", computed_by=USERS)


def in_every_trial() -> frozenset[str]:
    """The names of what every trial may have, whatever its evaluators."""
    return frozenset({*PAIR_METRICS, *(metric.name for metric in _OTHERS)})
