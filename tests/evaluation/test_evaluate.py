"""The evaluation asks what is served, compares on the same queries, and no other release can stop it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made import (
    HISTORY_LENGTH,
    item_vectors,
    recipe_of,
    write_index,
    write_prepared,
    write_ranking,
    write_release,
    write_retrieval,
    write_store,
)

from shortlist.answer.release import Release
from shortlist.dataset.prepared import Prepared
from shortlist.evaluation.evaluate import evaluate
from shortlist.evaluation.live_recommendations import raw_context
from shortlist.evaluation.whole_path import WholePath
from shortlist.features import FeatureStore
from shortlist.features.vocabulary import Vocabulary
from shortlist.recipe import MixedNegatives, Recipe, SoftmaxLoss
from shortlist.recommend.query import QueryBatch

NUM_ITEMS = 60
VECTORS = item_vectors(NUM_ITEMS)
RNG = np.random.default_rng(1)
HISTORIES = [RNG.integers(1, NUM_ITEMS + 1, size).tolist() for size in (5, 3, 9, 1, 12, 7, 4, 8, 2, 6)]
TARGETS = [[row for row in RNG.integers(1, NUM_ITEMS + 1, 3).tolist() if row not in one] for one in HISTORIES]
SYSTEMS = ("path", "retrieval", "popularity", "item_knn")


def recipe(**sections: Any) -> Recipe:
    given = {"evaluation": {"k": [3, 10], "bootstrap": 50}, "gate": {"metric": "ndcg_at_10"}}
    return recipe_of(**(given | sections))


def parts(tmp_path: Path, **prepared: Any) -> Prepared:
    given = {"histories": HISTORIES, "targets": TARGETS, "num_items": NUM_ITEMS} | prepared
    opened = write_prepared(tmp_path / "prepared", **given)
    write_retrieval(tmp_path / "retrieval", VECTORS)
    write_index(tmp_path / "index", VECTORS)
    return opened


def run(
    tmp_path: Path, using: Recipe | None = None, ranking: Path | None = None, live: Path | None = None, out: str = "out"
) -> dict[str, Any]:
    prepared = Prepared.open(tmp_path / "prepared")
    evaluate(using or recipe(), prepared, tmp_path / "retrieval", tmp_path / "index", ranking, live, tmp_path / out)
    found: dict[str, Any] = json.loads((tmp_path / out / "evaluation.json").read_text())
    return found


def nearest(history: list[int], seen: list[int]) -> list[int]:
    """What the hand-made tower answers, by the definition."""
    query = VECTORS[np.array(history[-HISTORY_LENGTH:]) - 1].sum(axis=0)
    return [row for row in (np.argsort(-(VECTORS @ query)) + 1).tolist() if row not in seen]


def mean(found: dict[str, Any], system: str, metric: str) -> float:
    return float(found["systems"][system][metric]["mean"])


def recall(answers: list[list[int]], targets: list[list[int]], k: int) -> float:
    return float(np.mean([len(set(a[:k]) & set(t)) / len(set(t)) for a, t in zip(answers, targets, strict=True)]))


def test_retrieval_is_what_tower_and_index_answer(tmp_path: Path) -> None:
    parts(tmp_path)
    found = run(tmp_path)
    answers = [nearest(history, history) for history in HISTORIES]
    for k in (3, 10):
        assert mean(found, "retrieval", f"recall_at_{k}") == pytest.approx(recall(answers, TARGETS, k), abs=1e-6)
    assert found["systems"]["path"] == found["systems"]["retrieval"]
    shown = len({row for one in answers for row in one[:3]})
    assert found["coverage"]["retrieval"]["3"] == pytest.approx(shown / NUM_ITEMS, abs=1e-6)


def test_the_path_ranks_the_candidates_and_nothing_else(tmp_path: Path) -> None:
    store = parts(tmp_path).store
    write_ranking(tmp_path / "ranking", tmp_path / "retrieval", store, score_weight=-1)
    for candidates in (20, 5):
        using = recipe(ranking={"candidates": candidates})
        found = run(tmp_path, using, tmp_path / "ranking", out=f"out{candidates}")
        turned = [nearest(history, history) for history in HISTORIES]
        turned = [one[:candidates][::-1] + one[candidates:] for one in turned]
        assert mean(found, "path", "recall_at_10") == pytest.approx(recall(turned, TARGETS, 10), abs=1e-6)
        assert found["systems"]["path"] != found["systems"]["retrieval"]


def test_without_ranking_in_the_recipe_its_folder_is_not_read(tmp_path: Path) -> None:
    parts(tmp_path)
    found = run(tmp_path, recipe(ranking={"enabled": False}), tmp_path / "no such folder")
    assert found["systems"]["path"] == found["systems"]["retrieval"]


def test_what_was_seen_is_left_out_only_if_the_recipe_says_so(tmp_path: Path) -> None:
    again = [one[:2] for one in HISTORIES]
    parts(tmp_path, targets=again)
    assert all(mean(run(tmp_path), system, "recall_at_10") == 0 for system in SYSTEMS)
    using = recipe(evaluation={"k": [3, 10], "bootstrap": 50, "mask_seen": False})
    found = run(tmp_path, using, out="unmasked")
    answers = [nearest(history, []) for history in HISTORIES]
    expected = recall(answers, again, 10)
    assert expected > 0.3
    assert mean(found, "retrieval", "recall_at_10") == pytest.approx(expected, abs=1e-6)


def test_who_is_not_known_at_all_gets_what_is_popular_of_late(tmp_path: Path) -> None:
    counts = list(range(NUM_ITEMS))
    late = {"popularity": counts[::-1], "popular": counts}
    parts(tmp_path, histories=[[], [1]], targets=[[NUM_ITEMS], [2]], trained=[(2, 1)], **late)
    found = run(tmp_path)
    assert found["slices"]["new_users"]["queries"] == 1
    for system in ("path", "retrieval", "popularity"):
        assert found["slices"]["new_users"]["systems"][system]["mrr_at_3"]["mean"] == 1


def test_intervals_are_paired_and_differences_add_up(tmp_path: Path) -> None:
    parts(tmp_path)
    found = run(tmp_path)
    rows = np.load(tmp_path / "out/rows.npz", allow_pickle=False)
    for system in SYSTEMS[1:]:
        for metric, of in found["differences"][f"path_minus_{system}"].items():
            assert of["low"] <= of["mean"] <= of["high"]
            assert of["mean"] == pytest.approx(mean(found, "path", metric) - mean(found, system, metric), abs=2e-6)
            paired = rows[f"path/{metric}"] - rows[f"{system}/{metric}"]
            assert of["mean"] == pytest.approx(float(paired.mean()), abs=2e-6)
    same = found["differences"]["path_minus_retrieval"]["ndcg_at_10"]
    assert (same["low"], same["high"]) == (0, 0)


def test_items_and_users_are_cut_into_slices(tmp_path: Path) -> None:
    """8 train positives: item 1 has 3, item 2 has 2, three others 1. The first half is item 1 and item 2."""
    trained = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3), (1, 4), (2, 5)]
    counts = np.bincount([item for _, item in trained], minlength=NUM_ITEMS + 1)[1:].tolist()
    histories = [[6], [6], [6], [6]]
    targets = [[1, 9], [2], [9, 3], [7, 1]]
    parts(tmp_path, histories=histories, targets=targets, trained=trained, popularity=counts)
    slices = run(tmp_path)["slices"]
    assert {name: one["queries"] for name, one in slices.items()} == {
        "known_users": 3,
        "new_users": 1,
        "head_items": 3,
        "tail_items": 3,
    }
    head = slices["head_items"]["systems"]["popularity"]
    assert head["recall_at_3"]["mean"] == 1
    assert head["mrr_at_3"]["mean"] == pytest.approx((1 + 1 / 2 + 1) / 3, abs=1e-6)
    tail = [nearest([6], [6])] * 3
    measured = slices["tail_items"]["systems"]["retrieval"]["recall_at_10"]["mean"]
    assert measured == pytest.approx(recall(tail, [[9], [9, 3], [7]], 10), abs=1e-6)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    parts(tmp_path)
    for out in ("one", "two"):
        run(tmp_path, out=out)
    for name in ("evaluation.json", "rows.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_at_most_so_many_queries_are_asked(tmp_path: Path) -> None:
    parts(tmp_path)
    assert run(tmp_path, recipe(evaluation={"k": [10], "max_queries": 10, "bootstrap": 10}))["queries"] == 10


def test_no_query_is_told(tmp_path: Path) -> None:
    parts(tmp_path, targets=[[]] * len(HISTORIES))
    with pytest.raises(ValueError, match=r"no test query: .* make split.test longer"):
        run(tmp_path)


def live_release(tmp_path: Path, *, without: int = 0) -> Path:
    """Another catalogue: one item that we do not know comes first, `without` of ours are missing, users are others."""
    ids = [5, *(10 * row for row in range(1, NUM_ITEMS + 1 - without))]
    vectors = np.concatenate([-np.ones((1, 8), np.float32) * 1e-3, VECTORS[: NUM_ITEMS - without]])
    store = write_store(tmp_path / "theirs", [[1], [2, 3]], len(ids), item_ids=ids)
    return write_release(tmp_path / "abc123", store, vectors, recipe())


def test_a_live_release_answers_the_same_through_its_own_rows(tmp_path: Path) -> None:
    parts(tmp_path)
    found = run(tmp_path, live=live_release(tmp_path))
    assert (found["live"]["release"], found["live"]["skipped"]) == ("abc123", None)
    assert found["live"]["metrics"].keys() == found["systems"]["path"].keys()
    for metric, of in found["live"]["difference"].items():
        assert (of["mean"], of["low"], of["high"]) == (0, 0, 0), metric
        assert found["live"]["metrics"][metric] == found["systems"]["path"][metric]
    assert set(found["systems"]) == set(SYSTEMS)
    assert set(found["differences"]) == {f"path_minus_{system}" for system in SYSTEMS[1:]}


def test_a_live_release_whose_recipe_is_in_old_words_is_asked_and_served(tmp_path: Path) -> None:
    parts(tmp_path)
    live = live_release(tmp_path)
    (live / "recipe.yaml").write_text(
        "name: old\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"
        "retrieval: {loss: mixed, temperature: 0.1, uniform_negatives: 5, max_negatives: 9}\n"
    )
    found = run(tmp_path, live=live)
    assert (found["live"]["release"], found["live"]["skipped"]) == ("abc123", None)
    retrieval = Release.open(live).recipe.retrieval
    assert retrieval.loss == SoftmaxLoss(kind="softmax", temperature=0.1)
    assert retrieval.negatives == MixedNegatives(kind="mixed", num_uniform=5, max_in_batch=9)


def test_targets_that_the_live_release_does_not_know_are_misses(tmp_path: Path) -> None:
    without = 25
    parts(tmp_path)
    found = run(tmp_path, live=live_release(tmp_path, without=without))
    known = range(1, NUM_ITEMS + 1 - without)
    answers = []
    for history in HISTORIES:
        read = [row for row in history if row in known][-HISTORY_LENGTH:]
        query = VECTORS[np.array(read, int) - 1].sum(axis=0)
        answers.append([r for r in (np.argsort(-(VECTORS[: len(known)] @ query)) + 1).tolist() if r not in history])
    at = [q for q, history in enumerate(HISTORIES) if any(row in known for row in history)]
    assert len(at) == len(HISTORIES)
    expected = recall(answers, TARGETS, 3)
    assert found["live"]["metrics"]["recall_at_3"]["mean"] == pytest.approx(expected, abs=1e-6)
    assert found["live"]["difference"]["recall_at_3"]["mean"] == pytest.approx(
        mean(found, "path", "recall_at_3") - expected, abs=2e-6
    )


def test_a_live_catalogue_that_is_exhausted_has_no_more_hits(tmp_path: Path) -> None:
    parts(tmp_path, targets=[[NUM_ITEMS]] * len(HISTORIES))
    found = run(tmp_path, live=live_release(tmp_path, without=NUM_ITEMS - 3))
    assert found["live"]["metrics"]["recall_at_10"]["mean"] == 0


def test_the_live_release_is_asked_for_its_own_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows two of our ten users."""
    parts(tmp_path)
    asked: list[list[int]] = []

    def recommend(path: WholePath, batch: QueryBatch, *rest: Any) -> Any:
        asked.append(batch.queries.user_E.tolist())
        return served(path, batch, *rest)

    served = WholePath.recommend
    monkeypatch.setattr(WholePath, "recommend", recommend)
    run(tmp_path, live=live_release(tmp_path))
    assert asked == [list(range(1, 11)), [1, 2, 0, 0, 0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("manifest.json", '{"schema_version": 99}', "the release has schema 99"),
        ("manifest.json", None, "no manifest.json"),
        ("features/schema.json", '{"version": 7, "num_item_rows": 1}', ""),
        ("index/index.faiss", "noise", "the index cannot be read"),
        ("retrieval/query_tower.onnx", "noise", "cannot be read"),
        ("features/items/popularity.npy", "", ""),
        ("recipe.yaml", "name: [", "this is not YAML"),
    ],
)
def test_a_live_release_that_cannot_be_asked_is_skipped_with_the_reason(
    tmp_path: Path, file: str, content: str | None, reason: str
) -> None:
    parts(tmp_path)
    live = live_release(tmp_path)
    if content is None:
        (live / file).unlink()
    else:
        (live / file).write_text(content)
    found = run(tmp_path, live=live)
    assert reason in found["live"]["skipped"]
    assert found["live"]["release"] == "abc123"
    assert found["live"]["metrics"] == found["live"]["difference"] == {}
    assert mean(found, "path", "recall_at_10") > 0


