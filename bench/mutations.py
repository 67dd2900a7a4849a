"""Mutations of a module's syntax tree: where one can be made, and the module with one of them made.

A mutation is known by its number within the module. `MUTANT` in the environment ("estimator.schedule:17") lets every
Python in which `install` is called import that module with that mutation, and write nothing.
"""

from __future__ import annotations

import ast
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from types import CodeType
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Type

VARIABLE = "MUTANT"
_COMPARED: Sequence[Tuple[Type[ast.cmpop], Type[ast.cmpop], str]] = (
    (ast.Lt, ast.LtE, "< becomes <="),
    (ast.Lt, ast.GtE, "< becomes >="),
    (ast.LtE, ast.Lt, "<= becomes <"),
    (ast.LtE, ast.Gt, "<= becomes >"),
    (ast.Gt, ast.GtE, "> becomes >="),
    (ast.Gt, ast.LtE, "> becomes <="),
    (ast.GtE, ast.Gt, ">= becomes >"),
    (ast.GtE, ast.Lt, ">= becomes <"),
    (ast.Eq, ast.NotEq, "== becomes !="),
    (ast.NotEq, ast.Eq, "!= becomes =="),
    (ast.Is, ast.IsNot, "is becomes is not"),
    (ast.IsNot, ast.Is, "is not becomes is"),
    (ast.In, ast.NotIn, "in becomes not in"),
    (ast.NotIn, ast.In, "not in becomes in"),
)
_CALCULATED: Sequence[Tuple[Type[ast.operator], Type[ast.operator], str]] = (
    (ast.Add, ast.Sub, "+ becomes -"),
    (ast.Sub, ast.Add, "- becomes +"),
    (ast.Mult, ast.Div, "* becomes /"),
    (ast.Div, ast.Mult, "/ becomes *"),
)
_NAMES = {"any": "all", "all": "any", "min": "max", "max": "min"}


@dataclass(frozen=True)
class Mutation:
    """One change of a module: its number, the function it is in, the source text it changes, and how.

    `again` counts those before it that say the same.
    """

    module: str
    number: int
    function: str
    text: str
    change: str
    line: int
    again: int = 0

    @property
    def name(self) -> str:
        """Returns what it is known by, whatever lines are above it."""
        return f"{self.module} {self.function}: `{self.text}`: {self.change}" + (
            f" #{self.again}" if self.again else ""
        )


@dataclass(frozen=True)
class _Site:
    """A node that takes the place of another in a field of their parent, or leaves it empty."""

    node: ast.AST
    change: str
    field: str
    new: Any
    at: Optional[int] = None

    def make(self) -> None:
        """Changes the tree."""
        if self.at is None:
            setattr(self.node, self.field, self.new)
        elif self.new is None:
            del getattr(self.node, self.field)[self.at]
        else:
            getattr(self.node, self.field)[self.at] = self.new


def _counter() -> Dict[Tuple[str, str, str], int]:
    return defaultdict(int)


def mutations(module: str, source: str) -> List[Mutation]:
    """Returns every mutation of the module."""
    lines, seen, found = source.encode().split(b"\n"), _counter(), []
    for number, (function, site) in enumerate(_walk(ast.parse(source), "")):
        what = function or "module", _text(lines, site.node), site.change
        found.append(Mutation(module, number, *what, _line(site.node), seen[what]))
        seen[what] += 1
    return found


def mutated(source: str, number: int) -> ast.Module:
    """Returns the module's tree with the mutation of this number."""
    tree = ast.parse(source)
    sites = [site for _, site in _walk(tree, "")]
    sites[number].make()
    return ast.fix_missing_locations(tree)


