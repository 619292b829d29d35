"""The output of a run: one bar per step on a terminal, plain lines in a log; the full output goes to the run's log."""

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from shortlist.progress import explanation, parse

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '(?P<step>[\w-]+)'")
_ENDED = re.compile(r"Task '(?P<step>[\w-]+)' finished with status (?P<status>\w+)")
_DECIDED = re.compile(r"^step (?P<step>[\w-]+): (?P<what>reused|runs again, .+)$")
_TOLD = re.compile(r"^(not )?tracked: ")
"""What a step says that is shown in full."""
_KEPT = 200
"""The number of last lines of the current step that are kept, to explain a failure."""
_PLAIN_EVERY_SECONDS = 10.0


class RunConsole:
    """Follows the output of a pipeline run, line by line."""

    def __init__(self, log: Path, console: Console) -> None:
        self._log = log.open("a", encoding="utf-8")  # a resumed run continues its log
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar: TaskID | None = None
        self.step = ""
        self._lines: list[str] = []
        self._failed = ""
        self._printed = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()
        self._log.close()

    def follow(self, lines: Iterable[str]) -> None:
        """Show the output of a run until it ends."""
        for raw in lines:
            line = _COLOUR.sub("", raw).strip()
            self._log.write(f"{line}\n")
            self._log.flush()
            self._show(line)

    def why_it_failed(self) -> str:
        """The error message of the first failed step, or the end of its output if it has no message."""
        return self._failed or f"{self.step or 'the pipeline'} failed: {explanation(self._lines)}"

    def _show(self, line: str) -> None:
        if started := _STARTED.search(line):
            self.step, self._lines = started["step"], []
            self._bar = self._bars.add_task(self.step, total=None, note="")
            self._plain(self.step)
        elif ended := _ENDED.search(line):
            self._finish(ended["status"])
        elif decided := _DECIDED.search(line):
            self._decided(decided["step"], decided["what"])
        elif progress := parse(line):
            if self._bar is not None:
                note = f"{progress.label} {progress.note}"
                self._bars.update(self._bar, completed=progress.done, total=progress.total, note=note)
            self._plain_progress(line, whole=progress.done >= progress.total)
        elif line:
            if _TOLD.search(line):
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._lines = [*self._lines[1 - _KEPT :], line]

    def _decided(self, step: str, what: str) -> None:
        """A step that is complete is not started; of one that starts again, the reason is shown."""
        if what == "reused":
            self._bars.stop_task(self._bars.add_task(step, total=1, completed=1, note=what))
            self._plain(f"{step} {what}")
        else:
            self._console.print(f"{step} {what}", markup=False, highlight=False, soft_wrap=True)

    @property
    def failed(self) -> bool:
        """Whether a step failed."""
        return bool(self._failed)

    def _finish(self, status: str) -> None:
        # kfp's Docker runner reports success for a failed step whose container is removed before its status is read.
        if any(line.startswith("error: ") for line in self._lines):
            status = "FAILURE"
        if self._bar is not None:
            if status == "SUCCESS":
                self._bars.update(self._bar, completed=1, total=1, note="")
            self._bars.stop_task(self._bar)
        if status != "SUCCESS":
            self._failed = self._failed or f"{self.step} failed: {explanation(self._lines)}"
            self._plain(f"{self.step} {status.lower()}")

    def _plain_progress(self, line: str, *, whole: bool) -> None:
        if whole or time.monotonic() - self._printed >= _PLAIN_EVERY_SECONDS:
            self._printed = time.monotonic()
            self._plain(f"  {line}")

    def _plain(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
