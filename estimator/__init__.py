"""Predicts how long one eager forward pass of a PyTorch model takes on a device, without the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (
    CalibrationError,
    CaptureError,
    GoldenLatencyError,
    LoweringError,
    ProfileError,
    RecordError,
    UsageError,
)

if TYPE_CHECKING:
    from .pipeline import Estimate, Span, estimate
    from .target import Target, resolve

__all__ = [
    "CalibrationError",
    "CaptureError",
    "Estimate",
    "GoldenLatencyError",
    "LoweringError",
    "ProfileError",
    "RecordError",
    "Span",
    "Target",
    "UsageError",
    "estimate",
    "resolve",
]


def __getattr__(name: str) -> Any:
    """The estimator itself imports torch, which takes seconds: only when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import pipeline, target
    from .missing_operators import declare_missing_operators

    declare_missing_operators()
    return getattr(target if name in ("Target", "resolve") else pipeline, name)