def test_context_goes_over_by_its_raw_values(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [[1]], 3)
    schema = json.loads((tmp_path / "store/schema.json").read_text())
    schema["context"] = {
        "categorical": [
            {"name": "device", "num_rows": 4, "dim": 2},
            {"name": "tags", "num_rows": 4, "dim": 2, "max_values": 3},
        ],
        "numeric": [{"name": "price", "mean": 3.0, "std": 2.0}],
    }
    (tmp_path / "store/schema.json").write_text(json.dumps(schema))
    for name in ("device", "tags"):
        Vocabulary.of(np.array(["phone", "tv", "web"])).save(tmp_path / f"store/vocabularies/context.{name}.npy")
    store = FeatureStore.open(tmp_path / "store")
    values = {"device": ["tv", None, "fax"], "tags": [["web", "tv"], [], ["phone"]], "price": [7.0, None, float("nan")]}
    time = np.full(3, 7_200, np.int64)
    encoded = store.context(values, time)
    raw = raw_context(store, encoded)
    assert raw["device"] == [["tv"], [], []]
    assert raw["tags"] == [["web", "tv"], [], ["phone"]]
    again = store.context(raw, time)
    for name, rows in encoded.categorical.items():
        np.testing.assert_array_equal(again.categorical[name], rows)
    np.testing.assert_allclose(again.numeric_EF, encoded.numeric_EF)
