"""The op streams and estimates that the tests of one process share."""

from estimator.estimates import Estimates

ESTIMATES = Estimates()
op_stream = ESTIMATES.streams.ops
validate = ESTIMATES.compared