def _text(lines: Sequence[bytes], node: Any) -> str:
    """What a node stands for, on one line; as `ast.get_source_segment`, which takes the source apart each time."""
    if not hasattr(node, "lineno"):
        return type(node).__name__
    first, last = node.lineno - 1, node.end_lineno - 1
    parts = [*lines[first:last], lines[last][: node.end_col_offset]]
    parts[0] = parts[0][node.col_offset :]
    return " ".join(b" ".join(parts).decode().split())[:160]


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _walk(node: ast.AST, function: str) -> Iterator[Tuple[str, _Site]]:
    """All sites below a node, in the order of the source; annotations, docstrings and decorators have none."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        function = f"{function}.{node.name}".lstrip(".")
    yield from ((function, site) for site in _sites(node))
    skipped = _skipped(node)
    for name, value in ast.iter_fields(node):
        if name in skipped:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_passed_over(child):
                yield from _walk(child, function)


def _skipped(node: ast.AST) -> Set[str]:
    if isinstance(node, ast.FunctionDef):
        return {"decorator_list", "returns"}
    if isinstance(node, ast.arg):
        return {"annotation"}
    return {"decorator_list"} if isinstance(node, ast.ClassDef) else {"annotation"}


def _is_passed_over(node: ast.AST) -> bool:
    """Docstrings, types and what only a type checker reads."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return True
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in _GENERICS


_GENERICS = {"Any", "Callable", "Dict", "Iterator", "List", "Mapping", "Optional", "Sequence", "Set", "Tuple", "Union"}


def _sites(node: ast.AST) -> Iterator[_Site]:
    if isinstance(node, ast.Compare):
        yield from _of_compare(node)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield _Site(node, "and becomes or" if isinstance(node.op, ast.And) else "or becomes and", "op", other)
    elif isinstance(node, ast.BinOp):
        yield from (_Site(node, words, "op", new()) for old, new, words in _CALCULATED if isinstance(node.op, old))
    elif isinstance(node, ast.Name) and node.id in _NAMES and isinstance(node.ctx, ast.Load):
        yield _Site(node, f"{node.id} becomes {_NAMES[node.id]}", "id", _NAMES[node.id])
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield _Site(node, "not is deleted", "operand", ast.UnaryOp(ast.Not(), node.operand))
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield _Site(node, "None is returned", "value", ast.Constant(None, kind=None))
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, (ast.If, ast.IfExp)):
        yield from _of_branch(node)
    elif isinstance(node, ast.comprehension):
        yield from (_Site(node, "the filter is dropped", "ifs", None, i) for i in range(len(node.ifs)))


def _of_compare(node: ast.Compare) -> Iterator[_Site]:
    for i, found in enumerate(node.ops):
        yield from (_Site(node, words, "ops", new(), i) for old, new, words in _COMPARED if isinstance(found, old))


def _of_constant(node: ast.Constant) -> Iterator[_Site]:
    value = node.value
    if isinstance(value, bool):
        yield _Site(node, f"{value} becomes {not value}", "value", not value)
    elif isinstance(value, (int, float)):
        yield _Site(node, "+ 1", "value", value + 1)
        if value not in (0, 1):
            yield _Site(node, "* 2", "value", value * 2)


def _of_call(node: ast.Call) -> Iterator[_Site]:
    for i, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            yield _Site(node, f"{keyword.arg}= is dropped", "keywords", None, i)


def _of_branch(node: Any) -> Iterator[_Site]:
    for value, words in ((False, "never"), (True, "always")):
        yield _Site(node, f"the condition {words} holds", "test", ast.Constant(value, kind=None))


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


class MutatingLoader(SourceFileLoader):
    """Loads a module from its file, with one mutation; no bytecode is read or written."""

    def __init__(self, fullname: str, path: str, number: int) -> None:
        super().__init__(fullname, path)
        self._number = number

    def get_code(self, fullname: str) -> CodeType:
        """Returns the mutated module's code."""
        source = self.get_source(fullname) or ""
        code = compile(mutated(source, self._number), self.path, "exec", dont_inherit=True)
        assert isinstance(code, CodeType)
        return code


class MutatingFinder(MetaPathFinder):
    """Finds one module where Python would, and has it loaded with its mutation."""

    def __init__(self, mutant: str) -> None:
        self._module, _, number = mutant.partition(":")
        self._number = int(number)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """Returns the module's spec with the mutating loader, None for any other module."""
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            loader: Loader = MutatingLoader(fullname, spec.origin, self._number)
            spec.loader, spec.cached = loader, None
        return spec


def install() -> None:
    """Lets this Python import the module that `MUTANT` names with that mutation."""
    mutant = os.environ.get(VARIABLE)
    if mutant:
        sys.dont_write_bytecode = True
        sys.meta_path.insert(0, MutatingFinder(mutant))
