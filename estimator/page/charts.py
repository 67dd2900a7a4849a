"""The charts as Vega-Lite specifications; colours go by what they stand for, and the page or a drawing says which."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..compare import BANDS_PCT
from .content import Page, Row, chart_values

Spec = Dict[str, Any]
Colors = Mapping[str, str]
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
_ROW_PX = 22
_KINDS = (
    ("error_pct", "as fitted", "circle", "mark"),
    ("without_model_pct", "fitted without the model", "diamond", "host"),
    ("without_family_pct", "fitted without its family", "square", "device"),
)
"""Errors of a model: their key, title, shape and colour."""
COLORS = ("text", "faint", "rule", "host", "device", "excellent", "good", "fair", "mark", *(f"f{i}" for i in range(7)))
"""What a chart needs a colour for; f0 to f6 are families."""
PAGE_COLORS: Colors = {name: f"var(--{name})" for name in COLORS}
"""Colours that the page's style sheet sets, light and dark."""


def chart_specs(page: Page) -> Dict[str, Spec]:
    """Returns the specification of each chart that the page has data for, by the name of its place."""
    specs: Dict[str, Spec] = {}
    if page.has_errors:
        specs["parity"] = parity(page.rows, PAGE_COLORS)
        specs["errors"] = errors(page.rows, PAGE_COLORS)
    if any(row.comparison.est_ms is not None for row in page.rows):
        specs["shares"] = shares(page.rows, PAGE_COLORS)
    if page.is_live:
        specs["rounds"] = rounds(page.rows, PAGE_COLORS)
    return specs


def parity(rows: Sequence[Row], colors: Colors, size: Optional[Tuple[int, int]] = None) -> Spec:
    """Returns estimate over measurement, both logarithmic, with the bands of the ratings as areas.

    `size` is width and height in pixels; without it the chart is as wide as its place.
    """
    values = [row for row in chart_values(rows) if row["error_pct"] is not None]
    low, high = _domain([ms for row in values for ms in (row["est_ms"], row["from_ms"], row["to_ms"])])
    x = {"field": "meas_ms", "type": "quantitative", "title": "measured (ms)", **_logarithmic(low, high)}
    y = {"field": "est_ms", "type": "quantitative", "title": "estimated (ms)", **_logarithmic(low, high)}
    families = list(dict.fromkeys(row["family"] for row in values))
    band_names = [name for name in reversed(list(BANDS_PCT)) if math.isfinite(BANDS_PCT[name])]
    return _chart(
        [
            *(_band(name, low, high, colors) for name in band_names),
            _line([{"meas_ms": low, "est_ms": low}, {"meas_ms": high, "est_ms": high}], colors),
            {
                "data": {"values": values},
                "mark": {"type": "rule", "aria": False, "color": colors["faint"], "strokeWidth": 1.5},
                "encoding": {"x": {**x, "field": "from_ms"}, "x2": {"field": "to_ms"}, "y": y},
            },
            {
                "data": {"values": values},
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {"x": x, "y": y, **_by_family(families, colors), **_said()},
            },
        ],
        colors,
        size or ("container", 420),
    )


def _domain(figures_ms: Sequence[float]) -> Tuple[float, float]:
    """A little more than all of them, to one digit."""
    low, high = min(figures_ms) / 1.15, max(figures_ms) * 1.15
    step = 10 ** math.floor(math.log10(low)), 10 ** math.floor(math.log10(high))
    return math.floor(low / step[0]) * step[0], math.ceil(high / step[1]) * step[1]


def _logarithmic(low: float, high: float) -> Spec:
    return {"scale": {"type": "log", "domain": [low, high], "nice": False}, "axis": {"tickCount": 6, "format": "~g"}}


def _band(rating: str, low: float, high: float, colors: Colors) -> Spec:
    """The estimates that the rating allows, as far as the chart goes."""
    share = BANDS_PCT[rating] / 100
    ends = [
        {"meas_ms": ms, "low_ms": max(ms * (1 - share), low), "high_ms": min(ms * (1 + share), high)}
        for ms in _steps(low, high)
    ]
    return {
        "data": {"values": ends},
        "mark": {"type": "area", "aria": False, "color": colors[rating.lower()], "clip": True},
        "encoding": {
            "x": {"field": "meas_ms", "type": "quantitative"},
            "y": {"field": "low_ms", "type": "quantitative"},
            "y2": {"field": "high_ms"},
        },
    }


def _steps(low: float, high: float) -> List[float]:
    """Enough points that a band cut off at the edge of the chart is cut off where it leaves it."""
    count = 80
    return [round(low * (high / low) ** (i / count), 6) for i in range(count + 1)]


def _line(values: Sequence[Mapping[str, float]], colors: Colors) -> Spec:
    return {
        "data": {"values": list(values)},
        "mark": {"type": "line", "aria": False, "color": colors["rule"], "strokeDash": [4, 4]},
        "encoding": {
            "x": {"field": "meas_ms", "type": "quantitative"},
            "y": {"field": "est_ms", "type": "quantitative"},
        },
    }


def _by_family(families: Sequence[str], colors: Colors) -> Spec:
    """Colour and shape, so that no family is told by its colour alone."""
    palette = [colors[f"f{i % 7}"] for i in range(len(families))]
    shapes = [_SHAPES[i % len(_SHAPES)] for i in range(len(families))]
    legend = {"title": None, "orient": "bottom", "columns": 4}
    scales = (("color", palette), ("shape", shapes))
    return {
        channel: {
            "field": "family",
            "type": "nominal",
            "scale": {"domain": list(families), "range": figures},
            "legend": legend,
        }
        for channel, figures in scales
    }


def _said() -> Spec:
    return {"description": {"field": "label"}}


