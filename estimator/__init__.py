"""Predicts how long one eager forward pass of a PyTorch model takes on a device, without the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import CalibrationError, CaptureError, GoldenLatencyError, ProfileError, RecordError, UsageError

if TYPE_CHECKING:
    from .configuration import Configuration
    from .pipeline import Estimate, Span, estimate

__all__ = [
    "CalibrationError",
    "CaptureError",
    "Configuration",
    "Estimate",
    "GoldenLatencyError",
    "ProfileError",
    "RecordError",
    "Span",
    "UsageError",
    "estimate",
]


def __getattr__(name: str) -> Any:
    """The estimator itself imports torch, which takes seconds: only when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import pipeline
    from .subjects._torchvision import declare_missing_operators

    declare_missing_operators()
    return getattr(pipeline, name)
