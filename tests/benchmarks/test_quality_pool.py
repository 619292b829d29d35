"""The bench's workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STARTER = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from benchmarks.quality.pool import begin_worker

if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=begin_worker, initargs=(1,)) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600).result()
"""


def test_a_worker_ends_with_a_starter_that_was_killed(tmp_path):
    script = tmp_path / "starter.py"
    script.write_text(STARTER)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=env) as starter:
        assert starter.stdout is not None
        worker = int(starter.stdout.readline())
        assert Path(f"/proc/{worker}").exists()
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
