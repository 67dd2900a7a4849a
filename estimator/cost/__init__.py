"""Ops and kernels to time: one module per kind of processor, and the one door to both."""
