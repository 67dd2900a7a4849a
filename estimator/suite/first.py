"""Imported before all else of the suite: what is not installed ends pytest in one line, and no traceback."""

from __future__ import annotations

import pytest

from ..errors import UsageError
from ..needed import SESSION, refuse_missing

try:
    refuse_missing("the suite", SESSION)
except UsageError as error:
    raise pytest.UsageError(str(error)) from None
