"""Follows a run on a cluster: a line when a step starts or ends, and finally why it failed or its outputs."""

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
_FINAL_STATES = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
_OUTCOME_LINES = ("published: ", "refused: ", "releases: ", "report: ", "record: ", "warning: ")
_NOISE = re.compile(r"[IWEF]\d{4} |time=\S+ level=|Error: exit status|\[KFP Executor|\s*[\"{}\[\]]")
"""Lines of Kubeflow's launcher and of Argo in the log of a step, including the JSON that they print."""
_NO_POD_SECONDS = 1.0
"""No pod is that fast: version 2.0 reports a cached step as an immediate success."""
_EVERY_SECONDS = 2.0
_PROGRESS_SECONDS = 10.0
_WAITING_SECONDS = 60.0
_BROKEN_SECONDS = 120.0
"""How long the API may be unavailable before following stops; the run continues."""


@dataclass(frozen=True)
class StepStatus:
    """The status of one step."""

    state: str
    """WAITING until its pod runs, then the state of the API."""
    seconds: float
    nodes: list[str]
    """Argo's names of the nodes of the step, one of which is its pod."""


@dataclass
class Follower:
    """Shows the changes of one run."""

    back_end: BackEnd
    run: str
    show: Callable[[str], None]
    _shown: dict[str, str] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _printed: float = 0.0

    def until_the_end(self) -> dict[str, StepStatus]:
        """Follow the run until it ends; returns its steps if it succeeds. Raises RunFailedError and BackEndError."""
        last_response, ended = time.monotonic(), False
        while True:
            try:
                run = self.back_end.client.get_run(self.run)
            except ApiException as error:
                raise refusal(error, self.back_end.host) from error
            except HTTPError as error:
                if time.monotonic() - last_response > _BROKEN_SECONDS:
                    raise BackEndError(
                        f"{error}; the run continues, but is no longer followed: {self._page}"
                    ) from error
            else:
                last_response = time.monotonic()
                steps = steps_of(run)
                for name, status in steps.items():
                    self._report(name, status)
                if run.state in _FINAL_STATES:
                    if ended:
                        self._check_success(run, steps)
                        return steps
                    ended = True  # the states of the tasks are updated a moment later: read them once more
            time.sleep(_EVERY_SECONDS)

    @property
    def _page(self) -> str:
        return self.back_end.run_page(self.run)

    def _report(self, name: str, status: StepStatus) -> None:
        now = time.monotonic()
        if status.state != self._shown.get(name):
            self._shown[name], self._since[name] = status.state, now
            if line := _line(name, status):
                self.show(line)
        elif status.state == "WAITING" and now - self._since[name] > _WAITING_SECONDS:
            self._since[name] = now
            self.show(f"  {name} is waiting for a node or its image: see kubectl get pods and kubectl describe pod")
        elif status.state == "RUNNING" and now - self._printed > _PROGRESS_SECONDS:
            self._printed = now
            lines = [line.strip() for line in log_of(self.back_end, self.run, status) if parse(line)]
            if lines and lines[-1] != self._shown.get("progress"):
                self._shown["progress"] = lines[-1]
                self.show(f"  {lines[-1]}")

    def _check_success(self, run: Any, steps: dict[str, StepStatus]) -> None:
        failed = [name for name, status in steps.items() if status.state == "FAILED"]
        if run.state == "SUCCEEDED" and not failed:
            return
        if not failed:
            reason = run.error.message if run.error else ""
            raise RunFailedError(f"the run ended as {run.state.lower()} {reason}\n{self._page}")
        why = explanation(log_of(self.back_end, self.run, steps[failed[0]]))
        why = why or f"it has no output; use kubectl describe on its pod: {', '.join(steps[failed[0]].nodes)}"
        raise RunFailedError(f"{failed[0]} failed: {why}\n{self._page}")


def steps_of(run: Any) -> dict[str, StepStatus]:
    """The steps that have started, in their order, from the run of the API.

    Each step has two tasks, `ingest-driver` and `ingest`: the driver resolves the inputs and checks the cache. `ingest`
    has a child `executor`, which is the pod. A task that has not started has no state.
    """
    tasks = [task for task in (run.run_details and run.run_details.task_details) or [] if task.state]
    pods_wait = any(task.display_name == "executor" and task.state == "PENDING" for task in tasks)
    nodes = [child.pod_name for task in tasks for child in task.child_tasks or [] if child.pod_name]
    steps: dict[str, StepStatus] = {}
    for task in sorted(tasks, key=lambda task: (str(task.start_time), task.display_name.endswith("-driver"))):
        name, driver = task.display_name.removesuffix("-driver"), task.display_name.endswith("-driver")
        if name not in _STEPS or name in steps or (driver and task.state in ("SUCCEEDED", "SKIPPED")):
            continue
        waits = task.state != "FAILED" if driver else task.state == "RUNNING" and pods_wait
        seconds = (task.end_time - task.start_time).total_seconds() if task.end_time and task.start_time else 0.0
        own = [child.pod_name for child in task.child_tasks or [] if child.pod_name]
        # In version 2.0, the API does not say which node is a driver: it may be any of them.
        steps[name] = StepStatus("WAITING" if waits else task.state, max(seconds, 0.0), nodes if driver else own)
    return steps


def log_of(back_end: BackEnd, run: str, status: StepStatus) -> list[str]:
    """The output of the step, or the error of a failed driver."""
    for node in status.nodes:
        if lines := back_end.log(run, node, "impl"):
            own = [line for line in lines if not _NOISE.match(line)]
            return [line for line, before in zip(own, ["", *own], strict=False) if line != before]
    if status.state != "FAILED":
        return []
    driver_lines = [line for node in status.nodes for line in back_end.log(run, node, "driver")]
    return [line.partition("] ")[2] for line in driver_lines if line.startswith("F")]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a successful run."""

    published: bool
    lines: list[str]
    """The verdict, the release, and the locations of the releases, the report and the artifacts of all steps."""


def outcome_of(back_end: BackEnd, run: str, steps: dict[str, StepStatus]) -> Outcome:
    """The outcome from the output of publish and report, since the API of older back ends has no artifacts."""
    output = [line.strip() for name in ("publish", "report") for line in log_of(back_end, run, steps[name])]
    lines = [line for line in dict.fromkeys(output) if line.startswith(_OUTCOME_LINES)]
    roots = {line.split(run)[0].partition(": ")[2] for line in lines if line.startswith("report: ") and run in line}
    lines += [f"artifacts: {root}{run}/" for root in roots]
    return Outcome(any(line.startswith("published: ") for line in lines), lines)


def _line(name: str, status: StepStatus) -> str:
    if status.state == "SUCCEEDED" and status.seconds < _NO_POD_SECONDS:
        return f"{name}: from the cache"
    if status.state == "SUCCEEDED":
        return f"{name}: done in {status.seconds:.0f} s"
    shown = {"RUNNING": "running", "SKIPPED": "from the cache", "FAILED": "failed", "CANCELED": "canceled"}
    return f"{name}: {shown[status.state]}" if status.state in shown else ""
