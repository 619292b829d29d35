"""The compiled pipeline by kfp's subprocess runner, as `shortlist run` starts it."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

RECIPE = """
name: tiny
source: {kind: synthetic, users: 60, items: 200, events: 6000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
"""


def shortlist(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shortlist.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_a_wrong_recipe_is_explained_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(RECIPE.replace("source:", "sorce:"))
    done = shortlist("run", "shop.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "shop.yaml" in done.stderr
    assert "did you mean 'source'?" in done.stderr
    assert not (tmp_path / ".work").exists()


def test_a_step_that_fails_says_why_once_and_ends_the_run(tmp_path: Path) -> None:
    source = "source: {kind: files, events: [{path: nowhere.csv, columns: {user_id: u, item_id: i, time: t}}]}"
    text = "\n".join(source if line.startswith("source") else line for line in RECIPE.splitlines())
    (tmp_path / "shop.yaml").write_text(text)
    done = shortlist("run", "shop.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "ingest failed" in done.stderr
    assert "nowhere.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "shortlist.cli", "run", "shop.yaml"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("validate"):
            break
    below = psutil.Process(run.pid).children(recursive=True)
    assert below, "the step runs below the command"
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130, said
    gone, alive = psutil.wait_procs(below, timeout=10)
    assert not alive
    assert gone
