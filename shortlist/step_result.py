"""The record of a step: time, peak memory, row counts and metrics, in one JSON file next to its outputs."""

import json
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shortlist.progress import say


class StepResult(BaseModel):
    """The return value of a step: row counts, metrics, and details for the report."""

    rows_in: dict[str, int] = {}
    rows_out: dict[str, int] = {}
    metrics: dict[str, float] = {}
    """Single numbers, shown as the step's metrics in Kubeflow Pipelines."""
    details: dict[str, Any] = {}
    """Curves, tables and texts for the report, by name, as plain JSON."""


class StepRecord(BaseModel):
    """The result of a step with its time and peak memory."""

    step: str
    seconds: float
    peak_memory_mb: float
    result: StepResult


def run_step(step: str, work: Callable[[], StepResult], to: str | Path) -> StepRecord:
    """Run one step in this process and write its record as JSON to `to`.

    A ValueError or OSError is an error that the user can fix: it is printed in lines that begin with `error: ` and
    raised again.
    """
    start = time.perf_counter()
    try:
        result = work()
    except (ValueError, OSError) as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            say(f"error: {line}")
        raise
    done = StepRecord(
        step=step,
        seconds=round(time.perf_counter() - start, 3),
        peak_memory_mb=peak_memory_mb(),
        result=result,
    )
    path = Path(to)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(done.model_dump_json(indent=1))
    return done


def peak_memory_mb() -> float:
    """The peak memory of this process, in MiB.

    On Linux, `ru_maxrss` is inherited from the process that forked this one, so VmHWM is read where it exists.
    """
    status = Path("/proc/self/status")
    own = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    kilobytes = int(own[1]) if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / 1024, 1)


def read_record(path: str | Path) -> StepRecord:
    """Read the record of a step. Raises ValueError for another file, and for a record of version 0.1.0 or older."""
    read = json.loads(Path(path).read_text())
    if "facts" in read:
        raise ValueError(f"{path}: the record was written by shortlist 0.1.0 or older; run the recipe again")
    return StepRecord.model_validate(read)
