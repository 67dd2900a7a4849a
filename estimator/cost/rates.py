"""What the formulas of a GPU need of a board in a power mode at a precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from ..target import Target


@dataclass(frozen=True)
class Rates:
    """What the formulas need of a board in a power mode at a precision; rates per microsecond."""

    constants: Mapping[str, float]
    cpu_kcycles_per_us: float
    gpu_kcycles_per_us: float
    sms: int
    bytes_per_us: float
    l2_bytes: float
    fp32_flops_per_us_per_sm: float
    product_flops_per_us_per_sm: float
    convolution_flops_per_us_per_sm: float
    products_on_tensor_cores: bool
    convolutions_on_tensor_cores: bool
    event_pair_us: float


def rates_of(target: Target, constants: Mapping[str, float]) -> Rates:
    """Returns the rates; arithmetic peaks are SMs x FLOP per clock and SM x clock (design facts of the profile)."""
    profile = target.profile
    mode = target.mode
    precision = target.precision
    cpu = mode.cpu_mhz / 1e3

    def peak(arithmetic: str) -> float:
        name = "fp16" if arithmetic == "bf16" else arithmetic
        return profile.fact(f"{name}_flops_per_clock_per_sm") * mode.gpu_mhz

    return Rates(
        constants=constants,
        cpu_kcycles_per_us=cpu,
        gpu_kcycles_per_us=mode.gpu_mhz / 1e3,
        sms=mode.sms,
        bytes_per_us=mode.bandwidth_gb_s * 1e3,
        l2_bytes=profile.fact("l2_mib") * 2**20,
        fp32_flops_per_us_per_sm=peak("fp32"),
        product_flops_per_us_per_sm=peak(precision.products),
        convolution_flops_per_us_per_sm=peak(precision.convolutions),
        products_on_tensor_cores=peak(precision.products) > peak("fp32"),
        convolutions_on_tensor_cores=peak(precision.convolutions) > peak("fp32"),
        event_pair_us=profile.fact("event_pair_kcycles") / cpu,
    )
