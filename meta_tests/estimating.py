"""The op streams and estimates that the tests of one process share."""

from typing import Any, Tuple

from estimator.estimates import Estimates
from estimator.opstream import Op

ESTIMATES = Estimates()
validate = ESTIMATES.compared


def op_stream(*what: Any, **how: Any) -> Tuple[Op, ...]:
    """The ops of a subject, in batches of one and FP32 unless it is said."""
    return ESTIMATES.streams.ops(*what, **how)
