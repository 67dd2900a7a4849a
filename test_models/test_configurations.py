"""Each configuration that has goldens, all its models and patterns at once: `pytest --every-configuration`."""

import pytest


@pytest.mark.every_configuration
def test_configuration(request, configuration, latency):
    latency.session.check_configuration(request, configuration)
