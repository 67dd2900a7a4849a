"""Each configuration that has goldens, all its models and patterns at once: `pytest --every-configuration`."""

import pytest


@pytest.mark.every_configuration
def test_configuration(configuration, latency):
    latency.check_configuration(configuration)
