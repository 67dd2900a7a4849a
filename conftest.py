"""Glue: hands pytest the suite's hooks, and pytest's own plugin tester to the tests of the suite."""

pytest_plugins = ("estimator.suite.plugin", "pytester")
