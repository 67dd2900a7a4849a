"""Glue: registers the suite's hooks, and pytest's own plugin tester for the tests of the suite."""

pytest_plugins = ("estimator.suite.plugin", "pytester")
