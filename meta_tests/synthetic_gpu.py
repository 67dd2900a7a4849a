"""A GPU that is synthetic: one stream with a queue, a kernel that sleeps, events, and a host; only they move its clock.

Its host is slower with other layers in between than with one layer again and again, as real ones are. What a kernel
takes follows the formula with other constants than the profile's, and is off by some percent of its own.
"""

from __future__ import annotations

import itertools
import math
import random
import zlib
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import torch

from estimator.cost.columns import kernel_columns, op_columns
from estimator.cost.price import price
from estimator.hardware.quantities import HOST_CONSTANTS
from estimator.measure import behind_sleep, built_blocks, chain_times
from estimator.measure.built_blocks import COPIES
from estimator.schedule import schedule
from estimator.subjects.chains import lower_layers
from estimator.target import resolve

QUEUE = 1024
"""Launches that wait; another one waits itself until one of them has run."""
LAUNCHES = {"convolution": 4}
"""Of one kernel: cuDNN converts input, weights and output."""
AGAIN = 1.5
"""How many times as fast a host is with the layer it has just run."""
HOST_FACTORS, DEVICE_FACTORS = (0.8, 1.3, 0.7, 1.4, 0.75), (0.6, 1.5, 0.75, 1.4)
"""Of the profile's constants, one after another, as far as its priors think possible."""
EVENT_US, CALL_NOISE, KERNEL_NOISE = 10.0, 0.03, 0.08
SOFTWARE = "Python 3.10.12, torch 2.5.0, torchvision 0.20.0, driver R36 (release), REVISION: 4.0, GCID: 1"
ENVIRONMENT = f"""
from estimator.measure.device import choice, environment

choice.has_gpu = lambda *_: True
environment.installed_software = lambda _: environment.software_in({SOFTWARE!r})
environment.driver_version = lambda _: {SOFTWARE.split("driver ")[1]!r}
environment.describe_environment = lambda _: {{
    "name": NAME, "memory_gib": 64, "python": "3.10.12", "torch": "2.5.0", "torchvision": "0.20.0", "cuda": "12.6",
    "threads": 1, "switches": {{"mkldnn": "True"}}, "variables": {{}},
}}

from estimator.measure import baseline, device_session
from estimator.measure.device.nvidia import TorchReader

baseline.driver_version = environment.driver_version
device_session.nvidia_reader = TorchReader
device_session.is_jetson = lambda: False
"""
"""Source that makes this machine the board called NAME, with that software."""
MEASURED = f"""
import sys
from pathlib import Path

if b"estimator.measure" in Path("/proc/self/cmdline").read_bytes().split(b"\\0"):
    sys.path.append({str(Path(__file__).parents[1])!r})
    from meta_tests.synthetic_gpu import Gpu

    Gpu(HARDWARE).install()
"""
"""Source that gives a process which measures the synthetic GPU of the board HARDWARE."""


def source_of(hardware):
    """The source of a machine with this GPU."""
    return f"HARDWARE, NAME = {hardware!r}, {hardware.replace('-', ' ')!r}\n{ENVIRONMENT}\n{MEASURED}"


def constants_of(profile):
    """What the profile's constants are on the synthetic GPU of that board, none of them on a bound."""
    host, device = itertools.cycle(HOST_FACTORS), itertools.cycle(DEVICE_FACTORS)
    found = {}
    for name, c in profile.constants.items():
        factor = next(host if name in HOST_CONSTANTS else device)
        if name not in HOST_CONSTANTS:
            factor = min(max(factor, math.exp(-c.prior_sigma)), math.exp(c.prior_sigma))
        found[name] = min(max(factor * c.value, 1.2 * c.lower), 0.85 * c.upper)
    return found


