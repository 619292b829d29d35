"""A run on a cluster as it goes: a line when a step begins or ends, and at the end why it failed or what it left."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from kfp_server_api.exceptions import ApiException
from urllib3.exceptions import HTTPError

from pipelines.back_end import BackEnd, refusal
from pipelines.errors import BackEndError, RunFailedError
from shortlist.progress import explanation, parse
from shortlist.recipe import Step

_STEPS = [name.replace("_", "-") for name in get_args(Step)]
_OVER = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
_TOLD = ("published: ", "refused: ", "releases: ", "report: ", "record: ", "warning: ")
_EVERY_SECONDS = 2.0
_PROGRESS_SECONDS = 10.0
_LONG_PENDING_SECONDS = 60.0
_BROKEN_SECONDS = 120.0
"""How long the API may be away before following ends; the run goes on without it."""


@dataclass(frozen=True)
class Seen:
    """One step as the back end tells it."""

    state: str
    cached: bool
    seconds: float
    pod: str | None
    """Of the step itself; of the driver that prepares it while there is no other."""


@dataclass
class Follower:
    """Prints what changes; one a run."""

    back_end: BackEnd
    run: str
    show: Callable[[str], None]
    _shown: dict[str, str] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _said: float = 0.0

    def until_the_end(self) -> dict[str, Seen]:
        """Follow the run; its steps when it has succeeded. Raises RunFailedError, BackEndError."""
        last = time.monotonic()
        while True:
            try:
                run = self.back_end.client.get_run(self.run)
                last = time.monotonic()
            except ApiException as error:
                raise refusal(error, self.back_end.host) from error
            except HTTPError as error:
                if time.monotonic() - last > _BROKEN_SECONDS:
                    raise BackEndError(f"{error}; the run goes on without being followed: {self._page}") from error
                time.sleep(_EVERY_SECONDS)
                continue
            steps = steps_of(run)
            self._tell(steps)
            if run.state in _OVER:
                self._judge(run, steps)
                return steps
            time.sleep(_EVERY_SECONDS)

    @property
    def _page(self) -> str:
        return self.back_end.run_page(self.run)

    def _tell(self, steps: dict[str, Seen]) -> None:
        for name, seen in steps.items():
            if seen.state != self._shown.get(name):
                self._shown[name], self._since[name] = seen.state, time.monotonic()
                if line := _line(name, seen):
                    self.show(line)
            elif seen.state == "PENDING" and time.monotonic() - self._since[name] > _LONG_PENDING_SECONDS:
                self._since[name] = time.monotonic()
                self.show(f"  {name} waits for a node or its image; kubectl describe pod {seen.pod} says which")
            elif seen.state == "RUNNING":
                self._tell_progress(seen)

    def _tell_progress(self, seen: Seen) -> None:
        """The last progress line of the step that runs, now and then."""
        if seen.pod is None or time.monotonic() - self._said < _PROGRESS_SECONDS:
            return
        self._said = time.monotonic()
        lines = [line.strip() for line in self.back_end.log(self.run, seen.pod) if parse(line)]
        if lines and lines[-1] != self._shown.get("progress"):
            self._shown["progress"] = lines[-1]
            self.show(f"  {lines[-1]}")

    def _judge(self, run: Any, steps: dict[str, Seen]) -> None:
        failed = [name for name, seen in steps.items() if seen.state == "FAILED"]
        if run.state == "SUCCEEDED" and not failed:
            return
        if not failed:
            said = run.error.message if run.error else ""
            raise RunFailedError(f"the run ended as {run.state.lower()} {said}\n{self._page}")
        pod = steps[failed[0]].pod
        why = explanation(self.back_end.log(self.run, pod) if pod else [])
        raise RunFailedError(f"{failed[0]} failed: {why or 'it left no output'}\n{self._page}")


def steps_of(run: Any) -> dict[str, Seen]:
    """The steps that have begun, in the order in which they did, from the run as the API tells it.

    Each step shows as two tasks, `ingest-driver` and `ingest`; the driver finds the inputs, and skips what the cache
    has. A driver that fails stands for its step.
    """
    tasks = sorted(
        (run.run_details.task_details if run.run_details else None) or [],
        key=lambda task: (str(task.create_time), str(task.start_time)),
    )
    steps: dict[str, Seen] = {}
    for task in tasks:
        name = task.display_name.removesuffix("-driver")
        if name not in _STEPS:
            continue
        driver = task.display_name.endswith("-driver")
        state = task.state or "PENDING"
        if driver and state in ("SUCCEEDED", "SKIPPED"):
            continue
        pods = [child.pod_name for child in task.child_tasks or [] if child.pod_name]
        seconds = (task.end_time - task.start_time).total_seconds() if task.end_time and task.start_time else 0.0
        shown = "PENDING" if driver and state != "FAILED" else state
        if not (driver and name in steps):
            steps[name] = Seen(shown, state == "SKIPPED", max(seconds, 0.0), pods[-1] if pods else task.pod_name)
    return steps


@dataclass(frozen=True)
class Outcome:
    """What a run that succeeded left."""

    published: bool
    lines: list[str]
    """Verdict and release, and where the releases, the report and the artifacts of all steps lie."""


def outcome_of(back_end: BackEnd, run: str, steps: dict[str, Seen]) -> Outcome:
    """Read from what publish and report have said, since the API of older back ends knows no artifacts."""
    pods = [steps[name].pod for name in ("publish", "report") if name in steps]
    said = [line.strip() for pod in pods if pod for line in back_end.log(run, pod)]
    lines = [line for line in said if line.startswith(_TOLD)]
    roots = {line.split(run)[0].partition(": ")[2] for line in lines if line.startswith("report: ") and run in line}
    lines += [f"artifacts: {root}{run}/" for root in roots]
    return Outcome(any(line.startswith("published: ") for line in lines), lines)


def _line(name: str, seen: Seen) -> str:
    if seen.cached:
        return f"{name}: from the cache"
    if seen.state == "SUCCEEDED":
        return f"{name}: done in {seen.seconds:.0f} s"
    return f"{name}: {seen.state.lower()}" if seen.state in ("RUNNING", "FAILED", "CANCELED") else ""
