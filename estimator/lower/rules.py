"""The rules, one function for each ATen op, and the way from an op to its rule."""

from __future__ import annotations

from types import MappingProxyType
from typing import Callable, Dict, Iterable, Mapping, Tuple, TypeVar

from ..checked import shown
from ..errors import LoweringError, UsageError
from ..opstream import Op, distinct
from .kernels import DEVICE_KINDS, HOST_KINDS, MULTIPLIED, Lowered, counted_kernel, stream_kernel

Rule = Callable[..., Lowered]
Rules = Mapping[str, Rule]
"""A rule for each name of an op, "aten.relu" or "library.op"."""
NO_RULES: Rules = MappingProxyType({})
_RULES: Dict[str, Rule] = {}
_Decorated = TypeVar("_Decorated", bound=Rule)


def rule(*names: str) -> Callable[[_Decorated], _Decorated]:
    """Returns a decorator that makes a function the rule of aten.<name> and aten.<name>_, for each of the names.

    A name with a dot is one of another library: "torchvision.nms".

    The rule is called with the op and then with the op's own arguments, as ATen calls them; what it does not need goes
    into `*_` and `**__`. ValueError names both functions where an op has a rule already.
    """

    def register(function: _Decorated) -> _Decorated:
        for name in names:
            full_name = name if "." in name else f"aten.{name}"
            _register(full_name, function)
            _register(f"{full_name}_", function)
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


def checked_rules(rules: Rules) -> Rules:
    """Returns somebody's own rules, each for its op in place, too; UsageError for what is no op, or has two of them."""
    found: Dict[str, Rule] = {}
    for name, function in rules.items():
        if not _is_op(name):
            raise UsageError(f"rules: {shown(name)}: torch has no such op (import what registers it first)")
        if not callable(function):
            raise UsageError(f"rules: {name}: must be a function, got {shown(function)}")
        if f"{name}_" in rules:
            raise UsageError(f"rules: {name} and {name}_: a rule is for its op in place, too; leave one out")
        found.update({name: function, f"{name}_": function})
    return found


def _is_op(name: object) -> bool:
    import torch

    namespace, dot, op = str(name).partition(".")
    return bool(dot and op.isidentifier() and namespace.isidentifier()) and hasattr(getattr(torch.ops, namespace), op)


def lower(ops: Iterable[Op], rules: Rules = NO_RULES) -> Tuple[Lowered, ...]:
    """Returns each op with the kernels it launches. Ops without a rule are priced by their bytes (`has_rule` False).

    `rules` are somebody's own, as `checked_rules` gives them; they go before those known here. Raises LoweringError for
    a product or convolution of a type whose rate no profile knows, and for what a rule must not return.
    """
    stream = tuple(ops)
    lowered = {id(op): _checked(op, _lower_op(op, rules)) for op in distinct(stream)}
    return tuple([lowered[id(op)] for op in stream])


def _checked(op: Op, lowered: Lowered) -> Lowered:
    """Double precision runs at a 64th of FP32's rate on these boards, or at half: no fact of any profile says which."""
    if not isinstance(lowered, Lowered) or lowered.host_kind not in HOST_KINDS:
        raise LoweringError(f"the rule of {op.name} must return a Lowered whose kind is one of {', '.join(HOST_KINDS)}")
    for kernel in lowered.kernels:
        if kernel.kind not in DEVICE_KINDS or (kernel.kind != "stream" and kernel.product is None):
            kinds = f"{', '.join(DEVICE_KINDS)}, with a Product unless it is a stream"
            raise LoweringError(f"the rule of {op.name} must return kernels of a kind of {kinds}")
        if kernel.kind != "stream" and kernel.dtype not in MULTIPLIED:
            cause = f"{op.name} multiplies {kernel.dtype}, whose rate no profile knows"
            raise LoweringError(f"{cause}; known: {', '.join(MULTIPLIED)}")
    return lowered


def _lower_op(op: Op, rules: Rules) -> Lowered:
    if op.is_view and op.name not in rules:
        return Lowered(op, "view", 0, ())
    found = rules.get(op.name) or _RULES.get(op.name)
    if found is None:
        return Lowered(op, "other", 0, (counted_kernel(op) if op.flops else stream_kernel(op),), has_rule=False)
    return found(op, *op.args, **dict(op.kwargs))
