"""What the lists hold, counted by the definitions."""

from pathlib import Path

import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_index, write_prepared, write_retrieval
from hypothesis import given
from hypothesis import strategies as st

from shortlist.dataset.prepared import Prepared
from shortlist.evaluation.evaluate import evaluate
from shortlist.evaluation.lists import ItemMarks, Ranked, describe_lists, ties
from shortlist.recipe import Gate
from shortlist.release.gate import apply_gate
from shortlist.report.record import Evaluated

NUM_ITEMS = 30


@given(st.lists(st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=5, max_size=5), min_size=1, max_size=6))
def test_ties_are_runs_of_equal_scores(scores: list[list[float]]) -> None:
    ordered = [sorted(one, reverse=True) for one in scores]
    longest, tied = ties(np.array(ordered), np.ones((len(scores), 5), bool))
    for one, length, marks in zip(ordered, longest.tolist(), tied.tolist(), strict=True):
        assert length == max(one.count(score) for score in one)
        assert marks == [one.count(score) > 1 for score in one]


def test_what_is_no_item_and_what_has_no_score_is_in_no_tie() -> None:
    scores = np.array([[0.5, 0.4, -np.inf, -np.inf], [0.5, 0.4, np.nan, np.nan]])
    longest, tied = ties(scores, np.array([[True, True, False, False], [True, True, True, True]]))
    assert longest.tolist() == [1, 1]
    assert not tied.any()


def test_shares_are_of_the_lists_of_the_models(tmp_path: Path) -> None:
    """Three lists of the models, and one of what is popular, which is left out of all but its count."""
    prepared = write_prepared(
        tmp_path, histories=[[1], [1, 2], [2], []], targets=[[5], [6], [7], [8]], num_items=NUM_ITEMS
    )
    untrained, one_vector = np.zeros(NUM_ITEMS + 1, bool), np.zeros(NUM_ITEMS + 1, bool)
    untrained[[5, 9]], one_vector[[9, 10]] = True, True
    rows = np.array([[9, 10, 3], [9, 10, 3], [9, 4, 0], [9, 9, 9]])
    scores = np.array([[0.9, 0.9, 0.1], [0.9, 0.8, 0.1], [0.9, 0.8, -np.inf], [np.nan] * 3])
    by_models = np.array([True, True, True, False])
    told = describe_lists(
        {"path": Ranked(rows, scores)},
        by_models,
        ItemMarks(untrained, one_vector),
        prepared.test,
        prepared.store,
        3,
    )
    assert (told["queries"], told["by_popularity"], told["without_history"]) == (4, 1, 0)
    assert told["untrained_targets"] == pytest.approx(1 / 3, abs=1e-6)
    path = told["systems"]["path"]
    assert path["untrained"] == pytest.approx(3 / 8, abs=1e-6)
    assert path["one_vector"] == pytest.approx(5 / 8, abs=1e-6)
    assert path["indistinct"] == pytest.approx(3 / 8, abs=1e-6)
    assert (path["tied"], path["tied_lists"], path["longest_tie"]) == (0.25, pytest.approx(1 / 3, abs=1e-6), 2.0)
    assert path["distinct"] == pytest.approx(2 / 3, abs=1e-6)
    assert path["most_recommended"][0] == {"id": "90", "title": "", "share": 1.0}


class TestEvaluation:
    """Through evaluate and the gate, as a run goes."""

    def run(self, tmp_path: Path, vectors: np.ndarray, histories: list[list[int]], **prepared):
        targets = [[NUM_ITEMS - q % 3] for q in range(len(histories))]
        write_prepared(tmp_path / "prepared", histories, targets, NUM_ITEMS, **prepared)
        write_retrieval(tmp_path / "retrieval", vectors)
        write_index(tmp_path / "index", vectors)
        recipe = recipe_of(ranking={"enabled": False}, evaluation={"k": [10], "bootstrap": 50})
        result = evaluate(
            recipe,
            Prepared.open(tmp_path / "prepared"),
            tmp_path / "retrieval",
            tmp_path / "index",
            None,
            None,
            tmp_path / "out",
        )
        return result.details["evaluation"]

    def test_items_that_nothing_tells_apart_are_refused(self, tmp_path: Path) -> None:
        """Twelve items were never trained and have one vector, which all queries point to."""
        vectors = item_vectors(NUM_ITEMS)
        vectors[18:] = vectors[:3].mean(axis=0) / np.linalg.norm(vectors[:3].mean(axis=0))
        judged = self.run(tmp_path, vectors, [[1, 2, 3]] * 4)
        assert judged["lists"]["systems"]["path"]["indistinct"] == 1.0
        assert judged["lists"]["untrained_items"] == pytest.approx(27 / 30)
        verdict = apply_gate(judged, Gate(metric="ndcg_at_10"))
        assert verdict.outcome == "bad_lists"
        assert "models cannot" in verdict.reason

    def test_only_unknown_users_are_no_reason(self, tmp_path: Path) -> None:
        trained = [(1, row) for row in range(1, NUM_ITEMS + 1)]
        judged = self.run(tmp_path, item_vectors(NUM_ITEMS), [[]] * 60, trained=trained)
        lists = judged["lists"]
        assert (lists["by_popularity"], lists["systems"]) == (60, {})
        verdict = apply_gate(judged, Gate(metric="ndcg_at_10"))
        assert verdict.accepted
        assert verdict.list_problems == []

    def test_the_record_of_the_run_reads_what_was_written(self, tmp_path: Path) -> None:
        judged = self.run(tmp_path, item_vectors(NUM_ITEMS), [[1, 2, 3], [4]])
        read = Evaluated.model_validate(judged)
        assert read.unknowable_targets is not None
        assert read.model_dump(mode="json", exclude_none=True).keys() >= {k for k, v in judged.items() if v is not None}

    def test_sample_users_go_from_the_shortest_to_the_longest_history(self, tmp_path: Path) -> None:
        histories = [list(range(1, 2 + q % 14)) for q in range(40)]
        users = self.run(tmp_path, item_vectors(NUM_ITEMS), histories)["sample_users"]
        lengths = [one["history_length"] for one in users]
        assert (len(users), lengths[0], lengths[-1]) == (10, 1, 14)
        assert lengths == sorted(lengths)
        last = users[-1]
        assert [item["id"] for item in last["history"]] == [str(10 * row) for row in range(14, 4, -1)]
        assert len(last["lists"]["path"]) == 10
        hits = {item["id"] for item in last["lists"]["path"] if item["hit"]}
        assert hits <= {"280", "290", "300"}
