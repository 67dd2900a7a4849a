"""The product: each model's estimate against its golden and its measurement, and the table of them all."""

import pytest

from estimator.subjects.zoo import MODELS


@pytest.mark.parametrize("model", [pytest.param(model, id=model.name) for model in MODELS])
def test_model(model, latency):
    latency.check(model)


@pytest.mark.against_baseline
def test_baseline(request, latency):
    latency.session.check_baselines(request)


@pytest.mark.whole_zoo
def test_validation_table(request, latency):
    latency.session.check_table(request)


@pytest.mark.inputs
def test_inputs(request, latency):
    latency.session.check_inputs(request)
