"""Registers the fixture `latency` and its options."""

pytest_plugins = ["estimator.suite.plugin"]
