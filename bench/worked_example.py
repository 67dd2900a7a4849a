"""One convolution priced by hand: the formulas of docs/method.md with figures, apart from the estimator's code."""

from __future__ import annotations

import math
from typing import Iterator, List, Tuple

from estimator.hardware.profile import PowerMode, Profile

CHANNELS, PIXELS, WINDOW = 64, 56, 3
TILES = ((128, 128), (128, 64), (64, 128), (64, 64))
_ITEM_BYTES = 4


class WorkedExample:
    """A convolution of 64 to 64 channels, 3 x 3, at 56 x 56 pixels, stride 1, without bias, FP32, batch 1; in us."""

    def __init__(self, profile: Profile, mode: PowerMode) -> None:
        self._mode = mode
        self._constants = profile.values()
        self._facts = {name: fact.value for name, fact in profile.facts.items()}
        self.m, self.n, self.k = PIXELS * PIXELS, CHANNELS, CHANNELS * WINDOW * WINDOW
        self._activation_bytes = CHANNELS * PIXELS * PIXELS * _ITEM_BYTES
        self._weight_bytes = CHANNELS * self.k * _ITEM_BYTES

    def constant(self, name: str) -> float:
        """Returns a constant of the board."""
        return self._constants[name]

    @property
    def host_us(self) -> float:
        """Returns the dispatch."""
        return self.constant("dispatch_kcycles") / (self._mode.cpu_mhz / 1e3)

    @property
    def warm_us(self) -> float:
        """Returns what reading the input and writing the output takes."""
        return 2 * self._activation_bytes / (self._mode.bandwidth_gb_s * 1e3 * self.constant("stream_efficiency"))

    @property
    def cold_us(self) -> float:
        """Returns what reading the weights takes."""
        return self._weight_bytes / (self._mode.bandwidth_gb_s * 1e3 * self.constant("weight_stream_efficiency"))

    @property
    def layout_us(self) -> float:
        """Returns what the conversions to NHWC and back take: by the memory, or by what SMs have in flight."""
        return self.constant("layout_passes") * max(self.warm_us, self.in_flight_us)

    @property
    def in_flight_us(self) -> float:
        """Returns what moving each element once takes by the elements that the SMs have in flight."""
        elements_per_us = self.constant("norm_elements_per_clock_per_sm") * self._mode.sms * self._mode.gpu_mhz
        return self._activation_bytes / _ITEM_BYTES / elements_per_us

    @property
    def rate(self) -> float:
        """Returns the FLOP that an SM does in a microsecond where nothing holds it up."""
        peak = self._facts["tf32_flops_per_clock_per_sm"] * self._mode.gpu_mhz
        return peak * self.constant("tensor_core_convolution_efficiency")

    def waves(self, a: int, b: int) -> Tuple[int, int]:
        """Returns the blocks of a tile, and the whole waves that they make."""
        blocks = math.ceil(self.m / a) * math.ceil(self.n / b)
        return blocks, math.ceil(blocks / self._mode.sms)

    def tiled_us(self, a: int, b: int) -> float:
        """Returns what the product takes in tiles of a x b."""
        reuse = a * b / (a + b)
        share = reuse / (reuse + self.constant("tile_half_elements"))
        depth = self.k + self.constant("reduction_fill_elements")
        waves = self.waves(a, b)[1] + self.constant("tensor_core_fill_waves")
        return waves * 2 * a * b * depth / (self.rate * share)

    @property
    def latency_us(self) -> float:
        """Returns what an empty kernel takes."""
        return self.constant("kernel_kcycles") / (self._mode.gpu_mhz / 1e3)

    @property
    def device_us(self) -> float:
        """Returns the kernel: arithmetic over memory, the conversions, and the latency of a kernel."""
        return self.overlapped_us + self.layout_us + self.latency_us

    @property
    def overlapped_us(self) -> float:
        """Returns the longer of arithmetic and memory, and of the shorter the share that is not hidden."""
        both_us = min(self.tiled_us(a, b) for a, b in TILES), self.warm_us + self.cold_us
        return max(both_us) + self.constant("unhidden_share") * min(both_us)

    @property
    def event_pair_us(self) -> float:
        """Returns what measuring a pass adds."""
        return self._facts["event_pair_kcycles"] / (self._mode.cpu_mhz / 1e3)

    @property
    def pass_ms(self) -> float:
        """Returns a forward pass of this one op, in ms."""
        return (self.host_us + self.device_us + self.event_pair_us) / 1e3

    def lines(self) -> Iterator[str]:
        """Yields the example as Markdown, each step with its figures."""
        size = f"{CHANNELS} to {CHANNELS} channels, {WINDOW} x {WINDOW}, at {PIXELS} x {PIXELS} pixels"
        yield f"A convolution of {size}, without a bias, FP32, batch 1, at {self._mode.name}."
        yield "Bytes per us are GB/s x 10^3; FLOP per us are FLOP per clock x MHz."
        yield ""
        yield f"1. Dispatch: {self._kcycles('dispatch_kcycles', self._cpu_ghz)} = **{self.host_us:.4g} us**."
        product = f"m = {PIXELS} x {PIXELS} = {self.m}, n = {self.n}, k = {CHANNELS} x {WINDOW} x {WINDOW} = {self.k}"
        yield f"2. As a product: {product}."
        yield from self._memory_lines()
        yield from self._tile_lines()
        yield from self._kernel_lines()
        ends = f"{self.host_us:.4g} + {self.device_us:.4g} us"
        pair = f"{self._facts['event_pair_kcycles']:g} kcycle / {self._cpu_ghz:g} GHz = {self.event_pair_us:.4g} us"
        yield f"7. Alone in a pass, the kernel starts when its op has been issued: {ends};"
        yield f"   a pair of events adds {pair}: **{self.pass_ms:.4g} ms**."

    @property
    def _cpu_ghz(self) -> float:
        return self._mode.cpu_mhz / 1e3

    def _kcycles(self, name: str, ghz: float) -> str:
        return f"{self.constant(name):g} kcycle / {ghz:g} GHz"

    def _memory_lines(self) -> Iterator[str]:
        bandwidth = f"{self._mode.bandwidth_gb_s:g} x 10^3"
        warm, cold = (self.constant(f"{name}stream_efficiency") for name in ("", "weight_"))
        yield f"3. Memory: input and output 2 x {self._activation_bytes} B / ({bandwidth} x {warm:g}) ="
        yield f"   {self.warm_us:.4g} us,"
        yield f"   weights {self._weight_bytes} B / ({bandwidth} x {cold:g}) = {self.cold_us:.4g} us;"
        yield f"   together {self.warm_us + self.cold_us:.4g} us."

    def _tile_lines(self) -> Iterator[str]:
        peak = f"{self._facts['tf32_flops_per_clock_per_sm']:g} x {self._mode.gpu_mhz:g}"
        efficiency = self.constant("tensor_core_convolution_efficiency")
        yield f"4. Rate of an SM: {peak} x {efficiency:g} = {self.rate:.6g} FLOP per us."
        yield "5. Tiles, the fastest of which the library takes:"
        yield ""
        yield from self._tile_table()
        yield ""

    def _kernel_lines(self) -> Iterator[str]:
        fastest_us = min(self.tiled_us(a, b) for a, b in TILES)
        latency = self._kcycles("kernel_kcycles", self._mode.gpu_mhz / 1e3)
        yield f"6. The longer of arithmetic, {fastest_us:.4g} us, and memory, {self.warm_us + self.cold_us:.4g} us,"
        yield f"   and {self.constant('unhidden_share'):g} of the shorter: {self.overlapped_us:.4g} us;"
        passes = f"{self.constant('layout_passes'):g} x max({self.warm_us:.4g}, {self.in_flight_us:.4g})"
        yield f"   conversions of layout, {passes} = {self.layout_us:.4g} us, by memory or by what is in flight;"
        yield f"   a kernel's latency, {latency} = {self.latency_us:.4g} us: **{self.device_us:.4g} us** on the device."

    def _tile_table(self) -> List[str]:
        rows = ["| tile | blocks | waves | reuse | us |", "| --- | ---: | ---: | ---: | ---: |"]
        for a, b in TILES:
            blocks, waves = self.waves(a, b)
            fill = f"{waves} + {self.constant('tensor_core_fill_waves'):g}"
            rows.append(f"| {a} x {b} | {blocks} | {fill} | {a * b / (a + b):.4g} | {self.tiled_us(a, b):.4g} |")
        return rows
