"""The evaluation answers as the services do."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hand_made import context_of, item_vectors, recipe_of, write_ranking, write_release, write_store

from serving.question import Question
from serving.transformer.recommend import Recommender
from shortlist.evaluation.whole_path import WholePath
from shortlist.ranking.ranker import Ranker

NUM_ITEMS = 80


@pytest.mark.parametrize("ranks", [True, False])
@pytest.mark.parametrize("mask_seen", [True, False])
def test_evaluation_and_service_give_the_same_answers(tmp_path: Path, ranks: bool, mask_seen: bool) -> None:
    rng = np.random.default_rng(0)
    histories = [rng.integers(1, NUM_ITEMS + 1, size).tolist() for size in (0, 1, 4, 6, 9, 40)]
    recipe = recipe_of(ranking={"candidates": 20}, evaluation={"mask_seen": mask_seen})
    store = write_store(tmp_path / "store", histories, NUM_ITEMS)
    release = write_release(tmp_path / "release", store, item_vectors(NUM_ITEMS), recipe)
    ranking = release / "ranking"
    write_ranking(ranking, release / "retrieval", store, score_weight=-1)
    if not ranks:
        shutil.rmtree(ranking)
    user_E = np.arange(len(histories)) + 1
    starts, ends = store.history_bounds(user_E)
    context = context_of(len(user_E), hour=2)
    queries = store.queries(user_E, store.history_items, starts, ends, context)
    exclude = [np.array(one if mask_seen else [], np.int64) for one in histories]
    path = WholePath.open(
        recipe, store, release / "retrieval", release / "index", ranking if ranks else None, threads=1
    )
    answers = path.answer(queries, 10, exclude)[1]

    recommender = Recommender.open(release)
    found = recommender.find([Question(k=10, user_id=int(user), time=3_600) for user in user_E])
    scores = None
    if ranks:
        assert found.request is not None
        scores = Ranker.open(ranking, release / "retrieval", store).score(found.request)
    served = [[item["item_id"] for item in one["items"]] for one in recommender.answers(found, scores, None)]
    assert served == [[item for item in store.items.values(rows) if item is not None] for rows in answers]
