"""What the formulas of a GPU need of a board in a power mode at a precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping

from ..hardware.generations import GENERATIONS, Generation
from ..runtimes import TENSORRT
from ..target import Target


@dataclass(frozen=True)
class Rates:
    """What the formulas need of a board in a power mode at a precision; rates per microsecond.

    `tensor_flops_per_clock_per_sm` are those of FP16: how fast tensor cores ask for operands. `power_w` is what the
    board may take, infinite where its clocks are set to keep within it.
    """

    constants: Mapping[str, float]
    generation: Generation
    cpu_kcycles_per_us: float
    gpu_kcycles_per_us: float
    sms: int
    bytes_per_us: float
    l2_bytes: float
    fp32_flops_per_us_per_sm: float
    product_flops_per_us_per_sm: float
    convolution_flops_per_us_per_sm: float
    tensor_flops_per_clock_per_sm: float
    products_on_tensor_cores: bool
    convolutions_on_tensor_cores: bool
    power_w: float
    cudnn: float
    event_pair_us: float

    @property
    def clocks_per_us(self) -> float:
        """Returns the clocks of the GPU in a microsecond."""
        return 1e3 * self.gpu_kcycles_per_us

    @property
    def memory_latency_us(self) -> float:
        """Returns the time from a load to its use: on the chip in cycles of the GPU, in DRAM at any clock."""
        c = self.constants
        return c["memory_latency_kcycles"] / self.gpu_kcycles_per_us + c["memory_latency_ns"] / 1e3

    @property
    def elements_per_us(self) -> float:
        """Returns what all SMs move whose threads load or store one element at a time (Little's law)."""
        return self.sms * self.generation.threads / self.memory_latency_us

    @property
    def l2_bytes_per_us(self) -> float:
        """Returns what all SMs together draw from the L2; never less than from DRAM."""
        from_l2 = self.sms * self.clocks_per_us * self.constants["l2_bytes_per_clock_per_sm"]
        return max(from_l2, self.bytes_per_us)


def rates_of(target: Target, constants: Mapping[str, float]) -> Rates:
    """Returns the rates; arithmetic peaks are SMs x FLOP per clock and SM x clock (design facts of the profile)."""
    profile, mode = target.profile, target.mode
    convolutions = target.precision.convolutions
    products = convolutions if target.runtime == TENSORRT else target.precision.products  # an engine has one switch
    generation, cpu = GENERATIONS[profile.compute_capability], mode.cpu_mhz / 1e3

    def per_clock(arithmetic: str) -> float:
        if arithmetic == "int8" and generation.has_int8:
            return float(generation.int8)
        return profile.fact(f"{'fp16' if arithmetic in ('bf16', 'int8') else arithmetic}_flops_per_clock_per_sm")

    def on_tensor_cores(arithmetic: str) -> bool:
        return arithmetic in ("fp16", "bf16", "int8") or (arithmetic == "tf32" and generation.tf32 > generation.fp32)

    return Rates(
        constants=constants,
        generation=generation,
        cpu_kcycles_per_us=cpu,
        gpu_kcycles_per_us=mode.gpu_mhz / 1e3,
        sms=mode.sms,
        bytes_per_us=mode.bandwidth_gb_s * 1e3,
        l2_bytes=profile.fact("l2_mib") * 2**20,
        fp32_flops_per_us_per_sm=per_clock("fp32") * mode.gpu_mhz,
        product_flops_per_us_per_sm=per_clock(products) * mode.gpu_mhz,
        convolution_flops_per_us_per_sm=per_clock(convolutions) * mode.gpu_mhz,
        tensor_flops_per_clock_per_sm=per_clock("fp16"),
        products_on_tensor_cores=on_tensor_cores(products),
        convolutions_on_tensor_cores=on_tensor_cores(convolutions),
        power_w=mode.watts if mode.watts and generation.process else math.inf,
        cudnn=profile.fact("cudnn"),
        event_pair_us=profile.fact("event_pair_kcycles") / cpu,
    )