class Gpu:
    """The device, its stream and its host."""

    def __init__(self, hardware):
        self.target = resolve(hardware)
        self.constants = constants_of(self.target.profile)
        self.now_us = self.free_us = 0.0
        self.waiting, self.blocked, self.sleeps, self.ran, self._costs = deque(), 0, [], None, {}
        self._noise = random.Random(3)

    def spend(self, us):
        self.now_us += us

    def launch(self, us):
        """Puts something in the stream and returns when it ends."""
        while self.waiting and self.waiting[0] <= self.now_us:
            self.waiting.popleft()
        if len(self.waiting) == QUEUE:
            self.now_us, self.blocked = self.waiting.popleft(), self.blocked + 1
        self.free_us = max(self.free_us, self.now_us) + us
        self.waiting.append(self.free_us)
        return self.free_us

    def synchronize(self):
        self.now_us = max(self.now_us, self.free_us)

    def sleep(self, cycles):
        self.sleeps.append(cycles)
        self.launch(cycles / self.target.mode.gpu_mhz)

    def event(self, enable_timing=False):
        return Event(self)

    def run(self, layer, lowered):
        """Issues the ops of a layer."""
        again, self.ran = AGAIN if layer is self.ran else 1.0, layer
        for op in lowered:
            host_us, kernels_us = self.costs_us(op)
            self.spend(host_us / again * math.exp(self._noise.gauss(0, CALL_NOISE)))
            for kernel, us in zip(op.kernels, kernels_us):
                for _ in range(LAUNCHES.get(kernel.kind, 1) - 1):
                    self.launch(0.0)
                self.launch(us)

    def costs_us(self, op):
        """What an op costs the host, and each of its kernels the device."""
        if op not in self._costs:
            costs = price(op_columns([op]), kernel_columns([op]), self.target, self.constants)
            own = [us * _own(kernel) for us, kernel in zip(costs.device_us, op.kernels)]
            self._costs[op] = float(costs.host_us.sum()), own
        return self._costs[op]

    def latency_ms(self, lowered):
        """What a model takes."""
        kernels = kernel_columns(lowered)
        costs = price(op_columns(lowered), kernels, self.target, self.constants)
        own = [_own(kernel) for op in lowered for kernel in op.kernels]
        end_us = schedule(costs.host_us, costs.device_us * own, kernels.op, early_us=costs.early_us).end_us
        return (end_us + costs.overhead_us) / 1e3

    def build_block(self, block, device):
        """In place of a block of real layers."""
        assert device == "cuda"
        return Source(self), [[Layer(self, ops) for ops in lower_layers(block)] for _ in range(COPIES)]

    def install(self, put=setattr):
        """Puts the GPU in the place of torch's and its clock in that of the time, by `put` as by `setattr`."""
        for name, stands_for in (("Event", self.event), ("_sleep", self.sleep), ("synchronize", self.synchronize)):
            put(torch.cuda, name, stands_for)
        put(behind_sleep, "build_block", self.build_block)
        now = {"perf_counter_ns": lambda: round(1e3 * self.now_us), "perf_counter": lambda: self.now_us / 1e6}
        for module in (behind_sleep, built_blocks, chain_times):
            put(module, "time", SimpleNamespace(**now))
        return self


def _own(kernel):
    return math.exp(random.Random(zlib.crc32(repr(kernel).encode())).gauss(0, KERNEL_NOISE))


class Event:
    def __init__(self, gpu):
        self._gpu = gpu

    def record(self):
        self._gpu.spend(EVENT_US)
        self.at_us = self._gpu.launch(0.0)

    def query(self):
        return self.at_us <= self._gpu.now_us

    def elapsed_time(self, end):
        return (end.at_us - self.at_us) / 1e3


class Source:
    """An input that takes time to copy and none to look at."""

    def __init__(self, gpu):
        self._gpu = gpu

    def clone(self):
        self._gpu.spend(5.0)
        self._gpu.launch(5.0)
        return self


class Layer(torch.nn.Module):
    def __init__(self, gpu, lowered):
        super().__init__()
        self._gpu, self._lowered = gpu, lowered

    def forward(self, x):
        self._gpu.run(self, self._lowered)
        return x
