"""The rows of a session's tables, collected from pytest's reports in whichever process the tests ran."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..compare import Comparison, without_estimate
from ..subjects.all import subject_names

if TYPE_CHECKING:
    import pytest

    from ..records.kinds import Kind
    from ..subjects.all import Subject

Where = Tuple[str, str]
"""Board and configuration, "Jetson-Orin-AGX" and "50W-fp32-b1"."""
UNFINISHED = "unfinished"
"""The outcome of a test whose process died in it."""
MODES = "modes_ms"
"""The user property with a subject's latency by power mode, as JSON."""
DEFAULTED = "defaulted_share_pct"
"""The user property with what each op without a rule takes of a subject's device time in percent, as JSON."""
_ROW_FIELDS = tuple(name for name in Comparison.__dataclass_fields__ if name != "model")


@dataclass
class _Entry:
    """What the reports have said of one subject on one target so far."""

    name: str
    properties: Dict[str, Any] = field(default_factory=dict)
    outcome: str = UNFINISHED

    @property
    def where(self) -> Where:
        return str(self.properties.get("hardware", "")), str(self.properties.get("configuration", ""))

    def row(self) -> Comparison:
        if "est_ms" not in self.properties:
            return without_estimate(self.name, str(self.properties.get("family", "")), self.outcome, self.where)
        return Comparison(model=self.name, **{name: self.properties[name] for name in _ROW_FIELDS})

    def add(self, outcome: str, is_call: bool) -> None:
        """The worst outcome of a test's phases counts."""
        if self.outcome in (UNFINISHED, "passed") and (is_call or outcome != "passed"):
            self.outcome = outcome


class ResultCollector:
    """Gathers rows and outcomes from test reports, which pytest-xdist brings from every worker to one process."""

    def __init__(self, parameter: str) -> None:
        self._parameter = parameter
        self._entries: Dict[Tuple[str, Where], _Entry] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the rows that a test has attached to its report, and the worst outcome of its phases."""
        for found in _entries(report.user_properties, self._parameter):
            entry = self._entries.setdefault((found.name, found.where), found)
            entry.properties.update(found.properties)
            entry.add(report.outcome, report.when == "call")

    def wheres(self) -> List[Where]:
        """Returns boards and configurations of all rows."""
        return list(dict.fromkeys(entry.where for entry in self._entries.values()))

    def rows(self, where: Optional[Where] = None) -> List[Comparison]:
        """Returns a row for each subject that was tested, those of the zoo first, in the order of the report."""
        return [entry.row() for entry in self._sorted() if where in (None, entry.where)]

    def failed(self, where: Optional[Where] = None) -> Tuple[str, ...]:
        """Returns the subjects that did not pass."""
        return tuple(e.name for e in self._sorted() if where in (None, e.where) and e.outcome != "passed")

    def modes_ms(self) -> Dict[str, Mapping[str, float]]:
        """Returns by subject its latency in ms by power mode, where the tests said it."""
        texts = ((entry.name, entry.properties.get(MODES)) for entry in self._sorted())
        return {name: json.loads(text) for name, text in texts if text is not None}

    def defaulted_share_pct(self, where: Where) -> Dict[str, Mapping[str, float]]:
        """Returns by subject what each of its ops without a rule takes of its device time in percent."""
        texts = ((e.name, e.properties.get(DEFAULTED)) for e in self._sorted() if e.where == where)
        return {name: json.loads(text) for name, text in texts if text is not None}

    def _sorted(self) -> List[_Entry]:
        """Workers report in another order each time."""
        order = {name: place for place, name in enumerate(subject_names())}
        last = len(order)
        return sorted(
            self._entries.values(),
            key=lambda e: (order.get(e.name, last), str(e.properties.get("family")), e.name, e.where),
        )


def _entries(properties: Sequence[Tuple[str, Any]], parameter: str) -> Iterator[_Entry]:
    """A test may check several subjects: what follows a name is about that subject."""
    entry: Optional[_Entry] = None
    for name, value in properties:
        if name in ("model", "pattern"):
            if entry is not None:
                yield entry
            entry = _Entry(str(value)) if name == parameter else None
        elif entry is not None and (name in _ROW_FIELDS or name in (MODES, DEFAULTED)):
            entry.properties[name] = value
    if entry is not None:
        yield entry


def announced(subject: Subject, kind: Kind, where: Where) -> List[Tuple[str, Any]]:
    """Returns as user properties what there is to say of a subject before it has an estimate."""
    hardware, configuration = where
    about = {"family": subject.family, "hardware": hardware, "configuration": configuration}
    return [(kind.parameter, subject.name), *about.items()]


def as_properties(comparison: Comparison) -> List[Tuple[str, Any]]:
    """Returns the row but for the model's name as user properties: plain values, which survive pytest-xdist."""
    return [(name, value) for name, value in asdict(comparison).items() if name != "model"]
