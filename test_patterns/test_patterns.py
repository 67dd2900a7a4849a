"""What the models are made of, one piece at a time: each pattern's estimate against its golden and its measurement."""

import pytest

from estimator.subjects.patterns import PATTERNS


@pytest.mark.parametrize("pattern", [pytest.param(pattern, id=pattern.name) for pattern in PATTERNS])
def test_pattern(pattern, latency):
    latency.check(pattern)
