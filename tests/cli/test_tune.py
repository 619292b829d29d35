"""A study on Ray Tune, killed in the middle of its trial and resumed with one trial more, which ASHA stops."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from shortlist.recipe import load_recipe
from shortlist.tuning.trials import COMPLETE, STOPPED, read_trials

RECIPE = """
name: tiny
seed: 8  # draws a good first trial, and a second one with a rate that is too small
source: {kind: synthetic, users: 100, items: 100, events: 6000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
features: {item: {id_dim: 8}}
retrieval: {dim: 8, hidden: [], training: {epochs: 3, batch_size: 64}}
tune:
  metric: mrr_at_10
  trials: 1
  min_epochs: 2
  fields:
    retrieval.dim: {choice: [8, 16]}
    retrieval.training.learning_rate: {log_uniform: [1.0e-4, 1.0e-2]}
"""


def tune(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "shortlist.cli", "tune", "tiny.yaml", *more]
    with (folder / "log.txt").open("a") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, text=True, start_new_session=True)


def epochs(folder: Path) -> list[str]:
    found = sorted(folder.glob(".work/tune/tiny/*/trials/*/epochs.jsonl"))
    return [line for path in found for line in path.read_text().splitlines()]


def kill(process: subprocess.Popen[str]) -> None:
    """End a process and everything below it, without a chance to tidy up."""
    below = psutil.Process(process.pid).children(recursive=True)
    for one in (psutil.Process(process.pid), *below):
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(below)
    process.wait()


@pytest.mark.timeout(1200)  # Ray starts twice; minutes on a busy machine
def test_a_study_goes_on_after_a_kill_and_leaves_the_best_trial_as_a_recipe(tmp_path: Path) -> None:
    (tmp_path / ".work").mkdir()
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    first = tune(tmp_path)
    while not epochs(tmp_path) and first.poll() is None:
        time.sleep(0.2)
    assert first.poll() is None, (tmp_path / "log.txt").read_text()
    kill(first)
    before = epochs(tmp_path)
    (study,) = (tmp_path / ".work/tune/tiny").iterdir()
    values = {one.name: one.values for one in read_trials(study)}
    made = (study / "shared/steps/prepare.json").stat().st_mtime_ns
    second = tune(tmp_path, "--resume", "--trials", "2")
    assert second.wait() == 0, (tmp_path / "log.txt").read_text()

    assert [path.name for path in (tmp_path / ".work/tune/tiny").iterdir()] == [study.name]
    assert (study / "shared/steps/prepare.json").stat().st_mtime_ns == made, "the data was prepared again"
    trials = read_trials(study)
    found = [(one.name, one.state, [epoch for epoch, _ in one.curve]) for one in trials]
    assert found == [("00000", COMPLETE, [1, 2, 3]), ("00001", STOPPED, [1, 2])]
    assert trials[0].values == values["00000"]
    after = epochs(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == 5, "an epoch was recorded twice"

    best = load_recipe(tmp_path / "tiny.tuned.yaml")
    assert best.retrieval.dim == trials[0].values["retrieval.dim"]
    assert best.retrieval.training.learning_rate == trials[0].values["retrieval.training.learning_rate"]
    assert best.features == load_recipe(tmp_path / "tiny.yaml").features
    assert len(json.loads((study / "trials.json").read_text())) == 2
    shared, *trained = (path.stat().st_ino for path in study.rglob("prepare/samples/item.npy"))
    assert trained == [shared, shared], "the trials share the prepared files"
