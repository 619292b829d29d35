"""Many jobs side by side, each in a process and with a log of its own; what is done stays done."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from pathlib import Path

from benchmarks.quality.jobs import Job, run_job, work_folder
from shortlist.progress import say


def run_jobs(jobs: Sequence[Job], *, processes: int = 1, threads: int = 1) -> list[Job]:
    """Run what has no result yet; the jobs that failed. An error ends its own job, and its log says why.

    With several processes each has its own CUDA context, and as many CPU threads as `threads` says.
    """
    waiting = [job for job in jobs if not job.done]
    say(f"{len(jobs)} runs, {len(jobs) - len(waiting)} of them done already")
    failed: list[Job] = []
    start = time.monotonic()
    context = get_context("spawn")  # a fork would carry thread pools and CUDA contexts along
    with ProcessPoolExecutor(processes, mp_context=context, initializer=begin_worker, initargs=(threads,)) as pool:
        running = {pool.submit(_logged, job): job for job in waiting}
        for count, future in enumerate(as_completed(running), 1):
            job, error = running[future], future.exception()
            if error is not None:
                failed.append(job)
            told = f"failed: {error}, see {_log(job)}" if error is not None else "done"
            say(f"{count}/{len(waiting)} after {time.monotonic() - start:.0f} s: {job}: {told}")
    return failed


def begin_worker(threads: int) -> None:
    """Before numpy, torch and FAISS start their thread pools in this process, which ends with its starter."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()


def _end_with_parent() -> None:
    """A killed starter tells its workers nothing: a training would go on for hours, for nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _logged(job: Job) -> None:
    log = _log(job)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
        say(str(job))
        try:
            run_job(job)
        except Exception as error:  # noqa: BLE001 -- the other jobs go on, whatever went wrong in this one
            traceback.print_exc()
            sys.stderr.flush()
            # Not every library's error can be sent to another process.
            raise RuntimeError(f"{type(error).__name__}: {error}") from None


def _log(job: Job) -> Path:
    return work_folder() / "logs" / f"{job.data}-{job.model}-{job.part}-{job.seed}-{job.key}.log"
