"""The compiled pipeline by kfp's subprocess runner, as `shortlist run` starts it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import psutil
import pytest

from shortlist.cli.run_folders import State, list_runs
from shortlist.serving.ports import free_ports

RECIPE = """
name: tiny
source: {kind: synthetic, users: 60, items: 200, events: 6000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
"""


SMALL = f"""{RECIPE.replace("users: 60", "users: 300").replace("events: 6000", "events: 20000")}
interactions: {{positive: played_ratio_pct >= 50}}
features: {{item: {{id_dim: 16, title: title}}}}
retrieval: {{dim: 16, hidden: [], training: {{epochs: 1, learning_rate: 1.0e-6}}}}
ranking: {{neighbours: 0, recent: [], training: {{epochs: 1, learning_rate: 1.0e-6}}}}
batch: {{k: 3, out: lists/today.parquet}}
"""
"""It learns next to nothing, so that what is popular is clearly better."""
STEPS = [
    *("ingest", "validate", "prepare", "train_retrieval", "export"),
    *("build_index", "train_ranking", "evaluate", "publish", "write_lists"),
]


def shortlist(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shortlist.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=800, check=False)


def test_a_wrong_recipe_is_explained_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(RECIPE.replace("source:", "sorce:"))
    done = shortlist("run", "shop.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "shop.yaml" in done.stderr
    assert "did you mean 'source'?" in done.stderr
    assert not (tmp_path / ".work").exists()


@pytest.mark.parametrize("command", ["validate", "run", "submit"])
def test_wrong_sql_is_a_mistake_of_the_recipe_and_nothing_starts(command: str, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(RECIPE + "interactions: {positive: played_ratio_pct > 50 AND (}\n")
    done = shortlist(command, "shop.yaml", cwd=tmp_path)
    assert done.returncode == 2
    line = len(RECIPE.splitlines()) + 1
    assert f"shop.yaml: 1 error\n  line {line}: interactions.positive: " in done.stderr
    assert "the ( at character 27 is not closed" in done.stderr
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


@pytest.mark.timeout(1800)  # two whole pipelines and a service; minutes on a busy machine
def test_raw_events_become_a_served_answer_and_the_same_input_the_same_release(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SMALL)
    # Popularity is better: the gate must be overruled, and that is recorded.
    first = shortlist("run", "shop.yaml", "--force", cwd=tmp_path)
    assert first.returncode == 0, first.stderr + first.stdout
    assert "Top 10 for user" in first.stdout
    assert json.loads((tmp_path / ".work/releases/tiny/live.json").read_text())["forced_by"]
    assert "degraded" not in first.stdout
    (run,) = (tmp_path / ".work/runs/tiny").glob("2*")
    record = json.loads((run / "run.json").read_text())
    assert [step["step"] for step in record["steps"]] == STEPS
    assert record["release"] in first.stdout
    lists = pl.read_parquet(tmp_path / "lists/today.parquet")
    assert set(lists["release"]) == {record["release"]}
    assert record["steps"][-1]["rows_out"] == {"rows": len(lists)}
    assert "<html" in (run / "report.html").read_text()
    (docs,) = run.glob("shortlist-*/validate/data_docs.html")
    assert "<html" in docs.read_text()
    assert not [one for one in psutil.process_iter() if str(tmp_path) in " ".join(command_of(one))]

    again = shortlist("run", "shop.yaml", "--no-answer", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "this release is already live" in again.stdout

    command = [sys.executable, "-m", "shortlist.cli", "serve", "shop.yaml", "--port", str(free_ports(1)[0])]
    served = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert served.stdout is not None
    assert any(line.startswith("Ctrl-C ends it") for line in served.stdout)
    served.send_signal(signal.SIGINT)
    assert served.wait(30) == 0, "Ctrl-C is how it ends"

    # From another folder it is the same recommender.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    listed = shortlist("releases", "list", "../shop.yaml", cwd=elsewhere)
    assert record["release"] in listed.stdout
    assert "live" in listed.stdout
    shown = shortlist("releases", "show", "../shop.yaml", cwd=elsewhere)
    assert json.loads(shown.stdout)["recipe"] == "tiny", "without a name it is the live one"
    runs = shortlist("runs", "list", "../shop.yaml", cwd=elsewhere)
    assert runs.stdout.count("succeeded") == 2
    assert run.name in runs.stdout, "whole, to be named in another command"
    compared = shortlist("runs", "diff", "../shop.yaml", run.name, "last", cwd=elsewhere)
    assert "release (digest)" in compared.stdout
    assert compared.stdout.count(" = ") == len(record["digests"])
    assert "train_ranking" in shortlist("runs", "show", "../shop.yaml", cwd=elsewhere).stdout
    assert list(elsewhere.iterdir()) == []


def test_a_refused_release_is_not_published_and_the_exit_code_says_so(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SMALL)
    done = shortlist("run", "shop.yaml", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "refused" in done.stdout
    assert "popularity" in done.stdout
    assert "Top 10" not in done.stdout
    assert not (tmp_path / ".work/releases/tiny/live.json").exists()


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_a_signal_leaves_no_process(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "shop.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "shortlist.cli", "run", "shop.yaml"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("validate"):
            break
    below = psutil.Process(run.pid).children(recursive=True)
    assert below, "the step runs below the command"
    run.send_signal(number)
    out, said = run.communicate(timeout=30)
    assert run.returncode == code, said
    # Killed, it cannot wait for them: they end by themselves.
    _, alive = psutil.wait_procs(below, timeout=10 if number == signal.SIGKILL else 0)
    assert not alive
    (folder,) = (tmp_path / ".work/runs/tiny").glob("2*")
    (listed,) = list_runs(folder.parent)
    assert listed.state == State.FAILED
    assert not (tmp_path / ".work/releases").exists()
    if number != signal.SIGKILL:
        assert "nothing was published" in out
        assert "shortlist run shop.yaml" in out
        assert "nothing was published" in listed.failure


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["releases", "list"], "no release of 'tiny' in {work}/releases/tiny; run: shortlist run shop.yaml"),
        (["releases", "show"], "no live release of 'tiny' in {work}/releases/tiny; run: shortlist run shop.yaml"),
        (["releases", "prune"], "no release of 'tiny' in {work}/releases/tiny"),
        (["releases", "rollback"], "no live release of 'tiny' in {work}/releases/tiny"),
        (["runs", "list"], "no run of 'tiny' in {work}/runs/tiny; run: shortlist run shop.yaml"),
        (["serve"], "no live release of 'tiny' in {work}/releases/tiny"),
        (["recommend"], "no live release of 'tiny' in {work}/releases/tiny"),
        (["deploy"], "no live release of 'tiny' in {work}/releases/tiny"),
    ],
)
def test_a_recipe_of_which_nothing_is_known_says_so(tmp_path: Path, arguments: list[str], problem: str) -> None:
    (tmp_path / "shop.yaml").write_text(RECIPE)
    done = shortlist(*arguments, "shop.yaml", "--work", "w", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(problem.format(work=tmp_path / "w"))
    assert not (tmp_path / "w").exists()
