"""Runs are kept, counted, told apart and removed, and one that runs is never touched."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shortlist.cli.run_folders import State, find_run, list_runs, new_run, remove_runs, write_failure

HOLDER = """
import sys, time
from pathlib import Path
from shortlist.cli.run_folders import new_run
folder, lock = new_run(Path(sys.argv[1]), 9)
print(folder.name, flush=True)
time.sleep(600)
"""


def ended(runs: Path, keep: int = 9) -> Path:
    folder, lock = new_run(runs, keep)
    lock.close()
    return folder


def test_the_newest_are_kept_and_those_that_run(tmp_path: Path) -> None:
    running, lock = new_run(tmp_path, 1)
    for _ in range(4):
        last = ended(tmp_path, keep=2)
    kept = [one.path for one in list_runs(tmp_path)]
    assert kept[0] == last
    assert kept[-1] == running, "the oldest of all, and it runs"
    assert len(kept) == 3
    lock.close()
    assert [one.path for one in list_runs(tmp_path)][1:] != []
    newest = ended(tmp_path, keep=1)
    assert [one.path for one in list_runs(tmp_path)] == [newest]
    with pytest.raises(ValueError, match="keep at least 1 run"):
        new_run(tmp_path, 0)


def test_a_killed_run_is_no_longer_running_and_its_pipeline_still_is(tmp_path: Path) -> None:
    """The lock goes with the last process that inherited it."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        name = holder.stdout.readline().strip()
        assert find_run(tmp_path, name).state == State.RUNNING
        with pytest.raises(ValueError, match=f"{name} is running; end it first"):
            remove_runs(tmp_path, [find_run(tmp_path, name)])
        holder.kill()
    one = find_run(tmp_path, name)
    assert (one.state, one.seconds) == (State.FAILED, None)
    assert "it was killed" in one.failure
    folder, lock = new_run(tmp_path, 9)
    child = subprocess.Popen(["sleep", "600"], pass_fds=[lock.descriptor])
    lock.close()
    assert find_run(tmp_path, folder.name).state == State.RUNNING
    child.kill()
    child.wait()
    assert find_run(tmp_path, folder.name).state == State.FAILED


def test_how_a_run_ended_is_read_from_what_it_left(tmp_path: Path) -> None:
    good, refused, failed = (ended(tmp_path) for _ in range(3))
    for folder, published in ((good, True), (refused, False)):
        (folder / "run.json").write_text(json.dumps({"decision": {"published": published}}))
    write_failure(failed, "ingest failed: no such file")
    states = [(one.path, one.state) for one in list_runs(tmp_path)]
    assert states == [(failed, State.FAILED), (refused, State.REFUSED), (good, State.SUCCEEDED)]
    assert find_run(tmp_path, "last").failure == "ingest failed: no such file"
    os.utime(good / "run.json", (time.time() + 100, time.time() + 100))
    seconds = find_run(tmp_path, good.name).seconds
    assert seconds is not None
    assert round(seconds, -1) == 100


def test_a_run_is_found_by_how_its_name_starts(tmp_path: Path) -> None:
    one, other = ended(tmp_path), ended(tmp_path)
    assert find_run(tmp_path, other.name).path == other
    assert find_run(tmp_path, "last").path == other
    with pytest.raises(ValueError, match=f"more than one run starts with '20'; there are: {other.name}, {one.name}"):
        find_run(tmp_path, "20")
    with pytest.raises(ValueError, match="there is no run '1'"):
        find_run(tmp_path, "1")
    (tmp_path / "notes of mine").mkdir()
    remove_runs(tmp_path, [find_run(tmp_path, one.name)])
    assert [run.path for run in list_runs(tmp_path)] == [other]
    assert (tmp_path / "notes of mine").is_dir()
