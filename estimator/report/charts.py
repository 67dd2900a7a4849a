"""The charts: Vega-Lite documents in `templates`, filled with the rows of a page."""

from __future__ import annotations

import json
import math
import string
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..compare import BANDS_PCT
from .page import Page, Row

Spec = Dict[str, Any]
_TEMPLATES = Path(__file__).with_name("templates")
_BAND_POINTS = 80
_ROW_PX = 22
_ERRORS_PCT: Mapping[str, Callable[[Row], Optional[float]]] = {
    "as fitted": lambda row: row.comparison.error_pct,
    "fitted without the model": lambda row: row.without_model_pct,
    "fitted without its family": lambda row: row.without_family_pct,
}


def chart_specs(page: Page) -> Dict[str, Spec]:
    """Returns the Vega-Lite document of each chart that the page has data for, by the name of its place.

    Colours are variables that the page's style sheet sets, light and dark.
    """
    makers: Mapping[str, Tuple[bool, Callable[[Sequence[Row]], Spec]]] = {
        "parity": (page.has_errors, parity),
        "errors": (page.has_errors, errors),
        "shares": (any(row.comparison.est_ms is not None for row in page.rows), shares),
        "rounds": (page.is_live, rounds),
    }
    return {name: make(page.rows) for name, (is_shown, make) in makers.items() if is_shown}


def parity(rows: Sequence[Row]) -> Spec:
    """Returns estimate over measurement, both logarithmic, with the bands of the ratings as areas."""
    shown = [row for row in rows if row.comparison.error_pct is not None]
    values = [
        {
            "family": row.comparison.family,
            "est_ms": row.comparison.est_ms,
            "meas_ms": row.comparison.meas_ms,
            "from_ms": row.measured_from_ms,
            "to_ms": row.measured_to_ms,
            "label": row.label,
        }
        for row in shown
    ]
    low, high = _domain([value[key] for value in values for key in ("est_ms", "from_ms", "to_ms")])
    bands = {rating.lower(): _band(pct, low, high) for rating, pct in BANDS_PCT.items() if math.isfinite(pct)}
    return _filled("parity", None, values=values, domain=[low, high], low=low, high=high, **bands)


def _domain(figures_ms: Sequence[Any]) -> Tuple[float, float]:
    """A little more than all of them, to one digit."""
    low, high = min(figures_ms) / 1.15, max(figures_ms) * 1.15
    step = 10 ** math.floor(math.log10(low)), 10 ** math.floor(math.log10(high))
    return math.floor(low / step[0]) * step[0], math.ceil(high / step[1]) * step[1]


def _band(within_pct: float, low: float, high: float) -> List[Mapping[str, float]]:
    """The estimates that a rating allows, in steps so small that it is cut off where it leaves the chart."""
    share = within_pct / 100
    steps = (round(low * (high / low) ** (i / _BAND_POINTS), 6) for i in range(_BAND_POINTS + 1))
    return [
        {"meas_ms": ms, "low_ms": max(ms * (1 - share), low), "high_ms": min(ms * (1 + share), high)} for ms in steps
    ]


def errors(rows: Sequence[Row]) -> Spec:
    """Returns each model's error with the interval of its estimate, and the errors of fits that have not seen it."""
    shown = [row for row in rows if row.comparison.error_pct is not None]
    ends = [(row.name, row.error_interval_pct() or (None, None)) for row in shown]
    intervals = [{"model": name, "low_pct": low, "high_pct": high} for name, (low, high) in ends]
    points = [
        {"model": row.name, "pct": pct, "kind": kind, "label": f"{row.name}, {kind}: {pct:+.1f} %"}
        for row in shown
        for kind, pct in ((kind, error_pct(row)) for kind, error_pct in _ERRORS_PCT.items())
        if pct is not None
    ]
    return _filled("errors", _ROW_PX * len(shown), intervals=intervals, points=points)


def shares(rows: Sequence[Row]) -> Spec:
    """Returns what host and device would take alone, in percent of the latency."""
    bars = []
    for row in rows:
        found = row.comparison
        for side, ms in (("host", found.host_ms), ("device", found.device_ms)):
            if ms is not None and found.est_ms:
                share = round(100 * ms / found.est_ms, 1)
                label = f"{row.name}: the {side} alone takes {share:.0f} % of the latency"
                bars.append({"model": row.name, "side": side, "share": share, "label": label})
    return _filled("shares", (_ROW_PX + 4) * len({bar["model"] for bar in bars}), bars=bars)


def rounds(rows: Sequence[Row]) -> Spec:
    """Returns the rounds that were measured of each model, in percent of their median."""
    ticks, medians = [], []
    for row in rows:
        if row.measurement is not None:
            all_ms = row.measurement.rounds_ms
            ticks += [{"model": row.name, "pct": round(100 * (ms / median(all_ms) - 1), 2)} for ms in all_ms]
            label = f"{len(all_ms)} rounds from {min(all_ms):.4g} to {max(all_ms):.4g} ms; {row.measurement.verdict}"
            medians.append({"model": row.name, "pct": 0, "label": f"{row.name}: {label}"})
    return _filled("rounds", _ROW_PX * len(medians), ticks=ticks, medians=medians)


def _filled(name: str, height_px: Optional[int], **values: Any) -> Spec:
    """The document with the values in it, and what all charts have in common."""
    text = string.Template((_TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))
    filled = text.substitute({key: json.dumps(value) for key, value in values.items()})
    height = {} if height_px is None else {"height": height_px}
    return {**json.loads((_TEMPLATES / "chart.json").read_text(encoding="utf-8")), **json.loads(filled), **height}
