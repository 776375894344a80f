"""What a chart is, and how it becomes a picture.

A chart is a Vega-Lite specification made by Altair, with its data beside it so that Altair does
not validate every row. Drawn without a browser by vl-convert.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt

from embft.report.drawer import begin_drawing
from embft.report.theme import PRINT, config

STATIC_WIDTH = 720
# The figure as a whole is described; a label for each mark would be read out a thousand times.
_SPOKEN = re.compile(r' (?:aria-label|aria-roledescription|role|cursor)="[^"]*"')
# What draws nothing: empty paths, and the backgrounds of groups without a fill.
_NOTHING = re.compile(
    r'<path class="(?:foreground|background)" aria-hidden="true" d="[^"]*"'
    r'(?: display="none"| pointer-events="none")*/>'
)
_PLACES = re.compile(r' (?:d|transform|x|y|x2|y2|width|height)="[^"]*\.\d{3}[^"]*"')
_LONG = re.compile(r"(\.\d\d)\d+")
ROWS = "rows"
# The trial that is chosen on the page, shared by all charts; empty when none is.
_PICKED = {"name": "picked", "value": ""}


@dataclass(frozen=True)
class Chart:
    """One figure. key: its name in file names. title: the finding. note: how to read it.

    spec: Vega-Lite without settings and with `width: container`. size: `wide` or `half`. folded:
    whether the page shows it only on demand, since it is long or of interest to few.
    """

    key: str
    title: str
    note: str
    spec: dict[str, Any]
    size: str = "wide"
    points: int = field(default=0)
    folded: bool = False


def rows() -> alt.NamedData:
    """The chart's own data, as the source of a mark."""
    return alt.NamedData(ROWS)


def dimmed(
    test: str = "datum.trial === picked", faint: float = 0.18, full: float = 1.0
) -> dict[str, Any]:
    """Opacity: 1 for the chosen trial, faint for others; `full` for all while none is chosen."""
    return {
        "condition": [{"test": "picked === ''", "value": full}, {"test": test, "value": 1}],
        "value": faint,
    }


def finish(
    drawn: alt.Chart | alt.LayerChart | alt.FacetChart,
    data: Sequence[dict[str, Any]],
    height: int,
    params: Sequence[dict[str, Any]] = (),
    **extra: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The specification of a chart with its data, in which numbers keep five digits."""
    # Beside what Altair has drawn: it copies a chart, layer by layer, for each addition.
    spec: dict[str, Any] = drawn.to_dict(validate=False)
    spec.pop("config", None)
    spec |= {"width": "container", "height": height}
    spec["params"] = [*spec.get("params", ()), _PICKED, *params]
    spec["datasets"] = {name: _rounded(table) for name, table in {ROWS: data, **extra}.items()}
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec


def _rounded(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}
        for row in table
    ]


def static_svg(chart: Chart, width: int | None = None) -> str:
    """The chart as SVG with the page's CSS variables in it."""
    return begin_svg(chart, width)()


def begin_svg(chart: Chart, width: int | None = None) -> Callable[[], str]:
    """As `static_svg`, of a picture that is drawn until it is asked for, where that is possible."""
    drawn = begin_drawing(_fixed(chart, width))
    return lambda: _slim(_SPOKEN.sub("", _without_inline_styles(drawn())))


def _slim(svg: str) -> str:
    """The same picture in fewer characters: places to a hundredth of a pixel."""
    return _PLACES.sub(lambda match: _LONG.sub(r"\1", match[0]), _NOTHING.sub("", svg))


def export_svg(chart: Chart, width: int = STATIC_WIDTH) -> str:
    """The chart as an SVG file of its own: colours as values, the title above."""
    return begin_drawing(_standalone(chart, width))()


def export_png(chart: Chart, width: int = STATIC_WIDTH, scale: float = 2.0) -> bytes:
    """The chart as a PNG of `scale` times its width in pixels."""
    import vl_convert

    drawn: bytes = vl_convert.vegalite_to_png(_standalone(chart, width), scale=scale)
    return drawn


def altair_chart(chart: Chart, width: int = STATIC_WIDTH) -> alt.TopLevelMixin:
    """The chart as an Altair object, as it is exported: to change, combine and save.

    Layered charts are `alt.LayerChart`, others `alt.Chart`.
    """
    spec = _standalone(chart, width)
    data = spec.pop("datasets")  # of thousands of rows, which Altair would look at one by one
    found: Any = alt.Chart.from_dict(spec)
    found.datasets = data
    drawn: alt.TopLevelMixin = found
    return drawn


def _fixed(chart: Chart, width: int | None) -> dict[str, Any]:
    wide = width or (STATIC_WIDTH if chart.size == "wide" else STATIC_WIDTH // 2 + 60)
    return {**chart.spec, "width": wide, "config": config()}


def _standalone(chart: Chart, width: int) -> dict[str, Any]:
    title = {"text": _wrapped(chart.title), "anchor": "start", "fontSize": 15, "offset": 14}
    whole = {**_fixed(chart, width), "title": title, "background": "white"}
    text = re.sub(r"var\((--[a-z0-9]+)\)", lambda m: PRINT[m[1]], json.dumps(whole))
    found: dict[str, Any] = json.loads(text)
    return found


def _wrapped(text: str, length: int = 78) -> list[str]:
    import textwrap

    return textwrap.wrap(text, length) or [""]


def _without_inline_styles(svg: str) -> str:
    """The policy allows no style attributes; presentation attributes say the same."""
    return re.sub(r' style="([^"]*)"', _as_attributes, svg)


def _as_attributes(match: re.Match[str]) -> str:
    parts = [part.split(":", 1) for part in match[1].split(";") if ":" in part]
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in parts)
