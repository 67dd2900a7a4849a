"""Glue: registers the suite's hooks."""

pytest_plugins = ["estimator.suite.plugin"]
