"""The state of torch around a capture, set as a plain call of the module has it, and put back."""

from __future__ import annotations

import contextlib
import random
from contextlib import contextmanager
from typing import Iterator

import torch
from torch import overrides

from ..errors import CaptureError

INSTEAD_OF_AUTOCAST = "what it casts is not estimated; leave it out and give precision fp16 or bf16"


@contextmanager
def plain_surroundings() -> Iterator[None]:
    """Leaves modes of torch functions (`with torch.device(...)`, a default device) and inference mode, without grad.

    Random generators go on afterwards from where they were. CaptureError inside `torch.autocast`.
    """
    if _is_in_autocast():
        raise CaptureError(f"torch.autocast is around this call: {INSTEAD_OF_AUTOCAST}")
    states = torch.get_rng_state(), random.getstate()
    with contextlib.ExitStack() as stack:
        while torch._C._len_torch_function_stack():
            stack.enter_context(overrides._pop_mode_temporarily())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.callback(torch.set_rng_state, states[0])
        stack.callback(random.setstate, states[1])
        yield


def _is_in_autocast() -> bool:
    """By the depth: without CUDA, PyTorch itself turns an autocast to CUDA's types off."""
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    return bool(depth)
