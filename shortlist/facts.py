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


class StepFacts(BaseModel):
    """What every step of the pipeline tells about itself."""

    rows_in: dict[str, int] = {}
    rows_out: dict[str, int] = {}
    metrics: dict[str, float] = {}
    """Single numbers; they show as the step's metrics in Kubeflow Pipelines."""
    details: dict[str, Any] = {}
    """Curves, tables and texts for the report, by name; plain JSON."""


class StepRecord(BaseModel):
    """The facts of a step with what the outside measured."""

    step: str
    seconds: float
    peak_memory_mb: float
    facts: StepFacts


def record(step: str, work: Callable[[], StepFacts], to: str | Path) -> StepRecord:
    """Run one step in this process and leave its record as JSON at `to`.

    What a user can mend (ValueError, OSError) is said in lines that begin with `error: `, before it is raised on.
    """
    start = time.perf_counter()
    try:
        facts = work()
    except (ValueError, OSError) as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            say(f"error: {line}")
        raise
    done = StepRecord(
        step=step,
        seconds=round(time.perf_counter() - start, 3),
        peak_memory_mb=peak_memory_mb(),
        facts=facts,
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
    """Raises ValueError when the file is not a record."""
    return StepRecord.model_validate(json.loads(Path(path).read_text()))
