"""Forward passes priced together: the same figures as each alone."""

from __future__ import annotations

from typing import Any

import pytest

from estimator.cost.price import price
from estimator.cost.shared import SharedPrices
from estimator.errors import CaptureError
from estimator.estimates import Estimates
from estimator.lower import lower
from estimator.subjects.zoo import find_models
from estimator.target import resolve
from meta_tests.estimating import ESTIMATES

MODELS = find_models(["resnet18", "mobilenet_v2", "vit_b_32"])


@pytest.mark.parametrize(
    ("runtime", "precision"), [("eager", "fp32"), ("eager", "fp16"), ("tensorrt", "fp16"), ("tensorrt", "int8")]
)
@pytest.mark.parametrize("hardware", ["Jetson-Orin-AGX", "NVIDIA-T4", "NVIDIA-H200", "NVIDIA-V100"])
def test_estimates_made_together_are_those_made_alone(hardware, runtime, precision):
    target, together, alone = resolve(hardware, precision=precision, runtime=runtime), Estimates(), Estimates()
    together.together(MODELS, target)
    for model in MODELS:
        assert together.estimate(model, target) == alone.estimate(model, target)


def test_what_bounds_each_kernel_is_told_as_for_a_pass_alone():
    target, together, alone = resolve("NVIDIA-T4"), Estimates(), Estimates()
    together.together(MODELS, resolve("NVIDIA-H200"))
    found, expected = (estimates.forward(MODELS[0], target).costs.limits() for estimates in (together, alone))
    assert found.limit.tolist() == expected.limit.tolist()
    assert found.least_us.tolist() == expected.least_us.tolist()


def test_where_only_the_host_s_constants_move_no_kernel_is_priced_again(monkeypatch):
    target, counts = resolve("NVIDIA-T4"), []
    together = SharedPrices([lower(ESTIMATES.ops(model, target)) for model in MODELS])

    def counted(ops: Any, kernels: Any, *others: Any) -> Any:
        counts.append(len(kernels.op))
        return price(ops, kernels, *others)

    monkeypatch.setattr("estimator.cost.shared.price", counted)
    values = target.profile.values()
    before = together.costs(0, target, values)
    after = together.costs(0, target, {**values, "dispatch_kcycles": 2 * values["dispatch_kcycles"]})
    together.costs(0, target, {**values, "kernel_kcycles": 2 * values["kernel_kcycles"]})
    assert [count > 0 for count in counts] == [True, False, True]
    assert after.device_us.tolist() == before.device_us.tolist()
    assert after.host_us.sum() > 1.5 * before.host_us.sum()


def test_a_pass_that_is_known_already_is_kept():
    target, estimates = resolve("NVIDIA-T4"), Estimates()
    first = estimates.forward(MODELS[0], target)
    estimates.together(MODELS, target)
    assert estimates.forward(MODELS[0], target).prices is first.prices is None
    assert estimates.forward(MODELS[1], target).prices is not None


def test_a_model_that_cannot_be_captured_does_not_take_the_others_with_it(monkeypatch):
    target, estimates = resolve("NVIDIA-T4"), Estimates()
    of_others = estimates.captured

    def captured(subject: Any, target: Any) -> Any:
        if subject is MODELS[0]:
            raise CaptureError("its ops depend on data")
        return of_others(subject, target)

    monkeypatch.setattr(estimates, "captured", captured)
    estimates.together(MODELS, target)
    assert estimates.forward(MODELS[1], target).prices is not None
    with pytest.raises(CaptureError, match="depend on data"):
        estimates.forward(MODELS[0], target)


def test_each_kernel_is_priced_once_for_all_passes_and_again_on_another_target(monkeypatch):
    counts = []

    def counted(ops: Any, kernels: Any, *others: Any) -> Any:
        counts.append(len(kernels.op))
        return price(ops, kernels, *others)

    monkeypatch.setattr("estimator.cost.shared.price", counted)
    target = resolve("NVIDIA-T4")
    lowered = [lower(ESTIMATES.ops(model, target)) for model in MODELS]
    together = SharedPrices([*lowered, lowered[0]])
    kernels = sum(len(op.kernels) for ops in lowered for op in ops)
    values = target.profile.values()
    first, again = (together.costs(index, target, values).device_us.tolist() for index in (0, 3))
    assert first == again
    assert len(counts) == 1
    assert counts[0] < kernels / 2
    together.costs(0, resolve("NVIDIA-H200"), values)
    assert len(counts) == 2
