"""The page: template, style, charts and script put into one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

from ..report import FIELDS
from .charts import chart_specs
from .content import Page, Row

_TEMPLATES = Path(__file__).with_name("templates")
NEEDED = {"jinja2": "jinja2", "vl_convert": "vl-convert-python"}
"""Modules that a page needs, and the packages that have them: the extra `report`."""
TITLES = {
    "model": "Model",
    "est_ms": "Estimate (ms)",
    "meas_ms": "Measured (ms)",
    "error_pct": "Error (%)",
    "rating": "Rating",
    "bound": "Bound",
    "host_ms": "Host (ms)",
    "device_ms": "Device (ms)",
    "interval_pct": "80 % within (± %)",
    "hardware": "Hardware",
    "configuration": "Configuration",
    "budget_ms": "Budget (ms)",
    "budget": "Budget kept",
}

_THEIR_TITLES = {
    "est_ms": "estimate (ms)",
    "error_pct": "error (%)",
    "rating": "rating",
    "nearer": "nearer",
    "problem": "why not",
}
_WORDS = ("model", "rating", "bound", "nearer", "problem", "hardware", "configuration", "budget")


def page_html(page: Page) -> str:
    """Returns the page as HTML: everything that it shows is in it."""
    import jinja2
    import vl_convert

    specs = chart_specs(page)
    loader = jinja2.FileSystemLoader(str(_TEMPLATES))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return (
        environment.get_template("page.html").render(
            page=page,
            columns=_columns(page),
            rows=[_cells(row, page) for row in page.rows],
            specs=specs,
            charts=_for_script(specs),
            libraries=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script"),
            style=_text("page.css"),
            script=_text("page.js"),
        )
        + "\n"
    )


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _for_script(data: Dict[str, Any]) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(data).replace("<", "\\u003c")


def _fields(page: Page) -> List[str]:
    """The columns of the suite that say something: budgets where there are any, the board where there are several."""
    rows = [row.comparison for row in page.rows]
    unsaid = {"budget_ms", "budget"} if all(row.budget_ms is None for row in rows) else set()
    if len({(row.hardware, row.configuration) for row in rows}) < 2:
        unsaid |= {"hardware", "configuration"}
    return [field for field in FIELDS if field not in unsaid]


def _columns(page: Page) -> List[Dict[str, Any]]:
    """The table's columns: the title of each, and whether it holds numbers."""
    columns = [(field, TITLES[field]) for field in _fields(page)]
    for beside in page.others:
        columns += [(field, f"{beside.name}: {title}") for field, title in _THEIR_TITLES.items()]
    return [{"title": title, "number": field not in _WORDS} for field, title in columns]


def _cells(row: Row, page: Page) -> Dict[str, Any]:
    """The table's cells: as text, and what they are sorted by."""
    values = [(field, getattr(row.comparison, field)) for field in _fields(page)]
    for theirs in (beside.of(row.comparison) for beside in page.others):
        values += [(field, getattr(theirs, field)) for field in _THEIR_TITLES]
    return {
        "cells": [_cell(field, value) for field, value in values],
        "family": row.comparison.family,
        "verdict": row.measurement.verdict if row.measurement else "",
    }


def _cell(field: str, value: Any) -> Dict[str, Any]:
    key = "" if value is None else value
    return {"field": field, "text": _shown(field, value), "key": key, "number": field not in _WORDS}


def _shown(field: str, value: Any) -> str:
    if value in (None, ""):
        return "-"
    if field == "error_pct":
        return f"{value:+.1f}"
    return str(value) if isinstance(value, str) else f"{value:g}"
