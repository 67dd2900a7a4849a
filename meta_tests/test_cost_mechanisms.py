"""Each mechanism of a GPU's cost by itself, on a made-up GPU of four SMs whose round figures let it be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict

import pytest

from estimator.lower import Kernel, Window
from estimator.lower.kernels import FUSED_ATTENTION
from meta_tests.synthetic import MODE, NO_TF32, convolution, device_us, product, stream

NO_SPLIT = {"split_kcycles": 1e9}
WAVE_US = 2 * 128 * 128 / 640
"""Of tiles of 128 x 128 on FP32 cores, for each element of the reduction: their reuse gives 640 of 800 FLOP a us."""
SMALL_WAVE_US = 2 * 32 * 32 / 400
"""The same of tiles of 32 x 32."""


def exactly(us: float) -> Any:
    return pytest.approx(us, rel=1e-9)


# Products


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_a_deep_product_of_few_outputs_is_split_over_the_sms_that_would_be_idle(precision: str) -> None:
    many = {"mode": {"sms": 128}}
    for deep, times in ((product(256, 256, 131072), 5), (product(512, 512, 131072), 2)):
        assert device_us(deep, precision, **many) < device_us(deep, precision, **many, **NO_SPLIT) / times
    shallow = product(256, 256, 200)
    assert device_us(shallow, precision, **many) == device_us(shallow, precision, **many, **NO_SPLIT)


def test_a_split_takes_its_parts_a_launch_and_the_sums_through_the_l2() -> None:
    kernel, pipeline = product(32, 32, 4096), {"fp32_core_fill_waves": 0.0}
    sums_us = (4 + 1) * 4 * 32 * 32 / 2000
    assert device_us(kernel, **pipeline, **NO_SPLIT) == exactly(SMALL_WAVE_US * 4096)
    assert device_us(kernel, **pipeline) == exactly(SMALL_WAVE_US * 4096 / 4 + 20 / 0.5 + sums_us)


def test_a_split_makes_no_more_blocks_than_there_are_sms() -> None:
    kernel, fewer = product(32, 32, 4096), product(32, 32, 2 * 127)
    two = device_us(kernel, mode={"sms": 3}, fp32_core_fill_waves=0.0)
    assert two == exactly(SMALL_WAVE_US * 4096 / 2 + 20 / 0.5 + (2 + 1) * 4 * 32 * 32 / (3 * 500))
    assert device_us(fewer, split_kcycles=0.0) == device_us(fewer, **NO_SPLIT)  # each part keeps 128 elements


@pytest.mark.parametrize(
    "kernel",
    [product(32, 32, 4096, batch=2), product(128, 128, 4096, batch=2), product(32, 32, 4096, function=FUSED_ATTENTION)],
    ids=["batch of small ones", "batch", "attention"],
)
def test_neither_a_batch_nor_an_attention_is_split(kernel: Kernel) -> None:
    for precision in ("tf32", "fp16"):
        of_type = replace(kernel, dtype="float16" if precision == "fp16" else "float32")
        assert device_us(of_type, precision) == device_us(of_type, precision, **NO_SPLIT)


@pytest.mark.parametrize(
    ("capabilities", "us"),
    [
        (("7.0", "7.2", "7.5"), (1 + 0.125 * 16) * SMALL_WAVE_US * 10),
        (("8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "11.0", "12.0"), (1 + 0.125) * WAVE_US * 10),
    ],
    ids=["7.x", "8.0 and later"],
)
def test_batched_products_in_fp32_come_in_large_tiles_from_capability_8_0_on(capabilities: Any, us: float) -> None:
    for capability in capabilities:
        assert device_us(product(32, 32, 10, batch=4), "fp32", capability) == exactly(us)


def test_each_wave_takes_what_its_blocks_load_first_and_store_last() -> None:
    blocks = {"fp32_block_kcycles": 1.0, "tensor_core_block_kcycles": 1.0}
    assert device_us(product(128, 128, 10, batch=8), **blocks) == exactly((2 + 0.125) * (WAVE_US * 10 + 2))
    small = device_us(product(32, 32, 10, batch=4), "fp32", NO_TF32, **blocks)
    assert small == exactly((1 + 0.125 * 16) * (SMALL_WAVE_US * 10 + 2 / 16))  # a sixteenth to load and store
    on_tensor_cores = device_us(product(128, 128, 1000, batch=4), "tf32", **blocks)
    assert on_tensor_cores == exactly((1 + 0.1) * (WAVE_US * 1050 * 800 / 2000 + 2))


def test_faster_tensor_cores_ask_for_more_reuse() -> None:
    kernel = product(128, 128, 1000, batch=4, dtype="float16")
    tile_flops = 2 * 128 * 128 * 1050
    for flops_per_clock, reuse_share in ((10, 64 / (64 + 16)), (40, 64 / (64 + 64))):
        facts = {"fp16_flops_per_clock_per_sm": flops_per_clock}
        reached = flops_per_clock * 500 * 0.8 * reuse_share
        assert device_us(kernel, "fp16", facts=facts) == exactly(1.1 * tile_flops / reached)


@pytest.mark.parametrize(("m", "n"), [(16, 1024), (1024, 16)], ids=["rows", "columns"])
def test_few_rows_take_tensor_cores_where_those_are_faster(m: int, n: int) -> None:
    skinny = product(m, n, 4096)
    on_fp32_cores, flops = skinny.flops / 3200, {"fp16_flops_per_clock_per_sm": 100.0}
    assert device_us(skinny) == device_us(skinny, "tf32") == exactly(on_fp32_cores)
    half = replace(skinny, dtype="float16")
    assert device_us(half, "fp16", facts=flops) < on_fp32_cores / 2


@pytest.mark.parametrize("capability", ["7.0", "7.2", "7.5"])
def test_a_board_without_tf32_never_takes_it(capability: str) -> None:
    for kernel in (product(128, 128, 1000, 4), convolution(128, 128, 64, groups=4, stride=2)):
        for precision in ("fp32", "tf32"):
            found = {
                device_us(
                    kernel,
                    precision,
                    capability,
                    tensor_core_product_efficiency=efficiency,
                    tensor_core_convolution_efficiency=efficiency,
                )
                for efficiency in (0.1, 1.0)
            }
            assert len(found) == 1
        half = replace(kernel, dtype="float16")
        assert device_us(half, "fp16", capability) < device_us(kernel, "fp32", capability) / 2


# Power


FP32_WATTS, TENSOR_CORE_WATTS = 72_000.0, 36_000.0
"""Of a TFLOP/s: with 72 W, the made-up GPU has power for 1000 FLOP a us on FP32 cores, and 2000 on tensor cores."""
POWER = {"fp32_watts_per_tflop": FP32_WATTS, "tensor_core_watts_per_tflop": TENSOR_CORE_WATTS}


@pytest.mark.parametrize(
    ("kernel", "precision", "flops_per_us"),
    [
        (product(1024, 1024, 1000), "fp32", 1000),
        (product(128, 128, 1000, batch=40), "fp32", 1000),
        (product(1024, 1024, 1000, dtype="float16"), "fp16", 2000),
        (convolution(4096, 64, 64, dtype="float16"), "fp16", 2000),
        (convolution(4096, 64, 64), "fp32", 2000 / 2),  # in TF32, which takes twice FP16's
        (convolution(4096, 64, 66, stride=2), "fp32", 1000),
    ],
    ids=["fp32", "batch", "fp16", "fp16 convolution", "tf32 convolution", "fp32 convolution"],
)
def test_large_arithmetic_takes_as_long_as_the_board_has_power_for(
    kernel: Kernel, precision: str, flops_per_us: float
) -> None:
    def on(capability: str, **mode: float) -> float:
        return device_us(kernel, precision, capability, mode=mode, fp32_unhidden_share=0.0, **POWER)

    assert on("8.9", watts=72) == exactly(kernel.flops / flops_per_us)
    assert on("8.9", watts=36) == exactly(2 * kernel.flops / flops_per_us)
    assert on("8.9", watts=72e6) == on("8.9") == on("8.7", watts=72) == on("11.0", watts=72)
    assert on("8.9") < on("8.9", watts=72)


def test_a_winograd_convolution_takes_power_for_the_products_that_it_does() -> None:
    kernel = convolution(4096, 64, 64)
    for watts, flops_per_us in ((36, 500), (18, 250)):
        found = device_us(kernel, "fp32", "7.5", mode={"watts": watts}, **POWER)
        assert found == exactly(kernel.flops / 2.25 / flops_per_us)
    assert device_us(kernel, "fp32", NO_TF32, mode={"watts": 1}, **POWER) == device_us(kernel, "fp32", "7.5", **POWER)


# Convolutions


@pytest.mark.parametrize(("capability", "per_depth"), [("8.7", 0.8 * 1.1), (NO_TF32, 1.6 * 1.125)])
def test_a_short_reduction_takes_longer_for_each_of_its_elements(capability: str, per_depth: float) -> None:
    for channels in (4, 8, 400):
        kernel = convolution(128, 128, channels, (3, 1), groups=4, stride=2, channels_last=True)
        found = device_us(kernel, "fp32", capability, fp32_unhidden_share=0.0)
        assert found == exactly(per_depth * WAVE_US * (3 * channels + 50))


GEFORCE = {"tf32_flops_per_clock_per_sm": 2.0, "l2_mib": 64.0}


def test_tensor_cores_no_faster_than_fp32_cores_take_what_they_are_faster_at() -> None:
    strided, winograd = (convolution(4096, 128, 400, stride=stride, channels_last=True) for stride in (2, 1))

    def on_geforce(kernel: Kernel, efficiency: float) -> float:
        return device_us(kernel, "fp32", "8.6", GEFORCE, tensor_core_convolution_efficiency=efficiency)

    slow = on_geforce(strided, 1e-3)
    assert on_geforce(strided, 0.3) == slow
    assert on_geforce(strided, 0.8) < slow
    assert on_geforce(winograd, 0.8) == on_geforce(winograd, 1e-3) < on_geforce(strided, 0.8)


def test_a_convolution_of_few_outputs_leaves_sms_idle_whichever_cores_it_takes() -> None:
    for stride in (1, 2):
        kernel = convolution(32, 32, 400, stride=stride, channels_last=True)
        few, many = (device_us(kernel, "fp32", "8.6", GEFORCE, mode={"sms": sms}) for sms in (16, 128))
        assert many == pytest.approx(few, rel=0.01)


def test_tensor_cores_that_are_much_faster_take_all_that_fits_them() -> None:
    kernel = convolution(4096, 128, 64, stride=2, channels_last=True)
    slow, slower = (device_us(kernel, "fp32", "8.6", tensor_core_convolution_efficiency=e) for e in (2e-3, 1e-3))
    assert slower == pytest.approx(2 * slow, rel=0.01)


@pytest.mark.parametrize(
    ("pixels", "dtype", "passes"),
    [
        (64, "float32", 0),
        (60, "float32", 0.5),
        (62, "float32", 1.5),
        (64, "float16", 0),
        (56, "float16", 0.5),
        (60, "float16", 1.5),
    ],
)
def test_a_convolution_of_single_pixels_is_a_product_unless_its_images_are_not_aligned(
    pixels: int, dtype: str, passes: float
) -> None:
    precision = "fp16" if dtype == "float16" else "fp32"
    kernel = convolution(pixels, 64, 64, (1, 1), read_bytes=1_280_000, write_bytes=1_920_000, dtype=dtype)
    converted = device_us(kernel, precision) - device_us(replace(kernel, channels_last=True), precision)
    assert converted == pytest.approx(passes * 3_200_000 / 800)


# Traffic


@pytest.mark.parametrize(
    ("l2s", "us"),
    [
        (0.25, 0.25 * 2**20 / 2000),
        (0.5, 0.5 * 2**20 / 2000),
        (0.75, 0.75 * 2**20 * (0.5 / 2000 + 0.5 / 800)),
        (1, 2**20 / 800),
        (8, 8 * 2**20 / 800),
    ],
)
def test_what_fits_half_of_the_l2_comes_from_there_and_what_fills_it_from_dram(l2s: float, us: float) -> None:
    assert device_us(stream(read_bytes=int(l2s * 2**20))) == exactly(us)


def test_the_l2_is_never_slower_than_dram() -> None:
    small = stream(read_bytes=200_000)
    assert device_us(small, l2_bytes_per_clock_per_sm=0.1) == exactly(200_000 / 1000)
    assert device_us(small, l2_bytes_per_clock_per_sm=0.1, stream_efficiency=1.0) == exactly(200_000 / 1000)


def rows_of(function: str, rows: int, row_bytes: int) -> Kernel:
    moved = {"read_bytes": rows * row_bytes, "write_bytes": rows * row_bytes}
    return stream(function, rows * row_bytes // 4, rows=rows, **moved)


def test_few_long_rows_take_as_long_as_their_blocks_have_loads_in_flight() -> None:
    latency_us, mib = 100, 2**20
    few, more = (rows_of("native_layer_norm", rows, 256 * mib // rows) for rows in (16, 32))
    slow = {"norm_block_bytes_per_clock": 2048 / latency_us / MODE.gpu_mhz}
    assert device_us(few, **slow) == exactly(2 * 256 * mib / (16 * 2048 / latency_us))  # each row is read twice
    assert device_us(more, **slow) == exactly(1.5 * 512 * mib / 800)
    assert device_us(few) == device_us(more)
    weighed = replace(few, read_bytes=few.read_bytes + 2 * 16 * mib)
    assert device_us(weighed, **slow) == device_us(few, **slow)  # they are in flight beside what blocks wait for


@pytest.mark.parametrize(
    ("function", "row_bytes", "reads"),
    [
        ("native_layer_norm", 2**15, 1),
        ("native_layer_norm", 2**17, 1.75),
        ("native_layer_norm", 5 * 2**15, 2),
        ("native_layer_norm", 2**20, 2),
        ("native_group_norm", 2**15, 2),
        ("native_group_norm", 2**20, 2),
    ],
)
def test_rows_in_flight_that_outgrow_the_l2_are_read_again(function: str, row_bytes: int, reads: float) -> None:
    assert device_us(rows_of(function, 8, row_bytes)) == exactly((reads + 1) * 8 * row_bytes / 800)


@pytest.mark.parametrize(
    ("capability", "row_bytes", "passes", "efficiency"),
    [
        ("8.7", 4 * 1024, 2, 0.8),
        ("8.7", 4 * 1025, 2, 0.4),
        ("8.7", 41 * 2**10, 2, 0.4),
        ("8.7", 41 * 2**10 + 4, 4, 0.4),
        ("7.5", 16 * 2**10, 2, 0.4),
        ("7.5", 16 * 2**10 + 4, 4, 0.4),
    ],
    ids=["in a warp", "in a block", "in shared memory", "too long", "7.5", "too long for 7.5"],
)
def test_rows_of_a_softmax_that_stay_on_chip_are_read_once(
    capability: str, row_bytes: int, passes: int, efficiency: float
) -> None:
    kernel = rows_of("_softmax", 4096, row_bytes)  # too long for the L2, too
    found = device_us(kernel, "fp32", capability, {"l2_mib": 0.01})
    assert found == exactly(passes * 4096 * row_bytes / (1000 * efficiency))


@pytest.mark.parametrize(
    "function", ["max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool2d", "avg_pool3d", "relu"]
)
def test_a_pooling_asks_for_its_inputs_one_at_a_time(function: str) -> None:
    window = Window((3, 3), (2, 2), (1, 1), 1, 1, 1, input_elements=8_000_000)
    moved: Dict[str, Any] = {"read_bytes": 200_000, "window": window, "elements": 2_000_000}
    found = device_us(stream(function, **moved))
    assert found == exactly(200_000 / 2000 if function == "relu" else 8_000_000 / (4 * 500 * 4))
