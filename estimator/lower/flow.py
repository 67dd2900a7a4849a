"""Who reads what of an op stream, by where each op's tensors are from."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from ..opstream import CONSTANT, Captured, TensorSpec
from .kernels import function_name

BATCHED = ("bmm", "baddbmm")
"""Batches of products of two tensors."""
_RANDOM = """
_fused_dropout _sample_dirichlet _standard_gamma bernoulli binomial cauchy exponential geometric log_normal multinomial
native_dropout normal normal_functional poisson rand rand_like randint randint_like randn randn_like random randperm
rrelu_with_noise rrelu_with_noise_functional uniform
""".split()
"""What is another at each run, whatever it is made of."""


class Flow:
    """Who reads what of an op stream.

    A view is what it is a view of; what is made of constants alone is constant, but for random numbers.
    """

    def __init__(self, captured: Captured) -> None:
        self._ops, self._raw = captured.ops, captured.sources
        self._origins: List[int] = []
        self.sources: List[Tuple[int, ...]] = []
        for place, op in enumerate(captured.ops):
            sources = tuple(self.origin(source) for source in captured.sources[place])
            is_constant = function_name(op) not in _RANDOM and all(source == CONSTANT for source in sources)
            self._origins.append(CONSTANT if is_constant else sources[0] if op.is_view else place)
            self.sources.append(sources)
        self._readers: Dict[int, int] = dict.fromkeys(map(self.origin, captured.results), 1)
        self._joiners: Dict[int, int] = {}
        for place in filter(self.computes, range(len(captured.ops))):
            for source in set(self.sources[place]):
                self._readers[source] = self._readers.get(source, 0) + 1
                self._joiners[source] = self._joiners.get(source, 0) + self.concatenates(place)

    def origin(self, source: int) -> int:
        """Returns the op whose data a source is, or CONSTANT or INPUT."""
        return self._origins[source] if source >= 0 else source

    def computes(self, place: int) -> bool:
        """Returns whether an op is neither a view nor known before the model runs."""
        return self._origins[place] == place

    def concatenates(self, place: int) -> bool:
        """Returns whether the op joins tensors into one."""
        return self._ops[place].name == "aten.cat"

    def alone_reads(self, place: int) -> Tuple[int, ...]:
        """Returns the ops whose data this one, and nothing else, reads, in the order of its inputs."""
        sources = dict.fromkeys(self.sources[place])
        return tuple(source for source in sources if source >= 0 and self._readers[source] == 1)

    def left_operand(self, place: int) -> Optional[int]:
        """Returns who made the left operand of a batch of products of activations; None for all other ops."""
        if function_name(self._ops[place]) not in BATCHED:
            return None
        left, right = self.sources[place][-2:]
        return None if CONSTANT in (left, right) else left

    def made_inputs(self, place: int) -> int:
        """Returns how many of its inputs are not constant."""
        return sum(source != CONSTANT for source in self.sources[place])

    def copied(self, place: int) -> Tuple[TensorSpec, ...]:
        """Returns the inputs of a concatenation that its makers cannot write to where they belong.

        These are views, inputs of the model and constants, what several concatenations join, and what one joins again.
        """
        sources, inputs = self.sources[place], zip(self._ops[place].inputs, self._raw[place])
        return tuple(t for i, (t, raw) in enumerate(inputs) if self._has_no_place(raw) or sources[i] in sources[:i])

    def _has_no_place(self, raw: int) -> bool:
        source = self.origin(raw)
        return source < 0 or self._ops[raw].is_view or self._joiners[source] > 1
