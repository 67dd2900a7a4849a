"""The report as a page: charts and a table in one HTML file that needs no network. Needs the extra `report`."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

from ..figures import percent
from .charts import chart_specs
from .comparisons import FIELDS
from .page import Page, Row
from .table import Column, Table, left, right

NEEDED = {"jinja2": "jinja2", "vl_convert": "vl-convert-python"}
"""Modules that a page needs, and the packages that have them: the extra `report`."""
_TEMPLATES = Path(__file__).with_name("templates")


def page_html(page: Page) -> str:
    """Returns the page as HTML: everything that it shows is in it."""
    import jinja2

    specs = chart_specs(page)
    loader = jinja2.FileSystemLoader(str(_TEMPLATES))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = environment.get_template("page.html").render(
        page=page,
        table=page_table(page),
        specs=specs,
        charts=json.dumps(specs).replace("<", "\\u003c"),  # which cannot end the script that it stands in
        libraries=_libraries(),
        **{name: (_TEMPLATES / f"page.{name}").read_text(encoding="utf-8") for name in ("css", "js")},
    )
    return text + "\n"


@functools.lru_cache(maxsize=None)  # made from its modules in a second or two
def _libraries() -> str:
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")).replace("</script", "<\\/script")


def _figure(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:g}"


def _error(value: Optional[float]) -> str:
    return percent(value, "+", "")


def _words(value: Optional[str]) -> str:
    return value or "-"


_COLUMNS: Mapping[str, Column] = {
    "model": left("Model"),
    "est_ms": right("Estimate (ms)", _figure),
    "meas_ms": right("Measured (ms)", _figure),
    "error_pct": right("Error (%)", _error),
    "rating": left("Rating", _words),
    "bound": left("Bound", _words),
    "host_ms": right("Host (ms)", _figure),
    "device_ms": right("Device (ms)", _figure),
    "interval_pct": right("80 % within (± %)", _figure),
    "hardware": left("Hardware"),
    "configuration": left("Configuration"),
    "budget_ms": right("Budget (ms)", _figure),
    "budget": left("Budget kept", _words),
}
_THEIR_COLUMNS: Mapping[str, Column] = {
    "est_ms": right("estimate (ms)", _figure),
    "error_pct": right("error (%)", _error),
    "rating": left("rating"),
    "nearer": left("nearer", _words),
    "problem": left("why not", _words),
}


def page_table(page: Page) -> Table:
    """Returns the table of the page: budgets where there are any, the board where there are several, the verdicts."""
    rows = [row.comparison for row in page.rows]
    unsaid = {"budget_ms", "budget"} if all(row.budget_ms is None for row in rows) else set()
    if len({(row.hardware, row.configuration) for row in rows}) < 2:
        unsaid |= {"hardware", "configuration"}
    fields = [field for field in FIELDS if field not in unsaid]
    columns = [_COLUMNS[field] for field in fields]
    for beside in page.others:
        columns += [replace(c, title=f"{beside.name}: {c.title}") for c in _THEIR_COLUMNS.values()]
    columns += [left("Verdict", str)] if page.is_live else []
    return Table(tuple(columns), [_values(row, page, fields) for row in page.rows], [row.family for row in rows])


def _values(row: Row, page: Page, fields: Sequence[str]) -> List[Any]:
    values = [getattr(row.comparison, field) for field in fields]
    for theirs in (beside.of(row.comparison) for beside in page.others):
        values += [getattr(theirs, field) for field in _THEIR_COLUMNS]
    return [*values, *([row.measurement.verdict if row.measurement else ""] if page.is_live else [])]
