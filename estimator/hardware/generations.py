"""What a GPU's compute capability and its kind of memory imply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping


@dataclass(frozen=True)
class Generation:
    """The SMs of a compute capability.

    FLOP per clock and SM in FP32, TF32, FP16 and INT8 (dense, on tensor cores where there are any that take the type),
    the threads that an SM holds, its shared memory in KiB; which constants of public GPUs are its own, by what these
    depend on: the kind of FP32 cores, the instructions of the tensor cores, the process, which says how much power
    arithmetic takes ("" where a module's clocks keep to its power by themselves).
    """

    fp32: int
    tf32: int
    fp16: int
    int8: int
    threads: int
    shared_kib: int
    cores: str
    tensor_cores: str
    process: str

    @property
    def has_int8(self) -> bool:
        """Whether tensor cores take INT8; else a builder that may use either chooses FP16."""
        return self.int8 > self.fp16

    @property
    def variants(self) -> Mapping[str, str]:
        """Returns the variant of each constant that has one for each kind of SM or process."""
        process = self.process or "12nm"
        return {
            "fp32_core_efficiency": self.cores,
            "tensor_core_convolution_efficiency": self.tensor_cores,
            "fp32_watts_per_tflop": process,
            "tensor_core_watts_per_tflop": process,
        }


GENERATIONS: Mapping[str, Generation] = {
    "7.0": Generation(128, 128, 1024, 512, 2048, 96, "64 cores", "warp", "12nm"),
    "7.2": Generation(128, 128, 1024, 2048, 2048, 96, "64 cores", "warp", ""),
    "7.5": Generation(128, 128, 1024, 2048, 1024, 64, "64 cores", "warp", "12nm"),
    "8.0": Generation(128, 1024, 2048, 4096, 2048, 164, "64 cores", "warp", "7nm"),
    "8.6": Generation(256, 512, 1024, 2048, 1536, 100, "128 shared cores", "warp", "8nm"),
    "8.7": Generation(256, 1024, 2048, 4096, 1536, 164, "128 shared cores", "warp", ""),
    "8.9": Generation(256, 512, 1024, 2048, 1536, 100, "128 shared cores", "warp", "5nm"),
    "9.0": Generation(256, 2048, 4096, 8192, 2048, 228, "128 cores", "warp group", "5nm"),
    "10.0": Generation(256, 4096, 8192, 16384, 2048, 228, "128 cores", "warp group", "4NP"),
    "11.0": Generation(256, 4096, 8192, 16384, 1536, 228, "128 cores", "warp group", ""),
    "12.0": Generation(256, 512, 1024, 2048, 1536, 100, "128 shared cores", "warp", "5nm"),
}
"""By compute capability.

FLOP from NVIDIA's data sheets of the professional boards: advertised rate / (SMs x boost clock); GeForce boards of 7.5
and later, and the A10G, have tensor cores of half that rate (FP16 accumulated in FP32, and TF32), which their profiles
say. INT8 is twice FP16, of 7.0 what DP4A gives. TF32 of 7.x is FP32's: its tensor cores have none. Threads and shared
memory from the CUDA C++ Programming Guide, technical specifications; half of the 128 cores of 8.6, 8.7, 8.9 and 12.0
share their path with INT32 (white papers of GA102 and AD102). A warp group's instructions (9.0 and later) are not those
of convolutions, which run Ampere's.
"""
DRAM_EFFICIENCY: Mapping[str, float] = {
    **dict.fromkeys(("HBM2", "HBM2e", "HBM3", "HBM3e"), 0.91),
    **dict.fromkeys(("GDDR6", "GDDR6X", "GDDR7"), 0.92),
    **dict.fromkeys(("GDDR6 with ECC", "GDDR7 with ECC"), 0.76),
    **dict.fromkeys(("LPDDR4X", "LPDDR5", "LPDDR5X"), 0.93),
}
"""The share of its peak that streams of more than 1 ms reach, by kind of memory.

HBM 0.85 to 0.92 of seven boards, GDDR with ECC 0.74 to 0.78 of T4, A10G and L40S (sitar-lab/NeuSight 6945927 and
ScalingIntelligence/KernelBench 7dd9cfa, elementwise kernels); GDDR without 0.85 to 0.94 (ProjectPhysX/FluidX3D,
clpeak); LPDDR 0.93 of 12 modes of Orin boards (branes-ai/graphs b6c5e82) and 0.95 of a Jetson Thor.
"""


def implied_facts(capability: str) -> Dict[str, float]:
    """Returns the FLOP per clock and SM that a compute capability implies, by the name of the fact."""
    own = GENERATIONS[capability]
    found = {"fp32": own.fp32, "tf32": own.tf32, "fp16": own.fp16}
    return {f"{arithmetic}_flops_per_clock_per_sm": float(flops) for arithmetic, flops in found.items()}
