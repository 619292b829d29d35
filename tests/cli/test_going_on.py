"""Which run `--resume` and `--from` use, and why they refuse one."""

import json
from pathlib import Path

import pytest

from shortlist.cli.going_on import run_to_resume, run_to_take_from, step_named
from shortlist.cli.places import Places, find_places
from shortlist.cli.run_folders import State, find_run, list_runs, new_run, resume_run, write_failure, write_stopped
from shortlist.recipe import dump_recipe

RECIPE = """
name: tiny
source: {kind: synthetic, users: 60, items: 200, events: 6000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return written(tmp_path)


def written(tmp_path: Path, more: str = "") -> Places:
    (tmp_path / "shop.yaml").write_text(RECIPE + more)
    return find_places(tmp_path / "shop.yaml", tmp_path / "work")


def ended(places: Places) -> Path:
    folder, lock = new_run(places.runs, 9)
    (folder / "recipe.yaml").write_text(dump_recipe(places.recipe))
    lock.close()
    return folder


def finish(folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps({"decision": {"published": True}}))


def test_the_newest_run_that_did_not_finish_is_resumed(places: Places) -> None:
    ended(places)
    stopped, finished = ended(places), ended(places)
    write_stopped(stopped, "prepare")
    finish(finished)
    found = run_to_resume(places, None)
    assert (found.path, found.state, found.stopped_after) == (stopped, State.STOPPED, "prepare")


def test_a_resumed_run_counts_its_time_from_there_and_is_no_longer_failed(places: Places) -> None:
    folder = ended(places)
    write_failure(folder, "prepare failed: no")
    lock = resume_run(places.runs, run_to_resume(places, None))
    active = find_run(places.runs, "last")
    assert (active.state, active.failure) == (State.RUNNING, "")
    assert active.seconds is not None
    assert active.seconds < (active.origin.resumed[0] - active.started).total_seconds() + 60
    with pytest.raises(ValueError, match="is running; end it first"):
        resume_run(places.runs, active)
    with pytest.raises(ValueError, match="is running; wait for its end"):
        new_run(places.runs, 9, active)
    lock.close()
    assert len(list_runs(places.runs)) == 1, "a refused run leaves no folder"


def test_there_may_be_nothing_to_resume(places: Places) -> None:
    with pytest.raises(ValueError, match="no run to resume"):
        run_to_resume(places, None)
    folder = ended(places)
    finish(folder)
    with pytest.raises(ValueError, match=f"{folder.name} has finished; .* --from {folder.name}"):
        run_to_resume(places, "last")


def test_another_recipe_is_refused_with_what_differs(tmp_path: Path, places: Places) -> None:
    folder = ended(places)
    other = written(tmp_path, "seed: 7\nranking: {candidates: 99}\n")
    with pytest.raises(ValueError, match=f"{folder.name} had another recipe:") as refused:
        run_to_resume(other, None)
    lines = str(refused.value).splitlines()
    assert lines[1:3] == ["  seed: 42 in the run, now 7", "  ranking.candidates: 500 in the run, now 99"]
    assert lines[-1].endswith(f"shop.yaml --from {folder.name}")
    assert run_to_resume(written(tmp_path, "resources: {memory_gb: 3}\n"), None).path == folder


def test_a_run_of_an_older_version_is_refused(places: Places) -> None:
    folder = ended(places)
    (folder / "steps").rmdir()
    for choose in (run_to_resume, run_to_take_from):
        with pytest.raises(ValueError, match="an older version of Shortlist wrote this run"):
            choose(places, "last")


def test_a_new_run_names_the_run_that_it_takes_over_and_outlives_it(places: Places) -> None:
    old = run_to_take_from(places, ended(places).name)
    folder, lock = new_run(places.runs, 1, old)
    lock.close()
    (kept,) = list_runs(places.runs)
    assert (kept.path, kept.origin.taken_from) == (folder, old.name)


def test_the_last_step_is_named_as_in_a_recipe_or_as_it_is_shown() -> None:
    assert step_named("train-retrieval") == step_named("train_retrieval") == "train_retrieval"
    with pytest.raises(ValueError, match="there is no step 'prepar'; did you mean 'prepare'"):
        step_named("prepar")
    with pytest.raises(ValueError, match="a run cannot stop after 'publish'; steps to stop after: ingest, "):
        step_named("publish")
