"""What can go wrong, one class per stage, so that a failure for the wrong reason is told apart."""

from __future__ import annotations


def one_line(error: Exception) -> str:
    """Returns an error's text in one line; of a file that cannot be read or written its path, and why."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def one_line_with_type(error: BaseException) -> str:
    """Returns the type and the text, in one line, of an error that code of others raised."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")


class GoldenLatencyError(Exception):
    """Any error this package raises on purpose; its text is one line, meant to be read by the user."""


class UsageError(GoldenLatencyError):
    """A name or value the user gave is not known; the text names it and the known choices."""


class ProfileError(UsageError):
    """A hardware profile is damaged or physically impossible; the text names file and key."""


class RecordError(UsageError):
    """A golden or measurement file is damaged; the text names file and key."""


class CaptureError(GoldenLatencyError):
    """A model's op stream cannot be captured without running it on real data."""


class LoweringError(GoldenLatencyError):
    """An op computes in a type whose rate no profile knows; the text names both."""


class CalibrationError(GoldenLatencyError):
    """A fit did not converge, or its evidence is insufficient."""


class MeasurementError(GoldenLatencyError):
    """A model could not be measured: it does not fit, failed, or killed its process."""


class MeasurementRefused(GoldenLatencyError):
    """The device is not in a state in which a measurement means anything; the text names the reasons."""
