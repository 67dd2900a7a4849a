"""Op stream to kernels: what one ATen op makes the host do and the device run.

An op dispatches once itself and once more for each ATen op that its C++ implementation calls (`calls`): a convolution's
bias is such a call, and so are the products and the softmax inside the multi-head-attention fast path. Each launches
kernels; a view launches none.
"""

from . import (  # noqa: F401  (importing them registers their rules)
    attention,
    convolution,
    detection,
    host_reads,
    linear_algebra,
    pooling,
    product,
    recurrent,
    stream,
)
from .kernels import Kernel, Lowered, Product, Window, stream_kernel
from .product import activations_kernel, weights_kernel
from .rules import NO_RULES, Rules, known_ops, lower, rule

__all__ = [
    "NO_RULES",
    "Kernel",
    "Lowered",
    "Product",
    "Rules",
    "Window",
    "activations_kernel",
    "known_ops",
    "lower",
    "rule",
    "stream_kernel",
    "weights_kernel",
]
