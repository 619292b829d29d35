"""What is logged of a run, and the recipe's block."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracked_runs import RECIPE, finished

from shortlist.recipe import RecipeError, parse_recipe
from shortlist.release.bundle import lineage_of
from shortlist.step_result import StepRecord, StepResult
from shortlist.tracking.tracked import TrackedRun, commit_of


def test_the_times_of_metrics_follow_from_the_durations_of_the_steps(tmp_path: Path) -> None:
    run = finished(tmp_path, "r1")
    assert run.record is not None
    assert (run.ended - run.started).total_seconds() == pytest.approx(run.record.seconds)
    first = next(one for one in run.metrics() if one.name == "train_retrieval/loss")
    before = sum(one.seconds for one in run.records if one.step in ("ingest", "validate", "prepare"))
    assert (first.at - run.started).total_seconds() == pytest.approx(before + 5.5)


@given(st.dictionaries(st.text(st.characters(exclude_characters="/."), min_size=1), st.floats(), min_size=1))
def test_every_number_that_is_logged_is_finite_and_every_name_is_valid(metrics: dict[str, float]) -> None:
    record = StepRecord(step="ingest", seconds=1, peak_memory_mb=1, result=StepResult(metrics=metrics))
    run = TrackedRun("r1", parse_recipe(RECIPE), [record], datetime(2026, 1, 1, tzinfo=UTC))
    validation = pytest.importorskip("mlflow.utils.validation")
    for one in run.metrics():
        validation._validate_metric(one.name, one.value, 0, one.step)
        assert abs(one.value) < float("inf")


def test_where_a_run_is_logged_does_not_change_its_release() -> None:
    logged, silent = parse_recipe(RECIPE), parse_recipe(RECIPE.replace("tracking: {tags: {team: search}}", ""))
    assert silent.tracking is None
    assert lineage_of(logged, "data") == lineage_of(silent, "data")


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("{uri: 'https://me:secret@mlflow.example.com'}", "set the environment variables MLFLOW_TRACKING_USERNAME"),
        ("{tags: {'a=b': c}}", "'a=b' is not a name of a tag; use letters, digits, spaces and _ . / -"),
        ("{url: 'https://mlflow.example.com'}", "did you mean 'uri'?"),
    ],
)
def test_a_wrong_block_is_explained(block: str, said: str) -> None:
    with pytest.raises(RecipeError, match="tracking") as refused:
        parse_recipe(RECIPE.replace("{tags: {team: search}}", block))
    assert said in str(refused.value)


def test_a_folder_without_a_repository_has_no_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
