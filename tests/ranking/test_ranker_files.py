"""A ranker on disk: what is saved scores the same, and what is broken or of another run is refused."""

import json

import numpy as np
import pytest
import torch
from made_ranker import (
    DIM,
    NUM_ROWS,
    VARIANTS,
    make_ranker,
    make_request,
    make_store,
)
from safetensors.torch import save_file

from shortlist.ranking.ranker import Ranker


def test_saved_and_opened_it_scores_the_same(store, tmp_path):
    ranker, request = make_ranker(store), make_request()
    ranker.save(tmp_path / "one", {"ndcg": 0.5})
    ranker.save(tmp_path / "two", {"ndcg": 0.5})
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in (tmp_path / "one").iterdir()), "another user serves it"
    for name in ("ranker.safetensors", "ranking.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    opened = Ranker.open(tmp_path / "one", store.folder, store)
    np.testing.assert_array_equal(opened.score(request), ranker.score(request))


@pytest.fixture
def saved(store, tmp_path):
    make_ranker(store).save(tmp_path / "ranking", {})
    return tmp_path / "ranking"


def test_another_store_is_refused(saved, store, tmp_path):
    other = make_store(tmp_path / "other", item=store.schema.item.model_copy(update={"categorical": []}))
    with pytest.raises(ValueError, match="item_fields"):
        Ranker.open(saved, store.folder, other)


def test_vectors_of_another_run_are_refused(saved, store, tmp_path):
    np.save(tmp_path / "vectors.npy", np.zeros((NUM_ROWS, DIM), np.float32))
    with pytest.raises(ValueError, match=r"vectors\.npy holds 41 items"):
        Ranker.open(saved, tmp_path, store)
    np.save(tmp_path / "vectors.npy", np.zeros((NUM_ROWS - 1, DIM + 1), np.float32))
    with pytest.raises(ValueError, match="vector_dim 8"):
        Ranker.open(saved, tmp_path, store)


def test_broken_files_are_value_errors(saved, store):
    weights = (saved / "ranker.safetensors").read_bytes()
    (saved / "ranker.safetensors").write_bytes(weights[:-4])
    with pytest.raises(ValueError, match="cannot be read"):
        Ranker.open(saved, store.folder, store)
    save_file({"wrong": torch.zeros(2)}, saved / "ranker.safetensors")
    with pytest.raises(ValueError, match="do not match"):
        Ranker.open(saved, store.folder, store)
    (saved / "ranker.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        Ranker.open(saved, store.folder, store)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1}'])
def test_broken_settings_are_a_value_error(saved, store, text):
    (saved / "ranking.json").write_text(text)
    with pytest.raises(ValueError, match="cannot be read"):
        Ranker.open(saved, store.folder, store)


def test_another_schema_is_refused_by_number(saved, store):
    found = json.loads((saved / "ranking.json").read_text()) | {"schema_version": 9}
    (saved / "ranking.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match="schema 9, this version of shortlist reads 2"):
        Ranker.open(saved, store.folder, store)


def test_a_ranker_of_other_numbers_of_nearness_is_to_be_trained_again(store, tmp_path):
    make_ranker(store, **VARIANTS["neighbours, no order"]).save(tmp_path, {})
    found = json.loads((tmp_path / "ranking.json").read_text())
    found["network"]["near_scale"] = [0.5, 0.5]
    (tmp_path / "ranking.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match="reads 2 nearness features, this version of shortlist computes 4; train it"):
        Ranker.open(tmp_path, store.folder, store)
