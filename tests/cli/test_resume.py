"""Whole runs that are stopped, killed and resumed, and new ones that take over what did not change."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shortlist.cli.main import app
from shortlist.cli.run_folders import State, list_runs
from shortlist.cli.step_records import OUTPUTS
from shortlist.step_result import read_record
from shortlist.training.checkpoints import best_weights

RECIPE = """
name: tiny
source: {kind: synthetic, users: 60, items: 100, events: 6000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
interactions: {positive: played_ratio_pct >= 50}
features: {item: {id_dim: 8}}
retrieval: {dim: 8, hidden: [], training: {epochs: 5, patience: 5, batch_size: 16, device: cpu}}
ranking: {candidates: 50, neighbours: 0, recent: [], training: {epochs: 1, device: cpu}}
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "shortlist.cli", *arguments]


def shortlist(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def steps_in(shown: str) -> list[str]:
    """The lines about steps, without progress."""
    lines = shown.partition("\n\n")[0].splitlines()
    return [line for line in lines if line and not line.startswith(" ") and line != "conclude"]


def runs(folder: Path) -> Path:
    return folder / ".work/runs/tiny"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that stopped after its evaluation."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "shop.yaml").write_text(RECIPE)
    shown = shortlist("run", "shop.yaml", "--until", "evaluate", cwd=folder)
    assert "stopped after evaluate; nothing was published" in shown
    assert not (folder / ".work/releases/tiny/live.json").exists()
    return folder


@pytest.mark.timeout(1800)
def test_a_killed_training_is_resumed_to_the_same_weights_and_metrics(undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(RECIPE)
    run = subprocess.Popen(command("run", "shop.yaml"), cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not list(runs(tmp_path).glob(f"2*/{OUTPUTS}/train-retrieval/towers/checkpoints.json")):
        assert run.poll() is None
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    while list_runs(runs(tmp_path))[0].state == State.RUNNING:
        time.sleep(0.1)
    shown = shortlist("run", "shop.yaml", "--resume", "--until", "train_retrieval", cwd=tmp_path)
    reused = [f"{step} reused" for step in ("survey", "ingest", "validate", "prepare")]
    assert steps_in(shown) == [*reused, "train-retrieval"]
    (folder,) = runs(tmp_path).glob("2*")
    assert "train retrieval: resuming after epoch" in (folder / "run.log").read_text()

    (other,) = runs(undisturbed).glob("2*")
    folders = [one / OUTPUTS / "train-retrieval" for one in (folder, other)]
    found, expected = (best_weights(one / "towers") for one in folders)
    assert found.keys() == expected.keys()
    assert all(bool((found[name] == expected[name]).all()) for name in expected)
    ours, theirs = (read_record(one / "record").result.metrics for one in folders)
    timed = ("examples_per_second", "peak_memory_mb")
    assert ours | dict.fromkeys(timed, 0) == theirs | dict.fromkeys(timed, 0)


@pytest.mark.timeout(1800)
def test_a_new_run_takes_over_what_did_not_change_and_outlives_the_old_one(undisturbed: Path) -> None:
    (old,) = runs(undisturbed).glob("2*")
    before = {path: path.stat().st_mtime_ns for path in old.rglob("*") if path.is_file() and path.name != ".lock"}
    recipe = undisturbed / "shop.yaml"
    recipe.write_text(RECIPE.replace("candidates: 50", "candidates: 40"))
    shown = shortlist("run", "shop.yaml", "--from", old.name, "--until", "evaluate", cwd=undisturbed)
    early = [f"{step} reused" for step in ("ingest", "validate", "prepare", "train-retrieval", "export", "build-index")]
    assert steps_in(shown) == [
        "survey",
        *early,
        "train-ranking runs again, since ranking.candidates changed",
        "train-ranking",
        "evaluate",
    ]
    after = {path: path.stat().st_mtime_ns for path in old.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before

    # The run that is now the only one goes on, and publishes from files that it shared.
    new = list_runs(runs(undisturbed))[0]
    shortlist("runs", "remove", "shop.yaml", old.name, cwd=undisturbed)
    listed = shortlist("runs", "list", "shop.yaml", cwd=undisturbed)
    assert "stopped after evaluate" in listed
    shown = shortlist("run", "shop.yaml", "--resume", "--force", "--no-answer", cwd=undisturbed)
    late = [f"{step} reused" for step in ("train-ranking", "evaluate")]
    assert steps_in(shown) == ["survey reused", *early, *late, "publish", "write-lists", "report"]
    assert "ublished" in shown
    described = shortlist("runs", "show", "shop.yaml", new.name, cwd=undisturbed)
    assert f"from      {old.name}" in described
    assert "resumed   20" in described

    recipe.write_text(RECIPE.replace("test: 3d", "test: 4d"))
    shown = shortlist("run", "shop.yaml", "--from", "last", "--until", "prepare", cwd=undisturbed)
    again = ["prepare runs again, since split.test changed", "prepare"]
    assert steps_in(shown) == ["survey", "ingest reused", "validate reused", *again]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--resume", "--from", "last"], "give one of them"),
        (["20260101"], "--resume 20260101 or --from 20260101"),
        (["--until", "prepar"], "did you mean"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_starts(
    tmp_path: Path, arguments: list[str], problem: str
) -> None:
    (tmp_path / "shop.yaml").write_text(RECIPE)
    done = CliRunner().invoke(app, ["run", str(tmp_path / "shop.yaml"), *arguments], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert problem in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["shop.yaml"]
