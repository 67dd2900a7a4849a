"""What a test asserts with: `latency.check(model, example_inputs, budget_ms=25)`, or `latency.check(subject)`."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Mapping, Optional, Union

import pytest

from ..checked import LATENCY_MS, checked_option, number
from ..errors import GoldenLatencyError, UsageError
from ..goldens.configuration import Configuration
from ..hardware.boards import find_board
from ..lower.rules import NO_RULES, Rules, checked_rules
from ..subjects.custom import OwnModel, safe_name
from ..subjects.patterns import Pattern
from ..subjects.zoo import ZooModel
from ..target import Target, target_on
from ..target_options import read_batch_size
from .options import setting
from .reports import fail_in_one_line, tell
from .session import Asked, Session, not_repeated

if TYPE_CHECKING:
    import torch

    from ..subjects.registry import Subject

Budget = Union[None, float, Mapping[str, float]]
"""The most that a latency may be in ms: everywhere, or by the name of the board."""


class Latency:
    """The fixture `latency`. Tests that name no hardware are for the board that the session gives them.

    `session` has the checks of the suite's own tests that are about no single subject, one for each of MARKERS.
    """

    def __init__(self, session: Session, request: pytest.FixtureRequest, hardware: Optional[str] = None) -> None:
        self.session = session
        self._request = request
        self._hardware = hardware

    def check(
        self,
        model: Union[torch.nn.Module, Subject],
        example_inputs: Any = None,
        budget_ms: Budget = None,
        name: Optional[str] = None,
        *,
        hardware: Optional[str] = None,
        mode: Optional[str] = None,
        precision: Optional[str] = None,
        batch_size: Optional[int] = None,
        runtime: Optional[str] = None,
        rules: Rules = NO_RULES,
    ) -> None:
        """Fails where the estimate (or the latency on a live device) is not what golden, record and budget promise.

        `model` is any module, and `example_inputs` what it is called with: a tensor, a tuple of arguments, or a dict of
        keyword arguments; both may be on the meta device. `name` is what tables and golden call it (default: the
        test's name), `runtime` is "eager" or "tensorrt", `rules` a function for each op that is priced otherwise, as of
        `estimate`. What is not given here, the command line or pytest's settings say. Warns where the budget is kept,
        but not surely.
        """
        __tracebackhide__ = True
        try:
            configuration = self._configuration(hardware or self._hardware, mode, precision, batch_size, runtime)
            subject = self._subject(model, example_inputs, name, configuration, checked_rules(rules))
            asked = Asked(subject, configuration, _budget(budget_ms, configuration.target.hardware))
        except GoldenLatencyError as error:
            fail_in_one_line(str(error))
        tell(self._request.node, subject, configuration.where, against=self._answers(subject, configuration.target))
        self.session.check(self._request, asked)

    def _answers(self, subject: Subject, target: Target) -> Mapping[str, Any]:
        """What other estimators say of the subject, by their names."""
        return {other.name: asdict(other.ask(subject, target)) for other in self.session.options.against}

    def _configuration(
        self,
        hardware: Optional[str],
        mode: Optional[str],
        precision: Optional[str],
        batch_size: Optional[int],
        runtime: Optional[str],
    ) -> Configuration:
        checked_size = None if batch_size is None else read_batch_size(str(batch_size), "batch_size")
        target = self._target(hardware).on_runtime(runtime, precision)
        return self.session.configuration_of(target.changed(mode, None, checked_size))

    def _target(self, hardware: Optional[str]) -> Target:
        """Of the session's boards, or another one at the session's precision and batch in its own power mode."""
        targets = {target.hardware: target for target in self.session.options.targets}
        if hardware is None or hardware in targets:
            return targets[hardware] if hardware is not None else self.session.options.target
        repository, config = self.session.configuration.repository, self._request.config
        precision, text, runtime = (setting(config, option) or "" for option in ("precision", "batch_size", "runtime"))
        batch_size = read_batch_size(text, repository.option_name("--batch-size"))
        return target_on(find_board(hardware), repository.profile(hardware), None, precision, batch_size, runtime)

    def _subject(
        self, model: Any, inputs: Any, name: Optional[str], configuration: Configuration, rules: Rules
    ) -> Subject:
        if isinstance(model, (ZooModel, Pattern)):
            if rules:
                raise UsageError(f"latency.check: rules are for a module of your own, not for {model.name}")
            return model
        import torch

        if not isinstance(model, torch.nn.Module):
            raise UsageError(f"latency.check takes a torch.nn.Module and its example inputs, got {_kind_name(model)}")
        if inputs is None:
            raise UsageError(
                "latency.check needs example inputs: a tensor, a tuple of arguments, or a dict of keywords"
            )
        item = self._request.node
        called = safe_name(name or own_name(item, configuration.target.hardware))
        subject = OwnModel(called, item.path.stem, model, inputs, rules)
        self._refuse_twice(subject.name, configuration.name)
        return subject

    def _refuse_twice(self, name: str, where: str) -> None:
        """A test that is run again may check the same again, but no other, and not twice in one run."""
        place = not_repeated(self._request.node, self._request.node.nodeid)
        first, run = self.session.checked.get((name, where), (place, None))
        if first != place or run is self:
            raise UsageError(
                f"{name}: {first} checks a model of that name on {where}, too, "
                "and they would share one golden: give one of them a name of its own, latency.check(..., name=...)"
            )
        self.session.checked[name, where] = place, self


def own_name(item: pytest.Item, hardware: str) -> str:
    """Returns the name of a test without that of the board, which the folder of the golden says."""
    callspec = getattr(item, "callspec", None)
    test = getattr(item, "originalname", None) or item.name
    if callspec is None:
        test = item.name
    else:
        rest = re.sub(rf"(^|-){re.escape(hardware)}(?=-|$)", "", not_repeated(item, callspec.id)).strip("-")
        test += f"[{rest}]" if rest else ""
    cls = getattr(item, "cls", None)
    return f"{cls.__name__}.{test}" if cls is not None else test


def _budget(budget_ms: Budget, hardware: str) -> Optional[float]:
    """The budget on this board; UsageError where it is no time, or there is none for the board."""
    if isinstance(budget_ms, Mapping):
        if hardware not in budget_ms:
            raise UsageError(f"budget_ms has no budget for {hardware}; it has: {', '.join(budget_ms)}")
        budget_ms = budget_ms[hardware]
    return None if budget_ms is None else checked_option("budget_ms", lambda: number(budget_ms, LATENCY_MS))


def _kind_name(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else type(value).__name__
