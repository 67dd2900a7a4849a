"""Model to op stream: run a copy of the model on tensors that have a shape but no data, and write down every ATen op.

A tensor whose values are known (a mask, a buffer, a constant) keeps them, and ops on such tensors alone are computed:
most code that asks for a value asks for one of these. Where the values of an activation decide, the copy runs on the
real weights and inputs, if there are some.
"""

from .forward import call_arguments, capture, capture_in_modules

__all__ = ["call_arguments", "capture", "capture_in_modules"]
