"""What the sessions that measure share: the device's processes, from the start to the end of the session."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Optional

import pytest

from ..errors import MeasurementRefused
from ..goldens.configuration import Configuration
from ..measure.device_session import session_on
from ..measure.progress import Progress
from ..measure.protocol import Plan
from .options import Options
from .session import Session

_STORAGE = "file://./.benchmarks"


class Measuring(Session):
    """A session on a device."""

    def __init__(self, config: pytest.Config, options: Options, configuration: Configuration, plan: Plan) -> None:
        super().__init__(config, options, configuration)
        target = options.target
        self.plan = plan
        self.measuring = session_on(target, plan, Progress(self._progress_writer()))
        if getattr(config.option, "benchmark_storage", None) == _STORAGE:
            config.option.benchmark_storage = f"{_STORAGE}/{target.hardware}/{target.label}"

    def start_measuring(self, subjects: int) -> None:
        """Starts the processes that will measure so many subjects; ends the session where the device refuses."""
        self.measuring.progress.models = subjects * self.plan.protocol.interleaved * self.plan.runs
        try:
            self.measuring.start()
        except MeasurementRefused as refused:
            pytest.exit(f"not measured, refused: {refused}", returncode=int(pytest.ExitCode.TESTS_FAILED))

    def finish(self, ended: bool) -> bool:
        """Ends the processes."""
        self.measuring.close()
        return True

    def device_info(self) -> Dict[str, Any]:
        """Returns the device, its mode and its software, for pytest-benchmark's JSON."""
        target = self.options.target
        known: Dict[str, Any] = {"hardware": target.hardware, "configuration": target.label}
        if self.measuring.started:  # --benchmark-compare asks before anything runs
            environment = self.measuring.environment()
            keys = ("name", "torch", "torchvision", "cuda", "cudnn", "threads")
            known.update({key: environment.get(key) for key in keys})
        return known

    def _progress_writer(self) -> Optional[Callable[[str], None]]:
        """Nothing is shown under -q, in CI, and where the output is no terminal."""
        config = self.config
        if config.option.verbose < 0 or os.environ.get("CI"):
            return None

        def write(line: str) -> None:
            terminal = config.pluginmanager.get_plugin("terminalreporter")
            if terminal is not None and terminal.isatty:
                terminal.rewrite(line, erase=True)
                terminal.flush()

        return write
