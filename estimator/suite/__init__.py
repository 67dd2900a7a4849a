"""The pytest side of golden-latency: options, recorded measurements, goldens, hooks."""
