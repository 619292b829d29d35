"""The test part stays closed until validation has chosen."""

import json
from pathlib import Path

import pytest

from benchmarks.quality.jobs import Job
from benchmarks.quality.picks import NotPickedError, grid_of, picked_job
from benchmarks.quality.protocol import all_data, load_protocol, recipe_of
from benchmarks.quality.table import DOCUMENT, tables

FIGURES = DOCUMENT.parent / "figures"


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_DATA", "/nowhere")


def write(path: Path, config: str) -> Path:
    path.write_text(json.dumps({"ml-100k": {"ease": {"config": config, "settings": {"regularisation": 250}}}}))
    return path


def test_without_a_pick_the_test_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotPickedError, match=r"ml-100k ease: no configuration was picked on validation.*pick ml-100k"):
        picked_job("ml-100k", "ease", 1, tmp_path / "picked.json")


def test_a_pick_of_another_configuration_does_not_open_the_test(tmp_path: Path) -> None:
    with pytest.raises(NotPickedError, match="changed after the pick"):
        picked_job("ml-100k", "ease", 1, write(tmp_path / "picked.json", "of another recipe"))


def test_what_was_picked_is_tested_with_its_settings(tmp_path: Path) -> None:
    config = Job("ml-100k", "ease", 1, "valid", {"regularisation": 250}).config
    job = picked_job("ml-100k", "ease", 7, write(tmp_path / "picked.json", config))
    assert (job.part, job.seed, job.settings) == ("test", 7, {"regularisation": 250})


def test_a_changed_recipe_is_another_configuration_and_another_place_of_the_data_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Job("ml-100k", "shortlist", 1, "valid")
    assert Job("ml-100k", "shortlist", 1, "valid", {"retrieval.dim": 32}).config != plain.config
    before = plain.config
    monkeypatch.setenv("SHORTLIST_DATA", "/elsewhere/data")
    assert Job("ml-100k", "shortlist", 1, "valid").config == before


def test_a_field_that_the_recipe_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match=r"retrieval\.dimm: the recipe has no such field"):
        recipe_of("ml-100k", {"retrieval.dimm": 3})


@pytest.mark.parametrize("data", all_data())
def test_protocol_recipe_and_grids_go_together(data: str) -> None:
    protocol = load_protocol(data)
    if (DOCUMENT.parents[1] / f"recipes/bench/{data}.yaml").exists():
        recipe_of(data)
    assert protocol.data == data
    for peer in protocol.peers:
        assert grid_of(peer)
    assert not set(protocol.peers) & set(protocol.left_out)


def test_the_tables_in_the_document_are_those_of_the_figures() -> None:
    if not (FIGURES / "quality.json").exists():
        pytest.skip("no figure was reported yet")
    assert tables(FIGURES) in DOCUMENT.read_text()
