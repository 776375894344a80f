"""The models of the charts before and after, and which of them a chart shows.

Every model that can be chosen is in a chart's data; two parameters of the chart, the names that are
shown and their colours, pick from them, so that the page can choose others without drawing anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import altair as alt

from embft.data.pairs import Pairs
from embft.leaderboard.compare import Difference, differences
from embft.leaderboard.pair_scores import LEADER, RECOMMENDED, Model
from embft.report.chart import ROWS
from embft.report.theme import CATEGORIES, MUTED

MOST_SHOWN = 6
_SHOWN = "indexof(shown, datum.model) >= 0"


@dataclass(frozen=True)
class ComparedModels:
    """models: all that can be chosen. shown: how many of them, from the first, are shown at first.

    texts: the test pairs' texts and groups, if they are on disk. columns: the groups of the spec.
    """

    models: tuple[Model, ...]
    shown: int
    texts: Pairs | None
    columns: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """What the models are called, in their order."""
        return [model.name for model in self.models]

    @property
    def leads(self) -> tuple[Model, ...]:
        """The models that are shown at first."""
        return self.models[: self.shown]

    @property
    def subject(self) -> Model:
        """The model that the titles speak of: the recommended one, else the last shown."""
        return next((m for m in self.models if m.name in {RECOMMENDED, LEADER}), self.leads[-1])

    @property
    def before(self) -> Model | None:
        """The baseline, where it is not itself the subject."""
        found = next((model for model in self.models if model.row.is_baseline), None)
        return None if found is self.subject else found

    @cached_property
    def changes(self) -> dict[str, Difference]:
        """By metric, the subject's test score minus the baseline's, tested on the same pairs."""
        if self.before is None:
            return {}
        return differences(self.subject, self.before, self.texts)


def shown_rows(name: str = ROWS) -> alt.Chart:
    """A chart of the rows whose `model` is shown."""
    return alt.Chart(alt.NamedData(name)).transform_filter(_SHOWN)


def model_colour() -> alt.Color:
    """One colour for each model that is shown; the baseline's is grey."""
    colours: Any = [alt.ExprRef(f"colours[{i}]") for i in range(MOST_SHOWN)]
    scale = alt.Scale(domain=alt.ExprRef("shown"), range=colours)
    return alt.Color("model:N", title=None, scale=scale)


def compared_params(compared: ComparedModels) -> list[dict[str, Any]]:
    """The parameters that choose, as the page's script sets them."""
    return [
        {"name": "shown", "value": [model.name for model in compared.leads]},
        {"name": "colours", "value": colours_of(compared.leads)},
    ]


def colours_of(models: Sequence[Model]) -> list[str]:
    """Six colours: grey for the baseline, so that colour means a trained model."""
    trained = iter(CATEGORIES)
    found = [MUTED if model.row.is_baseline else next(trained) for model in models]
    return [*found, *trained][:MOST_SHOWN]
