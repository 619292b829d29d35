"""A step is reused only if it is complete and nothing that decides its outputs has changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import Dataset, Metrics

from shortlist.cli.step_cache import StepCache
from shortlist.cli.step_records import OUTPUTS, StepRecords
from shortlist.recipe import Recipe, parse_recipe
from shortlist.release.bundle import LIVE, Live
from shortlist.release.publish import release_root

CHAIN = ["survey", "ingest", "validate", "prepare", "train_retrieval", "export", "build_index"]
WHOLE = [*CHAIN, "train_ranking", "evaluate", "publish", "write_lists", "report"]


def recipe(tmp_path: Path, more: str = "") -> Recipe:
    text = "name: tiny\nsource: {kind: synthetic, users: 60, items: 200, events: 6000, days: 30}\n"
    split = "" if "split" in more else "split: {kind: temporal, test: 3d, valid: 3d}\n"
    return parse_recipe(f"{text}{split}publish: {{to: {tmp_path}/releases}}\n{more}")


def run(
    folder: Path,
    typed: Recipe,
    steps: Sequence[str] = CHAIN,
    *,
    breaks: str = "",
    lies: str = "",
    code: str = "1",
    version: str = "v1",
    forced_by: str = "",
) -> list[str]:
    """Ask for the steps like kfp, and write an output for those that are not reused; the names of those that ran."""
    StepRecords(folder).create()
    cache, ran = StepCache(folder, typed, code), []
    for step in steps:
        arguments: dict[str, Any] = {"recipe": "text"}
        arguments |= {"version": version} if step == "ingest" else {}
        arguments |= {"forced_by": forced_by} if step == "publish" else {}
        name = f"comp-{step.replace('_', '-')}"
        key = cache.compute_key(component_name=name, image="i", full_command=["run"], arguments=arguments, env_vars={})
        if (found := cache.get(key)) is not None:
            assert found["number"] == 3
            assert Path(found["out"].uri, "data").exists()
            assert found["metrics"].metadata == {"a": 1.5}
            continue
        ran.append(step)
        at = folder / OUTPUTS / step.replace("_", "-")
        out = at / ("towers" if step == "train_retrieval" else "out")
        out.mkdir(parents=True, exist_ok=True)
        assert step == breaks or not (out / "data").exists() or step == "train_retrieval"
        (out / "data").write_text(f"{step} {len(ran)}")
        if step == breaks:
            break
        if step == lies:  # as the Docker runner, which can report a failed step as a success
            cache.put(key, {})
            break
        (at / "executor_output.json").write_text("{}")
        metrics = Metrics(name="metrics", uri=str(at / "metrics"), metadata={"a": 1.5})
        cache.put(key, {"out": Dataset(name="out", uri=str(out)), "metrics": metrics, "number": 3})
    return ran


def test_a_complete_run_is_reused_with_its_parameters_and_artifacts(tmp_path: Path) -> None:
    assert run(tmp_path, recipe(tmp_path), WHOLE) == WHOLE
    assert run(tmp_path, recipe(tmp_path), WHOLE) == []


def test_a_broken_step_and_those_after_it_run_again(tmp_path: Path) -> None:
    run(tmp_path, recipe(tmp_path), breaks="prepare")
    assert run(tmp_path, recipe(tmp_path)) == CHAIN[3:]
    assert run(tmp_path, recipe(tmp_path)) == []


def test_a_step_that_failed_and_is_reported_as_a_success_runs_again(tmp_path: Path) -> None:
    run(tmp_path, recipe(tmp_path), lies="prepare")
    assert run(tmp_path, recipe(tmp_path)) == CHAIN[3:]


def test_the_source_is_surveyed_again_until_it_is_read(tmp_path: Path) -> None:
    run(tmp_path, recipe(tmp_path), breaks="ingest")
    assert run(tmp_path, recipe(tmp_path)) == CHAIN


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ("seed: 7", "ingest"),
        ("contract: {min_rows: 11}", "validate"),
        ("split: {kind: temporal, test: 4d, valid: 3d}", "prepare"),
        ("split: {kind: leave_one_out}", "ingest"),
        ("evaluation: {mask_seen: false}", "prepare"),
        ("retrieval: {dim: 32}", "train_retrieval"),
        ("candidates: {explore: {}}", "build_index"),
        ("ranking: {candidates: 99}", "train_ranking"),
        ("rules: {diversity: 0.5}", "train_ranking"),
        ("evaluation: {bootstrap: 300}", "evaluate"),
        ("gate: {margin: 0.2}", "publish"),
        ("resources: {memory_gb: 3}", None),
    ],
)
def test_a_changed_recipe_runs_from_the_first_step_that_reads_what_changed(
    tmp_path: Path, more: str, first: str | None
) -> None:
    run(tmp_path, recipe(tmp_path), WHOLE)
    assert run(tmp_path, recipe(tmp_path, more), WHOLE) == (WHOLE[WHOLE.index(first) :] if first else [])


def test_other_data_and_other_code_run_everything(tmp_path: Path) -> None:
    run(tmp_path, recipe(tmp_path))
    assert run(tmp_path, recipe(tmp_path), version="v2") == CHAIN[1:]
    assert run(tmp_path, recipe(tmp_path), version="v2", code="2") == CHAIN


def live(release: str) -> bytes:
    return Live(release=release, at="2026-01-01T00:00:00Z").model_dump_json().encode()


def lose_a_file(out: Path) -> None:
    (out / "data").unlink()


def cut_a_file(out: Path) -> None:
    (out / "data").write_text("")


@pytest.mark.parametrize("damage", [lose_a_file, cut_a_file])
def test_a_step_whose_files_are_not_whole_runs_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    run(tmp_path, recipe(tmp_path))
    damage(tmp_path / OUTPUTS / "prepare" / "out")
    assert run(tmp_path, recipe(tmp_path)) == CHAIN[3:]


def test_checkpoints_are_kept_only_for_the_training_that_was_interrupted(tmp_path: Path) -> None:
    towers = tmp_path / OUTPUTS / "train-retrieval" / "towers"
    run(tmp_path, recipe(tmp_path), breaks="train_retrieval")
    (towers / "checkpoint").write_text("half way")
    (towers.parent / "record").write_text("of the broken attempt")
    run(tmp_path, recipe(tmp_path), breaks="train_retrieval")
    assert (towers / "checkpoint").read_text() == "half way"
    assert not (towers.parent / "record").exists()
    run(tmp_path, recipe(tmp_path, "retrieval: {dim: 32}"), breaks="train_retrieval")
    assert not (towers / "checkpoint").exists()


def test_another_live_release_is_compared_with_unless_this_run_made_it_live(tmp_path: Path) -> None:
    typed = recipe(tmp_path)
    before_publish = WHOLE[: WHOLE.index("publish")]
    run(tmp_path, typed, before_publish)
    release_root(typed).write(LIVE, live("a" * 16))
    assert run(tmp_path, typed, before_publish) == ["evaluate"]
    run(tmp_path, typed, WHOLE, breaks="write_lists")
    release_root(typed).write(LIVE, live("b" * 16))
    assert run(tmp_path, typed, WHOLE) == ["write_lists", "report"]


def test_a_storage_that_fails_is_left_to_evaluate_to_explain(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    typed = recipe(tmp_path)
    broken = typed.model_copy(update={"publish": typed.publish.model_copy(update={"to": f"{tmp_path}/file"})})
    upto = WHOLE[: WHOLE.index("publish")]
    assert run(tmp_path, broken, upto)[-1] == "evaluate"


def test_who_overrules_the_gate_is_an_input_of_publish(tmp_path: Path) -> None:
    run(tmp_path, recipe(tmp_path), WHOLE)
    assert run(tmp_path, recipe(tmp_path), WHOLE, forced_by="me") == ["publish", "write_lists", "report"]


def test_a_taken_over_step_is_linked_and_never_written_to(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        StepRecords(folder).create()
    run(old, recipe(tmp_path), WHOLE)
    texts = {path: path.read_text() for path in old.rglob("*") if path.is_file()}
    StepRecords(new).take_over(StepRecords(old))
    linked = [path.relative_to(new) for path in (new / OUTPUTS).rglob("data")]
    assert all((old / path).samefile(new / path) for path in linked)
    assert len(linked) == len(WHOLE) - len(["survey", "publish", "write_lists", "report"])
    ran = run(new, recipe(tmp_path, "ranking: {candidates: 99}"), WHOLE)
    assert ran == ["survey", *WHOLE[WHOLE.index("train_ranking") :]]
    assert {path: path.read_text() for path in old.rglob("*") if path.is_file()} == texts
