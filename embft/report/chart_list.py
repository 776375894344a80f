"""Every chart of the report: the one list that the page and the export walk.

A chart is a function with `@chart` in a module of `embft/report/charts/`; the tables that it draws
are computed by the module of the same name in `embft/leaderboard/`. Draws nothing itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from embft.leaderboard.rows import Leaderboard
from embft.report.chart import Chart
from embft.report.compared_models import ComparedModels


class Section(StrEnum):
    """The sections of the page that have charts, in its order."""

    QUERIES = "queries"
    BEFORE_AFTER = "before-after"
    MATTERED = "mattered"
    EPOCHS = "epochs"
    COST = "cost"


Drawn = Chart | None | Iterable[Chart | None]
"""A chart, several, or None where the data have nothing to show."""


@dataclass(frozen=True)
class Declared:
    """A function that draws: where its charts stand, and in which place of that section."""

    section: Section
    place: int
    draw: Callable[[Any], Drawn]


_DECLARED: list[Declared] = []
_Draw = TypeVar("_Draw", bound=Callable[..., Drawn])


def chart(section: Section, place: int) -> Callable[[_Draw], _Draw]:
    """Declare the function below as one that draws charts of this section.

    It takes the leaderboard, before and after the models of the comparison (`ComparedModels`).
    """

    def declare(draw: _Draw) -> _Draw:
        _DECLARED.append(Declared(section, place, draw))
        return draw

    return declare


@cache
def declared() -> tuple[Declared, ...]:
    """All of them, in the order of the page."""
    package = importlib.import_module("embft.report.charts")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    order = list(Section)
    return tuple(sorted(_DECLARED, key=lambda each: (order.index(each.section), each.place)))


def draw_charts(
    leaderboard: Leaderboard, compared: ComparedModels | None
) -> Mapping[Section, list[Chart]]:
    """The charts of each section. compared: None where no pairs can be looked at."""
    found: dict[Section, list[Chart]] = {section: [] for section in Section}
    for each in declared():
        subject = compared if each.section is Section.BEFORE_AFTER else leaderboard
        if subject is not None:
            found[each.section] += _listed(each.draw(subject))
    return found


def _listed(drawn: Drawn) -> list[Chart]:
    charts = [drawn] if isinstance(drawn, Chart) or drawn is None else drawn
    return [each for each in charts if each is not None]
