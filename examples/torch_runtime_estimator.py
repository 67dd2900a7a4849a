"""PyTorch's own estimator beside this one: `pytest --against examples.torch_runtime_estimator:estimate`.

`torch.distributed._tools.runtime_estimator.RuntimeEstimator` (torch 2.6 or later) prices each operator by the roofline
of the GPU that it finds: its peak from the datasheet or from Triton, its bandwidth from Triton. Here it is given the
peak and the bandwidth of the board that is estimated, so that it runs where there is no GPU, and says something about
the board and not about the machine it runs on. All the rest is PyTorch's.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any, Dict, Tuple
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.runtime_estimator import RuntimeEstimator
from torch.utils._pytree import tree_map_only

from estimator import Target, resolve

MODULES = ("torch.utils._runtime_estimation", "torch.distributed._tools.runtime_estimator")
"""Where releases of torch ask for the peak and the bandwidth, newest first."""


def estimate(model: torch.nn.Module, example_inputs: Any, hardware: str, mode: str, precision: str) -> float:
    """Returns ms of one forward pass."""
    target = resolve(hardware, mode, precision)
    dtype = getattr(torch, target.precision.tensors)
    board = {"get_device_tflops": peak_tflop_s(target), "get_gpu_dram_gbps": target.mode.bandwidth_gb_s}
    module = _module_with(*board)
    with FakeTensorMode(), torch.no_grad():
        state, inputs = tree_map_only(torch.Tensor, partial(_fake, dtype=dtype), (_tensors(model), example_inputs))
        figures = {name: mock.Mock(return_value=value) for name, value in board.items()}
        with mock.patch.multiple(module, **figures), mock.patch("torch.cuda.is_available", return_value=True):
            runtime = RuntimeEstimator()
            with runtime("operator-level-cost-model"):
                torch.func.functional_call(model, state, *_arguments(inputs))
    return runtime.total_runtime


def peak_tflop_s(target: Target) -> float:
    """Returns the peak of matrix products at the target's precision in TFLOP/s, as PyTorch knows it: by dtype alone."""
    arithmetic = "fp16" if target.precision.products == "bf16" else target.precision.products
    per_clock = target.profile.fact(f"{arithmetic}_flops_per_clock_per_sm")
    return per_clock * target.mode.sms * target.mode.gpu_mhz / 1e6


def _module_with(*names: str) -> Any:
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        if all(hasattr(module, attribute) for attribute in names):
            return module
    raise NotImplementedError(f"torch {torch.__version__} asks elsewhere for {' and '.join(names)}")


def _tensors(model: torch.nn.Module) -> Dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _fake(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    wanted = dtype if tensor.dtype.is_floating_point else tensor.dtype
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=wanted, device="cpu")


def _arguments(inputs: Any) -> Tuple[Any, Dict[str, Any]]:
    if isinstance(inputs, dict):
        return (), inputs
    return (tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)), {}
