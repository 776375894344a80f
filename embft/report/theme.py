"""Colours and the charts' common settings.

Charts name colours as CSS variables, so that light, dark and print need no script; `PRINT` holds
the values that stand in for them where there is no style sheet (exported files). Hues follow
Okabe and Ito (2008), darkened where they are too weak on white.
"""

from __future__ import annotations

from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
CATEGORIES = tuple(f"var(--c{i})" for i in range(1, 7))
ACCENT, INK, MUTED, LINE, SURFACE = (
    f"var(--{name})" for name in ("accent", "ink", "muted", "line", "surface")
)
# Light to dark in one hue: the order survives every kind of colour blindness, and grey printing.
RAMP = ("#dde8f1", "#bcd3e7", "#8db8d9", "#4f93c4", "#1f6ba5", "#0b4776")
INK_ON_PALE, INK_ON_DEEP = "#16202b", "#ffffff"
PRINT = {
    "--c1": "#0072b2",
    "--c2": "#d55e00",
    "--c3": "#00835f",
    "--c4": "#a3497f",
    "--c5": "#946300",
    "--c6": "#4c5a67",
    "--accent": "#0b5c96",
    "--ink": "#16202b",
    "--muted": "#556270",
    "--line": "#dfe4ea",
    "--surface": "#ffffff",
}


def config() -> dict[str, Any]:
    """Vega-Lite's settings for every chart."""
    words = {"labelColor": MUTED, "titleColor": MUTED, "labelFontSize": 12, "titleFontSize": 12}
    plain = {**words, "titleFontWeight": 500, "labelFont": FONT, "titleFont": FONT}
    return {
        "background": "transparent",
        "font": FONT,
        "axis": {
            **plain,
            "gridColor": LINE,
            "domainColor": LINE,
            "tickColor": LINE,
            "labelPadding": 6,
            "titlePadding": 10,
            "labelLimit": 170,
        },
        "legend": {
            **plain,
            "orient": "top",
            "symbolStrokeWidth": 2,
            "symbolOpacity": 1,
            "titleOrient": "left",
            "titlePadding": 10,
            "columnPadding": 16,
            "labelLimit": 160,
            "offset": 12,
        },
        "text": {"font": FONT, "fontSize": 12, "fill": INK},
        "view": {"stroke": None},
        "line": {"strokeWidth": 2},
        "rule": {"stroke": MUTED},
        "point": {"size": 55, "filled": True, "opacity": 1},
    }
