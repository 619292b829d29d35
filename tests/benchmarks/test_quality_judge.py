"""One judge for all: worked by hand."""

import numpy as np
import pytest
from bench_rows import rows_of

from benchmarks.quality.judge import best, judge, keep_candidates
from benchmarks.quality.rows import Ints


def test_recall_and_ndcg_of_lists_worked_by_hand() -> None:
    rows = rows_of([[1], [2]], [[3, 4], [5]])
    lists = np.array([[3, 6, 4], [6, 1, 3]])
    values = judge(rows, lambda at, k: {"mine": lists[at, :k]}, ["recall@2", "ndcg@3", "hit_rate@3", "mrr"])["mine"]
    assert values["recall@2"].tolist() == [0.5, 0.0]
    # Hits at ranks 1 and 3, of two targets: (1 + 1/2) / (1 + 1/log2(3)).
    assert values["ndcg@3"] == pytest.approx([1.5 / (1 + 1 / np.log2(3)), 0.0])
    assert values["hit_rate@3"].tolist() == [1.0, 0.0]
    assert values["mrr"].tolist() == [1.0, 0.0]


def test_of_sampled_candidates_only_these_have_ranks() -> None:
    rows = rows_of([[1]], [[4]], candidates=np.array([[4, 2, 6]]))
    asked: list[int] = []

    def rank(at: Ints, k: int) -> dict[str, Ints]:
        asked.append(k)
        return {"mine": np.array([[5, 3, 2, 4, 6]])}

    assert judge(rows, rank, ["mrr"])["mine"]["mrr"].tolist() == [0.5]  # behind 2 alone
    assert asked == [6]  # the whole catalogue
    assert keep_candidates(np.array([[5, 3, 2]]), np.array([[4, 2, 6]])).tolist() == [[2, 0, 0]]


def test_equal_scores_go_to_the_lower_row_and_row_0_is_no_item() -> None:
    scores = np.array([[9.0, 1.0, 3.0, 3.0, 3.0, 0.0], [9.0, -np.inf, -np.inf, 2.0, -np.inf, -np.inf]])
    assert best(scores.copy(), 2).tolist() == [[2, 3], [3, 0]]
    assert best(scores.copy(), 5)[0].tolist() == [2, 3, 4, 1, 5]


def test_best_is_a_stable_sort_of_everything() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (50, 30)).astype(np.float32)
    whole = np.argsort(-scores[:, 1:], axis=1, kind="stable") + 1
    assert np.array_equal(best(scores.copy(), 7), whole[:, :7])
