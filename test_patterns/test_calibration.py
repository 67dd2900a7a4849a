"""From measured micro-benchmarks to a calibrated profile: `--calibrate`, on the device of `--hardware`."""

import pytest


@pytest.mark.calibrates
def test_calibration(latency):
    latency.check_all()
