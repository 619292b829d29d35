"""Splits that the data gives, in order and without one, and the validation that is carved out of train."""

import numpy as np
import polars as pl
import pytest
from clean_tables import recipe, write_clean
from hypothesis import given
from hypothesis import strategies as st

from shortlist.dataset.leakage import LeakageError, prove
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import LEFT_OUT, TEST, TRAIN, VALID
from shortlist.dataset.split.given import share_to_validation

UNORDERED = {
    "interactions": "{ordered: false, time_unit: row}",
    "retrieval": "{positions: leave_one_out, encoder: mean}",
    "features": "{item: {id_dim: 8}}",
}


def run(folder, events, split, **blocks):
    write_clean(folder / "clean", events)
    asked = recipe(split, **blocks)
    prepare(asked, folder / "clean", folder / "prepared")
    return Prepared.open(folder / "prepared"), asked


def history_of(prepared, asked, query):
    rows = prepared.store.history_items[asked.start[query] : asked.end[query]]
    return list(prepared.store.items.values(rows.astype(np.int64)))


def targets_of(prepared, asked, query):
    rows = asked.target_items[asked.target_offsets[query] : asked.target_offsets[query + 1]]
    return list(prepared.store.items.values(rows))


def test_the_data_says_what_trains_and_what_judges(tmp_path):
    events = {
        "user_id": [1, 1, 1, 1, 2, 2, 2, 3],
        "item_id": [10, 11, 12, 13, 11, 13, 10, 12],
        "time": [0, 1, 2, 3, 0, 1, 2, 0],
        "part": ["train", "train", "valid", "test", "train", "valid", "test", "train"],
    }
    prepared, _ = run(tmp_path, events, "{kind: given}")
    assert prepared.samples.part.tolist() == [1, 1, 2, 3, 1, 2, 3, 1]
    assert [history_of(prepared, prepared.test, q) for q in range(2)] == [[10, 11, 12], [11, 13]]
    assert [targets_of(prepared, prepared.test, q) for q in range(2)] == [[13], [10]]
    assert [history_of(prepared, prepared.valid, q) for q in range(2)] == [[10, 11], [11]]


def test_several_targets_are_asked_for_at_the_time_of_the_first(tmp_path):
    events = {
        "user_id": [1] * 6 + [2] * 2,
        "item_id": [10, 11, 12, 13, 14, 15, 13, 15],
        "time": [0, 1, 5, 6, 8, 9, 4, 4],
        "part": ["train", "train", "valid", "valid", "test", "test", "train", "train"],
    }
    prepared, _ = run(tmp_path, events, "{kind: given}")
    assert history_of(prepared, prepared.valid, 0) == [10, 11]
    assert targets_of(prepared, prepared.valid, 0) == [12, 13]
    assert (prepared.valid.time[0], prepared.test.time[0]) == (5, 8)
    assert history_of(prepared, prepared.test, 0) == [10, 11, 12, 13]


def test_train_events_that_are_not_before_what_judges_their_user_are_left_out(tmp_path):
    events = {
        "user_id": [1, 1, 1, 1, 1, 2, 2],
        "item_id": [10, 11, 12, 13, 14, 10, 11],
        "time": [0, 3, 3, 4, 5, 7, 8],
        "part": ["train", "train", "valid", "train", "test", "train", "train"],
    }
    prepared, asked = run(tmp_path, events, "{kind: given}")
    assert prepared.samples.part.tolist() == [TRAIN, LEFT_OUT, VALID, LEFT_OUT, TEST, TRAIN, TRAIN]
    part = np.load(tmp_path / "prepared/samples/part.npy")
    part[1] = TRAIN
    np.save(tmp_path / "prepared/samples/part.npy", part)
    with pytest.raises(LeakageError, match="sample 1 trains on an event at time 3"):
        prove(tmp_path / "prepared", asked, pl.scan_parquet(tmp_path / "clean/items.parquet"))


