"""A run on a cluster as it goes: a line when a step begins or ends, and at the end why it failed or what it left."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from kfp_server_api.exceptions import ApiException
from urllib3.exceptions import HTTPError

from shortlist.pipelines.back_end import BackEnd, refusal
from shortlist.pipelines.errors import BackEndError, RunFailedError
from shortlist.progress import explanation, parse
from shortlist.recipe import Step

_STEPS = [name.replace("_", "-") for name in get_args(Step)]
_OVER = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
_TOLD = ("published: ", "refused: ", "releases: ", "report: ", "record: ", "warning: ")
_NOISE = re.compile(r"[IWEF]\d{4} |time=\S+ level=|Error: exit status|\[KFP Executor|\s*[\"{}\[\]]")
"""Lines of Kubeflow's launcher and of Argo around those of a step, with the JSON that they print."""
_NO_POD_SECONDS = 1.0
"""No pod is that quick: 2.0 tells of a step whose pod was skipped that it succeeded at once."""
_EVERY_SECONDS = 2.0
_PROGRESS_SECONDS = 10.0
_WAITING_SECONDS = 60.0
_BROKEN_SECONDS = 120.0
"""How long the API may be away before following ends; the run goes on without it."""


@dataclass(frozen=True)
class Seen:
    """One step as the back end tells it."""

    state: str
    """WAITING, until its pod runs; then as the API names it."""
    seconds: float
    nodes: list[str]
    """Argo's names of what it consists of, one of which is its pod."""


@dataclass
class Follower:
    """Shows what changes; one a run."""

    back_end: BackEnd
    run: str
    show: Callable[[str], None]
    _shown: dict[str, str] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _said: float = 0.0

    def until_the_end(self) -> dict[str, Seen]:
        """Follow the run; its steps when it has succeeded. Raises RunFailedError, BackEndError."""
        answered, over = time.monotonic(), False
        while True:
            try:
                run = self.back_end.client.get_run(self.run)
            except ApiException as error:
                raise refusal(error, self.back_end.host) from error
            except HTTPError as error:
                if time.monotonic() - answered > _BROKEN_SECONDS:
                    raise BackEndError(f"{error}; the run goes on without being followed: {self._page}") from error
            else:
                answered = time.monotonic()
                steps = steps_of(run)
                for name, seen in steps.items():
                    self._tell(name, seen)
                if run.state in _OVER:
                    if over:
                        self._judge(run, steps)
                        return steps
                    over = True  # its tasks are told a moment later: look once more
            time.sleep(_EVERY_SECONDS)

    @property
    def _page(self) -> str:
        return self.back_end.run_page(self.run)

    def _tell(self, name: str, seen: Seen) -> None:
        now = time.monotonic()
        if seen.state != self._shown.get(name):
            self._shown[name], self._since[name] = seen.state, now
            if line := _line(name, seen):
                self.show(line)
        elif seen.state == "WAITING" and now - self._since[name] > _WAITING_SECONDS:
            self._since[name] = now
            self.show(f"  {name} waits for a node or for its image: kubectl get pods says which pod, and describe why")
        elif seen.state == "RUNNING" and now - self._said > _PROGRESS_SECONDS:
            self._said = now
            lines = [line.strip() for line in log_of(self.back_end, self.run, seen) if parse(line)]
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
        why = explanation(log_of(self.back_end, self.run, steps[failed[0]]))
        why = why or f"it left no output; kubectl describes its pod: {', '.join(steps[failed[0]].nodes)}"
        raise RunFailedError(f"{failed[0]} failed: {why}\n{self._page}")


def steps_of(run: Any) -> dict[str, Seen]:
    """The steps that have begun, in the order in which they did, from the run as the API tells it.

    Each step shows as two tasks, `ingest-driver` and `ingest`: the driver finds the inputs and asks the cache. Below
    `ingest` there is an `executor`, which is the pod. What never began has no state.
    """
    tasks = [task for task in (run.run_details and run.run_details.task_details) or [] if task.state]
    pods_wait = any(task.display_name == "executor" and task.state == "PENDING" for task in tasks)
    nodes = [child.pod_name for task in tasks for child in task.child_tasks or [] if child.pod_name]
    steps: dict[str, Seen] = {}
    for task in sorted(tasks, key=lambda task: (str(task.start_time), task.display_name.endswith("-driver"))):
        name, driver = task.display_name.removesuffix("-driver"), task.display_name.endswith("-driver")
        if name not in _STEPS or name in steps or (driver and task.state in ("SUCCEEDED", "SKIPPED")):
            continue
        waits = task.state != "FAILED" if driver else task.state == "RUNNING" and pods_wait
        seconds = (task.end_time - task.start_time).total_seconds() if task.end_time and task.start_time else 0.0
        own = [child.pod_name for child in task.child_tasks or [] if child.pod_name]
        # The API of 2.0 does not say which node a driver is: any may be it.
        steps[name] = Seen("WAITING" if waits else task.state, max(seconds, 0.0), nodes if driver else own)
    return steps


def log_of(back_end: BackEnd, run: str, seen: Seen) -> list[str]:
    """What the step itself has said; of a driver that failed, why."""
    for node in seen.nodes:
        if lines := back_end.log(run, node, "impl"):
            own = [line for line in lines if not _NOISE.match(line)]
            return [line for line, before in zip(own, ["", *own], strict=False) if line != before]
    if seen.state != "FAILED":
        return []
    said = [line for node in seen.nodes for line in back_end.log(run, node, "driver")]
    return [line.partition("] ")[2] for line in said if line.startswith("F")]


@dataclass(frozen=True)
class Outcome:
    """What a run that succeeded left."""

    published: bool
    lines: list[str]
    """Verdict and release, and where the releases, the report and the artifacts of all steps lie."""


def outcome_of(back_end: BackEnd, run: str, steps: dict[str, Seen]) -> Outcome:
    """Read from what publish and report have said, since the API of older back ends knows no artifacts."""
    said = [line.strip() for name in ("publish", "report") for line in log_of(back_end, run, steps[name])]
    lines = [line for line in dict.fromkeys(said) if line.startswith(_TOLD)]
    roots = {line.split(run)[0].partition(": ")[2] for line in lines if line.startswith("report: ") and run in line}
    lines += [f"artifacts: {root}{run}/" for root in roots]
    return Outcome(any(line.startswith("published: ") for line in lines), lines)


def _line(name: str, seen: Seen) -> str:
    if seen.state == "SUCCEEDED" and seen.seconds < _NO_POD_SECONDS:
        return f"{name}: from the cache"
    if seen.state == "SUCCEEDED":
        return f"{name}: done in {seen.seconds:.0f} s"
    shown = {"RUNNING": "runs", "SKIPPED": "from the cache", "FAILED": "failed", "CANCELED": "canceled"}
    return f"{name}: {shown[seen.state]}" if seen.state in shown else ""
