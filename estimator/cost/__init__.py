"""Ops and kernels to time: one module per kind of processor, and `price`, which picks it."""