def test_the_last_train_positive_becomes_validation_where_one_is_left(tmp_path):
    events = {
        "user_id": [1, 1, 1, 1, 2, 2, 3, 3],
        "item_id": [10, 11, 12, 13, 11, 10, 13, 12],
        "time": [0, 1, 2, 3, 0, 1, 0, 1],
        "positive": [True, True, False, True, True, True, True, True],
        "part": ["train", "train", "train", "test", "train", "test", "train", "train"],
    }
    prepared, _ = run(tmp_path, events, "{kind: given, valid: last}")
    assert prepared.samples.part.tolist() == [TRAIN, VALID, LEFT_OUT, TEST, TRAIN, TEST, TRAIN, VALID]


def random_sets(seed, users=12, items=30):
    rng = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(users) for i in rng.choice(items, rng.integers(3, 15), replace=False).tolist()]
    order = rng.permutation(len(pairs))
    return {
        "user_id": [pairs[k][0] for k in order],
        "item_id": [pairs[k][1] for k in order],
        "time": np.arange(len(order)),
        "part": rng.choice(["train", "train", "train", "test"], len(order)).tolist(),
    }


def test_without_order_a_history_is_what_earlier_parts_hold(tmp_path):
    events = random_sets(3)
    prepared, asked = run(tmp_path, events, "{kind: given, valid: 0.25}", **UNORDERED)
    samples, store = prepared.samples, prepared.store
    for user in range(1, store.schema.num_user_rows):
        own = samples.user == user
        items = {part: set(samples.item[own & (samples.part == part)].tolist()) for part in (TRAIN, VALID, TEST)}
        for at in np.flatnonzero(own & (samples.part == TRAIN)):
            assert set(store.history_items[samples.start[at] : samples.end[at]].tolist()) == items[TRAIN]
        for query in np.flatnonzero(prepared.valid.user == user):
            rows = store.history_items[prepared.valid.start[query] : prepared.valid.end[query]]
            assert set(rows.tolist()) == items[TRAIN]
        for query in np.flatnonzero(prepared.test.user == user):
            rows = store.history_items[prepared.test.start[query] : prepared.test.end[query]]
            assert set(rows.tolist()) == items[TRAIN] | items[VALID]
        trained = len(items[TRAIN]) + len(items[VALID])
        assert len(items[VALID]) == min(int(trained * 0.25 + 0.5), max(trained - 1, 0))
    # A history that reaches into validation is a leak, also without times.
    at = int(np.flatnonzero((samples.part == TRAIN) & np.isin(samples.user, samples.user[samples.part == VALID]))[0])
    end = np.load(tmp_path / "prepared/samples/end.npy")
    end[at] += 1
    np.save(tmp_path / "prepared/samples/end.npy", end)
    with pytest.raises(LeakageError, match=f"sample {at} is at time"):
        prove(tmp_path / "prepared", asked, pl.scan_parquet(tmp_path / "clean/items.parquet"))


@given(st.integers(0, 1000), st.floats(0.01, 0.9), st.integers(0, 5))
def test_the_draw_is_of_the_share_by_the_seed_and_does_not_depend_on_the_other_users(size, share, seed):
    rng = np.random.default_rng(size)
    user = np.sort(rng.integers(1, 6, 60)).astype(np.int32)
    item, positive = rng.permutation(60).astype(np.int32), rng.random(60) < 0.8
    part = rng.choice(np.array([TRAIN, TEST], np.int8), 60)
    drawn = share_to_validation(share, seed, user, item, positive, part)
    assert (drawn[drawn != part] == VALID).all()
    assert ((part == TRAIN) & positive)[drawn != part].all()
    for one in np.unique(user):
        own = user == one
        count = int(((part == TRAIN) & positive & own).sum())
        assert (drawn[own] == VALID).sum() == min(int(count * share + 0.5), max(count - 1, 0))
        alone = share_to_validation(share, seed, user[own], item[own], positive[own], part[own])
        assert (alone == drawn[own]).all()


