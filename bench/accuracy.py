"""The tables of docs/accuracy.md, from goldens and records."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from estimator.calibration.evidence import load_evidence
from estimator.compare import BANDS_PCT
from estimator.estimates import Estimates
from estimator.figures import percent
from estimator.goldens.repository import Repository, golden_root
from estimator.hardware.boards import DEFAULT_HARDWARE, load_profile
from estimator.hardware.profile import Constant
from estimator.hardware.quantities import FACTS
from estimator.interval import EXTRAPOLATION, MODEL_UNCERTAINTY, extrapolated
from estimator.measure.regression import spread_pct
from estimator.records.kinds import MODEL_KIND, PATTERN_KIND, Kind
from estimator.records.record import Record, load_record
from estimator.report.comparisons import comparison_table
from estimator.report.page import Row
from estimator.report.table import Table, left, right
from estimator.runtimes import EAGER
from estimator.subjects.registry import subject_names
from estimator.subjects.zoo import FAMILIES, MODELS
from estimator.target import Target, calibrated_target


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


def family_table(found: Measured) -> List[str]:
    """Returns mean and largest |error| by family, as fitted and held out, with the spread between the runs."""
    titles = ("Spread of runs", "In-sample", "Without the model", "Without the family", "Bias")
    families = {name: [row for row in found.rows if row.comparison.family == name] for name in FAMILIES}
    rows = [_family_row(name, rows) for name, rows in {**families, "**all**": found.rows}.items() if rows]
    figures = (right(f"{title} (%)") for title in titles)
    return Table((left("Family"), right("Models"), *figures), rows).markdown()


def _family_row(name: str, rows: Sequence[Row]) -> Sequence[Any]:
    errors = [[pct for pct in column if pct is not None] for column in zip(*map(_errors, rows))]
    bias = percent(statistics.fmean(errors[-1]) if errors[-1] else None, "+", "")
    spread = percent(spread_pct(*(row.runs_ms for row in rows)), unit="")
    return name, len(rows), spread, *map(_mean_and_largest, errors), bias


def _mean_and_largest(errors_pct: Sequence[float]) -> str:
    sizes = [abs(error) for error in errors_pct]
    return f"{statistics.fmean(sizes):.1f}, {max(sizes):.1f}" if sizes else "-"


def _errors(row: Row) -> Tuple[Optional[float], ...]:
    return row.comparison.error_pct, row.without_model_pct, row.without_family_pct


def left_out_table(found: Measured) -> List[str]:
    """Returns the mean error of models that the fit has not seen, and how many the 80 % interval holds."""
    kinds = {"a model": [row.without_model_pct for row in found.rows]}
    kinds["a family of models"] = [row.without_family_pct for row in found.rows]
    columns = left("left out"), right("rows"), right("mean |error|", percent), right("the 80 % interval holds")
    return Table(columns, [(title, *_held_out(found, errors)) for title, errors in kinds.items()]).markdown()


def _held_out(found: Measured, errors_pct: Sequence[Optional[float]]) -> Tuple[int, float, int]:
    known = [
        (abs(pct), row.comparison.interval_pct or 0.0) for row, pct in zip(found.rows, errors_pct) if pct is not None
    ]
    return len(known), statistics.fmean(size for size, _ in known), sum(size <= within for size, within in known)


def example_table(found: Measured, models: Sequence[str]) -> Iterator[str]:
    """Yields what the main job prints, as far as these models and its header go, and what its columns mean."""
    table = comparison_table([row.comparison for row in found.rows if row.comparison.model in models])
    lines = list(table.text(gap=1, ruled=True))
    record = f"golden/{found.target.hardware}/{found.target.label}/{MODEL_KIND.record}"
    runs = max(len(row.runs_ms) for row in found.rows)
    yield "```text"
    yield f"$ pytest --hardware {found.target.hardware}"
    yield f"hardware: {found.target.hardware}, {found.target.in_words}"
    yield f"record: {record}: Measured: median of {runs} recorded runs, ..."
    yield from ("device: recorded (no NVIDIA GPU here)", "...", *lines[:3])
    yield "\n...\n".join(line for line in lines if line.startswith("    "))
    yield "```"
    bands = [f"{rating} below {pct:g} %" for rating, pct in BANDS_PCT.items() if math.isfinite(pct)]
    yield f"- **Rating**, by |error|: {', '.join(bands)}, POOR from there."


def configuration_table(root: Path) -> List[str]:
    """Returns what was measured in each configuration and what widens its interval, equal ones in one row."""
    alike: Dict[Tuple[str, str, str], Dict[str, List[str]]] = {}
    for target in Repository.at(root).targets():
        counts = [len(record_of(root, target, kind).runs_ms) for kind in (MODEL_KIND, PATTERN_KIND)]
        figures = ", ".join(map(str, counts)) if any(counts) else "none"
        wider = "; ".join(map(_penalty_text, extrapolated(target))) or "-"
        alike.setdefault((_origin(target), figures, wider), {}).setdefault(target.hardware, []).append(target.label)
    columns = (left("Configurations"), left("Constants"), right("Models, patterns measured"))
    rows = [
        ("; ".join(f"{board} {', '.join(of)}" for board, of in boards.items()), *row) for row, boards in alike.items()
    ]
    return Table((*columns, left("Interval widened for (1 sd)")), rows).markdown()


def _origin(target: Target) -> str:
    if target.runtime != EAGER:
        return "of an engine"
    return f"of {target.profile.transferred_from}" if target.profile.transferred_from else "its own"


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


def constants_table(constants: Iterable[Constant]) -> List[str]:
    """Returns each constant with value, unit and uncertainty; bounds, prior and source stand beside the constant."""
    columns = (left("Constant"), right("Value", _figure), left("Unit"), right("Uncertainty (%)", _figure))
    return Table(columns, [(f"`{c.name}`", c.value, c.unit, c.uncertainty_pct) for c in constants]).markdown()


def facts_table(profile_name: str = DEFAULT_HARDWARE) -> List[str]:
    """Returns each fact with value and unit."""
    facts = load_profile(profile_name).facts.items()
    columns = (left("Fact"), right("Value", _figure), left("Unit"))
    return Table(columns, [(f"`{name}`", fact.value, fact.unit) for name, fact in facts]).markdown()


def _figure(value: float) -> str:
    return f"{value:g}"


def known_facts_table() -> List[str]:
    """Returns every fact that a profile may give, and what holds where it does not."""
    columns = (left("Fact"), left("Unit"), left("What it is"), left("Where none is given"))
    defaults = {name: "refused" if fact.default is None else f"{fact.default:g}" for name, fact in FACTS.items()}
    rows = [(f"`{name}`", fact.bounds.unit, fact.meaning, defaults[name]) for name, fact in FACTS.items()]
    return Table(columns, rows).markdown()


def labels_of(rows: Sequence[Row]) -> Mapping[str, str]:
    """Returns by model what its mark in the parity plot says."""
    return {row.comparison.model: row.label for row in rows}


def uncertainty_table() -> List[str]:
    """Returns how far the price of an op may be off that no calibration has seen."""
    columns = (left("Op"), right("Host, 1 sd", _factor), right("Device, 1 sd", _factor))
    return Table(columns, [(name, known.host, known.device) for name, known in MODEL_UNCERTAINTY.items()]).markdown()


def _factor(sd: float) -> str:
    return f"x/÷ {math.exp(sd):.2f}" if sd else "-"
