"""The tables of docs/accuracy.md, from goldens and records."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, Sequence

from estimator.calibration.evidence import load_evidence
from estimator.estimates import Estimates
from estimator.goldens.repository import Repository, golden_root
from estimator.hardware.boards import DEFAULT_HARDWARE, load_profile
from estimator.hardware.profile import Constant
from estimator.hardware.quantities import FACTS
from estimator.interval import EXTRAPOLATION, MODEL_UNCERTAINTY, extrapolated
from estimator.measure.regression import spread_pct
from estimator.page.content import Row
from estimator.records.kinds import MODEL_KIND, PATTERN_KIND, Kind
from estimator.records.record import Record, load_record
from estimator.subjects.registry import subject_names
from estimator.subjects.zoo import FAMILIES, MODELS
from estimator.target import Target, calibrated_target

_COLUMNS = ("error_pct", "without_model_pct", "without_family_pct")


@dataclass(frozen=True)
class Measured:
    """The rows of the models of a measured configuration, with the errors of fits that have not seen them."""

    target: Target
    record: Record
    rows: Sequence[Row]


def measured(root: Path) -> Measured:
    """Returns the configuration that the constants were fitted in."""
    target = calibrated_target(load_profile(DEFAULT_HARDWARE))
    folder = golden_root(root) / target.hardware / target.label
    record, held_out = record_of(root, target, MODEL_KIND), Repository.at(root).held_out_pct(folder)
    estimates = Estimates()
    rows = [
        Row(
            estimates.compared(model, target, record.median_ms(model.name)).comparison,
            record.runs_ms[model.name],
            held_out.get(model.name, {}).get("without_model_pct"),
            held_out.get(model.name, {}).get("without_family_pct"),
        )
        for model in MODELS
        if model.name in record.runs_ms
    ]
    return Measured(target, record, rows)


def record_of(root: Path, target: Target, kind: Kind) -> Record:
    """Returns a configuration's record; an empty one where nothing was measured."""
    return load_record(golden_root(root) / target.hardware / target.label / kind.record, subject_names())


def family_table(found: Measured) -> Iterator[str]:
    """Yields mean and largest |error| by family, as fitted and held out, with the spread between the runs."""
    titles = ("Spread of runs", "In-sample", "Without the model", "Without the family", "Bias")
    yield f"| Family | Models | {' | '.join(f'{title} (%)' for title in titles)} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for family in FAMILIES:
        rows = [row for row in found.rows if row.comparison.family == family]
        yield from [_family_row(family, rows)] if rows else []
    yield _family_row("**all**", found.rows)


def _family_row(name: str, rows: Sequence[Row]) -> str:
    errors = {column: _errors_pct(rows, column) for column in _COLUMNS}
    cells = [_mean_and_largest(found) for found in errors.values()]
    spread, biased = spread_pct(*(row.runs_ms for row in rows)), errors["without_family_pct"]
    shown_spread = "-" if spread is None else f"{spread:.1f}"
    bias = f"{statistics.fmean(biased):+.1f}" if biased else "-"
    return f"| {name} | {len(rows)} | {shown_spread} | " + " | ".join(cells) + f" | {bias} |"


def _mean_and_largest(errors_pct: Sequence[float]) -> str:
    sizes = [abs(error) for error in errors_pct]
    return f"{statistics.fmean(sizes):.1f}, {max(sizes):.1f}" if sizes else "-"


def _errors_pct(rows: Sequence[Row], column: str) -> List[float]:
    found = [row.comparison.error_pct if column == "error_pct" else getattr(row, column) for row in rows]
    return [error for error in found if error is not None]


def configuration_table(root: Path) -> Iterator[str]:
    """Yields what was measured in each configuration and what widens its interval, equal ones in one row."""
    yield "| Configurations | Constants | Models, patterns measured | Interval widened for (1 sd) |"
    yield "| --- | --- | ---: | --- |"
    alike: Dict[str, List[str]] = {}
    for target in Repository.at(root).targets():
        counts = [len(record_of(root, target, kind).runs_ms) for kind in (MODEL_KIND, PATTERN_KIND)]
        origin = f"of {target.profile.transferred_from}" if target.profile.transferred_from else "its own"
        figures = ", ".join(map(str, counts)) if any(counts) else "none"
        wider = "; ".join(map(_penalty_text, extrapolated(target))) or "-"
        alike.setdefault(f"{origin} | {figures} | {wider}", []).append(f"{target.hardware} {target.label}")
    yield from (f"| {', '.join(labels)} | {cells} |" for cells, labels in alike.items())


def _penalty_text(what: str) -> str:
    if what not in EXTRAPOLATION:
        return f"{what}: no evidence"
    known = EXTRAPOLATION[what]
    parts = [
        f"{pct:g} % of the {side}" for side, pct in (("host", 100 * known.host), ("device", 100 * known.device)) if pct
    ]
    return f"{what}: {', '.join(parts) or 'within fit and spread'}"


def evidence_line(root: Path) -> Iterator[str]:
    """Yields what the constants were fitted to, counted by kind, as a sentence."""
    target = calibrated_target(load_profile(DEFAULT_HARDWARE))
    records = (record_of(root, target, kind) for kind in (MODEL_KIND, PATTERN_KIND))
    counts = Counter(f"{item.group}s in {item.precision}" for item in load_evidence(target.hardware, *records))
    yield f"The constants were fitted to {', '.join(f'{count} {what}' for what, count in counts.items())}."


def constants_table(constants: Iterable[Constant]) -> Iterator[str]:
    """Yields each constant with value, unit and uncertainty; bounds, prior and source stand beside the constant."""
    yield "| Constant | Value | Unit | Uncertainty (%) |"
    yield "| --- | ---: | --- | ---: |"
    yield from (f"| `{c.name}` | {c.value:g} | {c.unit} | {c.uncertainty_pct:g} |" for c in constants)


def facts_table(profile_name: str = DEFAULT_HARDWARE) -> Iterator[str]:
    """Yields each fact with value and unit."""
    yield "| Fact | Value | Unit |"
    yield "| --- | ---: | --- |"
    for name, fact in load_profile(profile_name).facts.items():
        yield f"| `{name}` | {fact.value:g} | {fact.unit} |"


def known_facts_table() -> Iterator[str]:
    """Yields every fact that a profile may give, and what holds where it does not."""
    yield "| Fact | Unit | What it is | Where none is given |"
    yield "| --- | --- | --- | --- |"
    for name, fact in FACTS.items():
        default = "refused" if fact.default is None else f"{fact.default:g}"
        yield f"| `{name}` | {fact.bounds.unit} | {fact.meaning} | {default} |"


def labels_of(rows: Sequence[Row]) -> Mapping[str, str]:
    """Returns by model what its mark in the parity plot says."""
    return {row.comparison.model: row.label for row in rows}


def uncertainty_table() -> Iterator[str]:
    """Yields how far the price of an op may be off that no calibration has seen."""
    yield "| Op | Host, 1 sd | Device, 1 sd |"
    yield "| --- | ---: | ---: |"
    for name, known in MODEL_UNCERTAINTY.items():
        factors = (f"x/÷ {math.exp(sd):.2f}" if sd else "-" for sd in (known.host, known.device))
        yield f"| {name} | {' | '.join(factors)} |"
