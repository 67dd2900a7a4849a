"""Measures a model's latency on a device: protocol, fresh processes, the device's state, verdicts."""
