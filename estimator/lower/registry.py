"""The rules, one function for each ATen op, and the way from an op to its rule."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, Tuple, TypeVar

from ..errors import LoweringError
from ..opstream import Op, distinct
from .kernels import Lowered, stream_kernel

Rule = Callable[..., Lowered]
MULTIPLIED = ("float32", "float16", "bfloat16")
"""The types whose products and convolutions have a rate."""
_RULES: Dict[str, Rule] = {}
_Decorated = TypeVar("_Decorated", bound=Rule)


def rule(*names: str) -> Callable[[_Decorated], _Decorated]:
    """Returns a decorator that makes a function the rule of aten.<name> and aten.<name>_, for each of the names.

    The rule is called with the op and then with the op's own arguments, as ATen calls them; what it does not need goes
    into `*_` and `**__`. ValueError names both functions where an op has a rule already.
    """

    def register(function: _Decorated) -> _Decorated:
        for name in names:
            _register(f"aten.{name}", function)
            _register(f"aten.{name}_", function)
        return function

    return register


def _register(op_name: str, function: Rule) -> None:
    if op_name in _RULES:
        raise ValueError(f"{op_name} has two rules: {_full_name(_RULES[op_name])} and {_full_name(function)}")
    _RULES[op_name] = function


def _full_name(function: Rule) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def known_ops() -> Tuple[str, ...]:
    """Returns the names of all ops that have a rule, sorted; those of their in-place forms included."""
    return tuple(sorted(_RULES))


def lower(ops: Iterable[Op]) -> Tuple[Lowered, ...]:
    """Returns each op with the kernels it launches. Ops without a rule are priced by their bytes (`has_rule` False).

    Raises LoweringError for a product or convolution of a type whose rate no profile knows.
    """
    stream = tuple(ops)
    lowered = {id(op): _with_known_types(_lower_op(op)) for op in distinct(stream)}
    return tuple([lowered[id(op)] for op in stream])


def _with_known_types(lowered: Lowered) -> Lowered:
    """Double precision runs at a 64th of FP32's rate on these boards, or at half: no fact of any profile says which."""
    for kernel in lowered.kernels:
        if kernel.kind != "stream" and kernel.dtype not in MULTIPLIED:
            cause = f"{lowered.op.name} multiplies {kernel.dtype}, whose rate no profile knows"
            raise LoweringError(f"{cause}; known: {', '.join(MULTIPLIED)}")
    return lowered


def _lower_op(op: Op) -> Lowered:
    if op.is_view:
        return Lowered(op, "view", 0, ())
    if op.name not in _RULES:
        return Lowered(op, "other", 0, (stream_kernel(op),), has_rule=False)
    return _RULES[op.name](op, *op.args, **dict(op.kwargs))
