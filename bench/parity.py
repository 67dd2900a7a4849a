"""The README's plot: estimate over measurement of all models, drawn as SVG; the same figures give the same bytes."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import List, Mapping
from xml.etree import ElementTree

from estimator.report.charts import parity

from .accuracy import measured

PARITY = "docs/parity.svg"
_CLIP = re.compile(r"\bclip\d+\b")
_VARIABLE = re.compile(r"var\(--(\w+)\)")
_SHAPE = {"width": 560, "height": 420, "autosize": "pad"}
_COLORS: Mapping[str, str] = {
    "text": "#1c1f23",
    "faint": "#8b929b",
    "rule": "#5a616a",
    "excellent": "#bfe3c6",
    "good": "#dcefdf",
    "fair": "#eef3ee",
    **dict(
        zip((f"f{i}" for i in range(7)), ("#1f5fa8", "#b3541e", "#2c7a3f", "#7a3fa0", "#a3264f", "#6b5a00", "#00696b"))
    ),
}
"""Those of the light page, on white: a README does not say which scheme its reader has."""


def parity_svg(root: Path) -> str:
    """Returns the drawing; its first line says which release of what has drawn it."""
    import vl_convert

    page = json.dumps({**parity(measured(root).rows), **_SHAPE})
    spec = json.loads(_VARIABLE.sub(lambda found: _COLORS[found[1]], page))
    spec["config"]["background"] = "white"
    drawing = _renumbered(vl_convert.vegalite_to_svg(spec))
    return f"<!-- python -m bench.documents, vl-convert-python {metadata.version('vl-convert-python')} -->\n{drawing}\n"


def _renumbered(svg: str) -> str:
    """The library counts clips on from one drawing to the next of a process."""
    numbers = dict.fromkeys(_CLIP.findall(svg))
    order = {name: f"clip{i}" for i, name in enumerate(numbers)}
    return _CLIP.sub(lambda found: order[found[0]], svg)


def drawn_by(svg: str) -> str:
    """Returns the release that has drawn it, "1.9.0"."""
    return svg.split(" -->", 1)[0].rsplit(" ", 1)[1]


def labels_in(svg: str) -> List[str]:
    """Returns what its marks say, in order."""
    marks = ElementTree.fromstring(svg).iter()
    return [m.attrib["aria-label"] for m in marks if m.get("aria-roledescription") == "point"]
