"""Metrics among sampled negatives: the items are fair, the order is that of what is served."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made import item_vectors, recipe_of, write_index, write_prepared, write_ranking, write_retrieval

from shortlist.dataset.prepared import Prepared
from shortlist.evaluation import sampled
from shortlist.evaluation.sampled import evaluate_sampled
from shortlist.evaluation.whole_path import WholePath
from shortlist.features.availability import Availability
from shortlist.recipe import Recipe

NUM_ITEMS, GONE = 70, 65
VECTORS = item_vectors(NUM_ITEMS)
RNG = np.random.default_rng(1)
HISTORIES = [RNG.integers(1, 60, size).tolist() for size in [5, 3, 9, 1, 12, 7] * 20]
TARGETS = [sorted({*RNG.integers(1, 61, 3).tolist()} - {*one}) for one in HISTORIES]


def recipe(**evaluation: Any) -> Recipe:
    return recipe_of(evaluation={"bootstrap": 50} | evaluation, ranking={"candidates": 12})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Path]:
    folder = tmp_path_factory.mktemp("sampled")
    until = np.full(NUM_ITEMS + 1, 10**12)
    until[GONE] = 0
    available = Availability(np.zeros(NUM_ITEMS + 1, np.int64), until)
    prepared = write_prepared(folder / "prepared", HISTORIES, TARGETS, NUM_ITEMS, available=available)
    write_retrieval(folder / "retrieval", VECTORS)
    write_index(folder / "index", VECTORS)
    return prepared, folder


def evaluated(made: tuple[Prepared, Path], using: Recipe, ranking: Path | None = None) -> dict[str, Any]:
    prepared, folder = made
    path = WholePath.open(using, prepared.store, folder / "retrieval", folder / "index", ranking, threads=1)
    found = evaluate_sampled(using, prepared, path, prepared.test)
    assert found is not None
    return found


def test_without_negatives_there_is_nothing(made: tuple[Prepared, Path]) -> None:
    prepared, folder = made
    path = WholePath.open(recipe(), prepared.store, folder / "retrieval", folder / "index", None, threads=1)
    assert evaluate_sampled(recipe(), prepared, path, prepared.test) is None


def test_the_drawn_items_are_available_and_not_the_users_own(made: tuple[Prepared, Path]) -> None:
    prepared, rng = made[0], np.random.default_rng(0)
    queries = prepared.test
    histories = prepared.histories(queries)
    shown = np.zeros(NUM_ITEMS + 1, np.int64)
    for count in (5, 40):
        rows_QN = sampled._draw_negatives(prepared.store, queries, histories, count, rng)
        for q, rows in enumerate(rows_QN.tolist()):
            targets = queries.target_items[queries.target_offsets[q] : queries.target_offsets[q + 1]]
            assert not {GONE, 0, *histories[q].tolist(), *targets.tolist()} & {*rows}
            assert len({*rows}) == count
            shown[rows] += 1
    assert shown[1:].min(where=np.arange(1, NUM_ITEMS + 1) != GONE, initial=10**9) > 0, "every item may be drawn"


def test_fewer_items_than_asked_for_are_padded(made: tuple[Prepared, Path]) -> None:
    prepared = made[0]
    queries = prepared.test.take(np.arange(3))
    histories = prepared.histories(queries)
    rows_QN = sampled._draw_negatives(prepared.store, queries, histories, 90, np.random.default_rng(0))
    for q, rows in enumerate(rows_QN):
        targets = queries.target_items[queries.target_offsets[q] : queries.target_offsets[q + 1]]
        allowed = {*range(1, NUM_ITEMS + 1)} - {GONE, *histories[q].tolist(), *targets.tolist()}
        assert {*rows[rows > 0].tolist()} == allowed
        assert np.count_nonzero(rows) == len(allowed)


def test_retrieval_ranks_the_target_by_its_inner_product(made: tuple[Prepared, Path]) -> None:
    """The ranks follow from the towers and the drawn items, whatever the candidates of a whole list would be."""
    prepared, folder = made
    using = recipe(negatives=20)
    path = WholePath.open(using, prepared.store, folder / "retrieval", folder / "index", None, threads=1)
    rng = np.random.default_rng(using.seed)
    queries = prepared.test.take(np.flatnonzero(np.diff(prepared.test.target_offsets)))
    negatives = sampled._draw_negatives(prepared.store, queries, prepared.histories(queries), 20, rng)
    queries = sampled._with_one_target(queries, rng)
    vector_QD = path.recommender.retriever.embed(prepared.encode(queries))
    rows_QN = np.concatenate([queries.target_items[:, None], negatives], axis=1)
    scores_QN = np.einsum("qd,qnd->qn", vector_QD, VECTORS[rows_QN - 1])
    rank_Q = 1 + (scores_QN[:, 1:] > scores_QN[:, :1]).sum(axis=1)
    found = evaluated(made, using)["systems"]["retrieval"]
    assert found["mrr_at_21"]["mean"] == pytest.approx((1 / rank_Q).mean(), abs=1e-5)
    assert found["hit_rate_at_5"]["mean"] == pytest.approx((rank_Q <= 5).mean(), abs=1e-5)
    assert found["hit_rate_at_21"]["mean"] == 1


def test_the_ranker_orders_the_items_of_the_path(made: tuple[Prepared, Path], tmp_path: Path) -> None:
    """A ranker that turns the order of retrieval round turns the ranks round."""
    write_ranking(tmp_path, made[1] / "retrieval", made[0].store, score_weight=-1)
    found = evaluated(made, recipe(negatives=20), tmp_path)["systems"]
    assert found["path"]["mrr_at_21"]["mean"] != found["retrieval"]["mrr_at_21"]["mean"]
    assert found["path"]["hit_rate_at_21"]["mean"] == 1


def test_equally_popular_items_give_the_target_no_advantage() -> None:
    class Store:
        popular = np.zeros(60)

    listed = np.tile(np.arange(1, 51), (4_000, 1))
    ordered = sampled._by_popularity(Store(), listed, np.random.default_rng(0))  # type: ignore[arg-type]
    assert (ordered[:, 0] == 1).mean() == pytest.approx(1 / 50, abs=0.01)


def test_the_same_seed_draws_the_same_items(made: tuple[Prepared, Path]) -> None:
    one, again = (evaluated(made, recipe(negatives=7)) for _ in range(2))
    assert one == again
