"""The product: each model's estimate against its golden and its measurement, and the table of them all."""

import pytest

from estimator.subjects.zoo import MODELS


@pytest.mark.parametrize("model", [pytest.param(model, id=model.name) for model in MODELS])
def test_model(model, validated, golden):
    golden.check(validated(model))


@pytest.mark.against_baseline
def test_baseline(golden):
    golden.check_baseline()


@pytest.mark.whole_zoo
def test_validation_table(validated_zoo, validation_report):
    validation_report.check(validated_zoo)
