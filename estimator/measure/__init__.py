"""Measures a model's latency on the device at hand: protocol, fresh processes, the device's state, verdicts."""
