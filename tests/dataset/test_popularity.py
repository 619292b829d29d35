"""What is popular just before the test, by the half-life that the validation found most likely."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from clean_tables import LEAVE_ONE_OUT, random_events, recipe, write_clean

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.features import FeatureStore
from shortlist.step_result import StepResult

WINDOWS = "{kind: temporal, test: 10s, valid: 10s}"


def made(folder: Path, items: np.ndarray, times: np.ndarray, split: str = WINDOWS) -> tuple[Prepared, StepResult]:
    events = {"user_id": np.arange(len(items)) % 50, "item_id": items, "time": times}
    write_clean(folder / "clean", events)
    result = prepare(recipe(split, evaluation="{mask_seen: false}"), folder / "clean", folder / "prepared")
    return Prepared.open(folder / "prepared"), result


def events_of(seed: int, *, drift: bool, count: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Each item of 20 has a time at which it is liked best, or all have the same share always."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 200, count))
    best = rng.permutation(20) * 10
    says = np.exp(-(((times[:, None] - best) / 15) ** 2)) if drift else np.arange(1, 21) * np.ones((count, 1))
    lots = np.cumsum(says / says.sum(axis=1, keepdims=True), axis=1)
    items = (rng.random(count)[:, None] > lots).sum(axis=1).clip(max=19) + 1
    return np.append(items, np.arange(1, 21)), np.append(times, np.full(20, 199))


@pytest.mark.parametrize(("drift", "expected"), [(True, {"5 seconds", "10 seconds", "20 seconds"}), (False, {"none"})])
def test_a_field_that_drifts_has_a_short_memory(tmp_path: Path, drift: bool, expected: set[str]) -> None:
    items, times = events_of(1, drift=drift)
    prepared, result = made(tmp_path, items, times)
    assert result.details["popular_half_life"] in expected
    half_life = {"5": 5, "10": 10, "20": 20, "none": np.inf}[result.details["popular_half_life"].split()[0]]
    before = times < 190
    counts = [np.exp2((times - 190) / half_life)[before & (items == item)].sum() for item in range(1, 21)]
    np.testing.assert_allclose(prepared.store.popular, [0, *counts], rtol=1e-5)
    if drift:
        asked = np.bincount(items[(times >= 190)], minlength=21)
        for_all_time = np.bincount(items[before], minlength=21)
        found = [asked[np.argsort(-counts)[:3]].sum() for counts in (prepared.store.popular, for_all_time)]
        assert found[0] > found[1]


def test_few_events_are_not_thinned_out(tmp_path: Path) -> None:
    items, times = events_of(2, drift=False, count=300)
    _, result = made(tmp_path, items, times)
    assert result.details["popular_half_life"] == "none"


def test_what_the_test_holds_is_not_counted(tmp_path: Path) -> None:
    items, times = events_of(3, drift=True)
    one, _ = made(tmp_path / "one", items, times)
    other, _ = made(tmp_path / "other", np.where(times >= 190, 21 - items, items), times)
    np.testing.assert_array_equal(one.store.popular, other.store.popular)


def test_where_each_user_has_an_end_of_their_own_the_train_positives_count(tmp_path: Path) -> None:
    write_clean(tmp_path / "clean", random_events(2))
    result = prepare(recipe(LEAVE_ONE_OUT), tmp_path / "clean", tmp_path / "prepared")
    store = Prepared.open(tmp_path / "prepared").store
    assert result.details["popular_half_life"] == "none"
    np.testing.assert_array_equal(store.popular, store.popularity)


def test_a_store_of_the_version_before_says_what_was_popular(tmp_path: Path) -> None:
    prepared, _ = made(tmp_path, *events_of(4, drift=True))
    shutil.copytree(prepared.store.folder, tmp_path / "old")
    (tmp_path / "old/items/popular.npy").unlink()
    schema = json.loads((tmp_path / "old/schema.json").read_text()) | {"version": 2}
    (tmp_path / "old/schema.json").write_text(json.dumps(schema))
    store = FeatureStore.open(tmp_path / "old")
    np.testing.assert_array_equal(store.popular, store.popularity)
