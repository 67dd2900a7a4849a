"""Damages texts at random, the same way for the same seed: what a slip of the hand or a bad disk makes of a file."""

from __future__ import annotations

import random
import re
from typing import Callable, Sequence, Tuple

_NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?([eE][-+]?\d+)?")
_TEXT = re.compile(r'"[^"\n]*"')
_NAME = re.compile(r"[A-Za-z_][\w.\-]+")
_DEEP = 600
NUMBERS = (
    *"0 -1 -0.0 1 2 1.5 7e-3 1e-308 5e-324 1e-12 1e9 1e300 1e308 1e400 -1e308 nan inf -inf NaN Infinity true".split(),
    *"null 0x10 1_000 9223372036854775808 01 1e '' [] {} [1] [[]]".split(),
    '""',
    '"12"',
    "9" * 400,
    "9" * 5001,
    "[" * _DEEP + "]" * _DEEP,
    '{"a":' * _DEEP + "1" + "}" * _DEEP,
    "\u0663",
    "1 2",
    "",
)
TEXTS = (
    '""',
    '" "',
    '"x"',
    '"\\n"',
    '"\\u0000"',
    '"\\ud800"',
    '"\u00e9\U0001f600"',
    "0",
    "[]",
    "null",
    '"' + "x" * 5000 + '"',
)
NAMES = ("x", "", "value", "my note", '"a\\nb"', "rating", "\u00e9", "| x", "__class__", "1", "software", "-")
_PIECES = (
    "\x00",
    "\n",
    "[",
    "]",
    "{",
    "}",
    '"',
    "=",
    ",",
    "|",
    "#",
    ":",
    "<<<<<<< HEAD\n",
    "\ufeff",
    "\u2028",
    "\r",
    "\\",
)


def mutated(text: str, seed: int) -> str:
    """Returns the text after one to three mutations."""
    source = random.Random(seed)
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        text = source.choice(_MUTATIONS)(text, source)
    return text


def _replace(pattern: re.Pattern, by: Sequence[str]) -> Callable[[str, random.Random], str]:
    def replace(text: str, source: random.Random) -> str:
        found = list(pattern.finditer(text))
        if not found:
            return text
        place = source.choice(found)
        return text[: place.start()] + source.choice(by) + text[place.end() :]

    return replace


def _scale(text: str, source: random.Random) -> str:
    """A number in another unit."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return text
    place = source.choice(found)
    scaled = float(place.group()) * source.choice((1e-9, 1e-6, 1e-3, -1, 1e3, 1e6, 1e9, 1e30, 1e-30))
    return text[: place.start()] + f"{scaled!r}" + text[place.end() :]


def _lines(text: str, source: random.Random) -> Tuple[list, int]:
    lines = text.splitlines(keepends=True) or [""]
    return lines, source.randrange(len(lines))


def _without_line(text: str, source: random.Random) -> str:
    lines, place = _lines(text, source)
    return "".join(lines[:place] + lines[place + 1 :])


def _line_twice(text: str, source: random.Random) -> str:
    lines, place = _lines(text, source)
    other = source.randrange(len(lines))
    return "".join([*lines[:other], lines[place], *lines[other:]])


def _cut(text: str, source: random.Random) -> str:
    return text[: source.randrange(len(text) + 1)]


def _insert(text: str, source: random.Random) -> str:
    place = source.randrange(len(text) + 1)
    return text[:place] + source.choice(_PIECES) + text[place:]


def _drop(text: str, source: random.Random) -> str:
    place = source.randrange(len(text) + 1)
    return text[:place] + text[place + source.randrange(1, 9) :]


_MUTATIONS = (
    *[_replace(_NUMBER, NUMBERS)] * 6,
    *[_scale] * 3,
    _replace(_TEXT, (*TEXTS, *NUMBERS)),
    *[_replace(_NAME, NAMES)] * 2,
    _without_line,
    _line_twice,
    _cut,
    *[_insert, _drop] * 2,
)