def test_another_seed_draws_others(tmp_path):
    user, item = np.ones(200, np.int32), np.arange(200, dtype=np.int32)
    positive, part = np.ones(200, bool), np.full(200, TRAIN, np.int8)
    first, second = (share_to_validation(0.3, seed, user, item, positive, part) for seed in (1, 2))
    assert 5 < ((first == VALID) & (second == VALID)).sum() < 40  # 18 by chance


def test_what_is_drawn_does_not_depend_on_the_ranges(tmp_path):
    events = random_sets(5)
    small, _ = run(
        tmp_path / "small", events, "{kind: given, valid: 0.3}", resources="{memory_gb: 0.00001}", **UNORDERED
    )
    large, _ = run(tmp_path / "large", events, "{kind: given, valid: 0.3}", **UNORDERED)
    assert small.samples.part.tolist() == large.samples.part.tolist()
    assert small.samples.end.tolist() == large.samples.end.tolist()


@pytest.mark.parametrize(
    ("parts", "split", "message"),
    [
        (["train", "test"], "{kind: given}", "gives 'valid' for no positive.*set split.valid to `last` or a share"),
        (["train", "valid"], "{kind: given}", "gives 'test' for no positive event, only train, valid"),
        (["valid", "test"], "{kind: given}", "gives 'train' for no positive event"),
        (
            ["train", "valid", "test"],
            "{kind: given, valid: last}",
            "gives 2 validation positives; write `valid: given`",
        ),
    ],
)
def test_a_part_that_is_missing_or_too_many(tmp_path, parts, split, message):
    events = pl.DataFrame({"user_id": [1, 2] * len(parts), "item_id": [1, 2] * len(parts), "part": np.repeat(parts, 2)})
    with pytest.raises(ValueError, match=message):
        run(tmp_path, events.with_row_index("time"), split)


def test_validation_cannot_be_taken_from_users_with_one_positive(tmp_path):
    events = {"user_id": [1, 1, 2], "item_id": [1, 2, 3], "time": [0, 1, 0], "part": ["train", "test", "train"]}
    with pytest.raises(ValueError, match="no user has 2 train positives"):
        run(tmp_path, events, "{kind: given, valid: last}")


@pytest.mark.parametrize(
    ("split", "interactions", "message"),
    [
        ("{kind: temporal, test: 1d, valid: 1d}", "{ordered: false}", "'temporal' needs an order"),
        ("{kind: given, valid: last}", "{ordered: false, time_unit: row}", "'last' needs an order"),
        ("{kind: given, valid: 0.1}", "{ordered: false}", "set interactions.time_unit to row"),
        ("{kind: given, valid: 0.1}", "{}", "samples events regardless of their time; use `last`"),
    ],
)
def test_what_needs_an_order_says_so(split, interactions, message):
    with pytest.raises(ValueError, match=message):
        recipe(split, interactions=interactions)


def test_leave_one_out_without_an_order_draws_one_for_each_part(tmp_path):
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(40), rng.integers(1, 9, 40))
    events = {"user_id": users, "item_id": np.arange(len(users)), "time": np.zeros(len(users), int)}
    parts = {}
    for seed in (1, 1, 2):
        folder = tmp_path / f"{seed}-{sum(map(len, parts.values()))}"
        prepared, _ = run(folder, events, "{kind: leave_one_out}", seed=str(seed), **UNORDERED)
        counts = {
            part: np.bincount(prepared.samples.user[prepared.samples.part == part], minlength=41)
            for part in (TRAIN, VALID, TEST)
        }
        size = sum(counts.values())
        assert (counts[TEST] == (size >= 3)).all()
        assert (counts[VALID] == (size >= 3)).all()
        parts.setdefault(seed, []).append(prepared.samples.item[prepared.samples.part == TEST].tolist())
        # A test query sees train and validation, a validation query train alone.
        assert np.array_equal((prepared.test.end - prepared.test.start), size[prepared.test.user] - 1)
        assert np.array_equal((prepared.valid.end - prepared.valid.start), size[prepared.valid.user] - 2)
    assert parts[1][0] == parts[1][1] != parts[2][0]