def errors(rows: Sequence[Row], colors: Colors) -> Spec:
    """Returns each model's error with the interval of its estimate, and the errors of fits that have not seen it."""
    values = [row for row in chart_values(rows) if row["error_pct"] is not None]
    x = {"type": "quantitative", "title": "error (%)", "axis": {"tickCount": 6}}
    kinds = [kind for kind in _KINDS if any(row[kind[0]] is not None for row in values)]
    points = [
        {"model": row["model"], "pct": row[key], "kind": title, "label": f"{row['model']}, {title}: {row[key]:+.1f} %"}
        for row in values
        for key, title, _, _ in kinds
        if row[key] is not None
    ]
    interval = {"x": {**x, "field": "low_pct"}, "x2": {"field": "high_pct"}, "y": _models(values)}
    return _chart(
        [
            {
                "data": {"values": [{}]},
                "mark": {"type": "rule", "aria": False, "color": colors["rule"]},
                "encoding": {"x": {"datum": 0}},
            },
            {
                "data": {"values": values},
                "mark": {"type": "rule", "aria": False, "color": colors["faint"], "size": 5},
                "encoding": interval,
            },
            {
                "data": {"values": points},
                "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
                "encoding": {"x": {**x, "field": "pct"}, "y": _models(values), **_by_kind(kinds, colors), **_said()},
            },
        ],
        colors,
        ("container", _ROW_PX * len(values)),
    )


def _models(values: Sequence[Mapping[str, Any]]) -> Spec:
    order = [row["model"] for row in values]
    axis = {"labelLimit": 150, "ticks": False, "grid": False}
    return {"field": "model", "type": "nominal", "sort": order, "title": None, "axis": axis}


def _by_kind(kinds: Sequence[Tuple[str, str, str, str]], colors: Colors) -> Spec:
    domain = [title for _, title, _, _ in kinds]
    legend = {"title": None, "orient": "bottom", "columns": 1}
    ranges = (("color", [colors[color] for *_, color in kinds]), ("shape", [shape for _, _, shape, _ in kinds]))
    return {
        channel: {"field": "kind", "type": "nominal", "scale": {"domain": domain, "range": figures}, "legend": legend}
        for channel, figures in ranges
    }


def shares(rows: Sequence[Row], colors: Colors) -> Spec:
    """Returns what host and device would take alone, in percent of the latency."""
    values = [row for row in chart_values(rows) if row["host_share"] is not None]
    bars = [
        {
            "model": row["model"],
            "side": side,
            "share": row[f"{side}_share"],
            "label": f"{row['model']}: the {side} alone takes {row[f'{side}_share']:.0f} % of the latency",
        }
        for row in values
        for side in ("host", "device")
    ]
    sides = {"domain": ["host", "device"], "range": [colors["host"], colors["device"]]}
    legend = {"title": None, "orient": "bottom"}
    return _chart(
        [
            {
                "data": {"values": bars},
                "mark": {"type": "bar", "height": {"band": 0.9}},
                "encoding": {
                    "x": {"field": "share", "type": "quantitative", "title": "of the latency (%)"},
                    "y": _models(values),
                    "yOffset": {"field": "side", "type": "nominal", "sort": ["host", "device"]},
                    "color": {"field": "side", "type": "nominal", "scale": sides, "legend": legend},
                    **_said(),
                },
            }
        ],
        colors,
        ("container", (_ROW_PX + 4) * len(values)),
    )


def rounds(rows: Sequence[Row], colors: Colors) -> Spec:
    """Returns the rounds that were measured of each model, in percent of their median."""
    live = [row for row in rows if row.measurement is not None]
    values = chart_values(live)
    ticks = [
        {"model": row["model"], "pct": round(100 * (ms / _median(row["rounds_ms"]) - 1), 2)}
        for row in values
        for ms in row["rounds_ms"]
    ]
    medians = [{"model": row.name, "pct": 0, "label": _rounds_label(row)} for row in live]
    x = {"field": "pct", "type": "quantitative", "title": "from the model's median (%)"}
    return _chart(
        [
            {
                "data": {"values": ticks},
                "mark": {"type": "tick", "aria": False, "color": colors["host"], "opacity": 0.5},
                "encoding": {"x": x, "y": _models(values)},
            },
            {
                "data": {"values": medians},
                "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1, "color": colors["mark"]},
                "encoding": {"x": x, "y": _models(values), **_said()},
            },
        ],
        colors,
        ("container", _ROW_PX * len(values)),
    )


def _median(figures: Sequence[float]) -> float:
    ordered, middle = sorted(figures), len(figures) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _rounds_label(row: Row) -> str:
    found = row.measurement
    assert found is not None
    extremes = f"{min(found.rounds_ms):.4g} to {max(found.rounds_ms):.4g} ms"
    return f"{row.name}: {len(found.rounds_ms)} rounds from {extremes}; {found.verdict}"


def _chart(layers: Sequence[Spec], colors: Colors, size: Tuple[Any, Any]) -> Spec:
    text, rule = colors["text"], colors["faint"]
    return {
        "$schema": _SCHEMA,
        "width": size[0],
        "height": size[1],
        "autosize": {"type": "fit-x", "contains": "padding"} if size[0] == "container" else "pad",
        "layer": list(layers),
        "config": {
            "background": "transparent",
            "font": "sans-serif",
            "view": {"stroke": None},
            "axis": {
                "labelColor": text,
                "titleColor": text,
                "domainColor": rule,
                "tickColor": rule,
                "gridColor": rule,
                "gridOpacity": 0.35,
                "labelFontSize": 12,
                "titleFontSize": 12,
            },
            "legend": {"labelColor": text, "titleColor": text, "labelFontSize": 12, "symbolOpacity": 1},
        },
    }
