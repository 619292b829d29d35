"""What a step did: its time, its peak memory, its rows and its metrics, in one JSON file beside its outputs."""

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
    """What a step returns: its rows, its metrics and what the report shows of it."""

    rows_in: dict[str, int] = {}
    rows_out: dict[str, int] = {}
    metrics: dict[str, float] = {}
    """Single numbers; they show as the step's metrics in Kubeflow Pipelines."""
    details: dict[str, Any] = {}
    """Curves, tables and texts for the report, by name; plain JSON."""


class StepRecord(BaseModel):
    """The result of a step with its time and its peak memory."""

    step: str
    seconds: float
    peak_memory_mb: float
    result: StepResult


def run_step(step: str, work: Callable[[], StepResult], to: str | Path) -> StepRecord:
    """Run one step in this process and leave its record as JSON at `to`.

    A ValueError or OSError, which the user can fix, is printed in lines that begin with `error: ` and raised again.
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
    """The most memory that this process has held, in MiB.

    Linux hands `ru_maxrss` on from the process that forked this one, so its own high-water mark is read where it is.
    """
    status = Path("/proc/self/status")
    own = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    kilobytes = int(own[1]) if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / 1024, 1)


def read_record(path: str | Path) -> StepRecord:
    """Raises ValueError when the file is not a record, or one of a version that called the result `facts`."""
    read = json.loads(Path(path).read_text())
    if "facts" in read:
        raise ValueError(f"{path}: a record of shortlist 0.1.0 or older; run the recipe again")
    return StepRecord.model_validate(read)
