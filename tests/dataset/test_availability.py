"""Items that come and go: what is asked for, what is told of it, and the proof."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from clean_tables import LEAVE_ONE_OUT, TEMPORAL, random_events, recipe, write_clean
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shortlist.dataset.leakage import LeakageError, prove
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.features import FeatureStore
from shortlist.features.availability import ALWAYS, FOREVER

EVENTS = {
    "user_id": [1, 2, 1, 2, 1, 2, 1, 2, 1],
    "item_id": [10, 20, 20, 10, 30, 30, 40, 50, 30],
    "time": [0, 1, 2, 3, 85, 86, 95, 96, 99],
}
UNMASKED = "{mask_seen: false}"


def run(tmp_path, events=EVENTS, items=None, split=TEMPORAL, **blocks):
    write_clean(tmp_path / "clean", events, items)
    result = prepare(recipe(split, evaluation=UNMASKED, **blocks), tmp_path / "clean", tmp_path / "prepared")
    return Prepared.open(tmp_path / "prepared"), result


def proven(tmp_path, split=TEMPORAL):
    items = pl.scan_parquet(tmp_path / "clean/items.parquet")
    return prove(tmp_path / "prepared", recipe(split, evaluation=UNMASKED), items)


# Item 30 is met in the validation window for the first time, so that nobody could know it before it began.
KNOWN = {"item_id": [10, 20, 30, 40, 50, 60], "available_from": [None, None, 7, None, None, None]}


def test_an_item_begins_at_its_first_event_or_where_its_table_says_so(tmp_path):
    items = KNOWN | {"available_until": [None, 97, None, None, None, 50]}
    store = run(tmp_path, items=items)[0].store
    assert store.available.from_N[1:].tolist() == [0, 1, 7, 95, 96, ALWAYS]  # 60 has no event
    assert store.available.until_N[1:].tolist() == [FOREVER, 97, FOREVER, FOREVER, FOREVER, 50]


def test_targets_that_did_not_exist_are_no_targets_and_are_counted(tmp_path):
    prepared, result = run(tmp_path, items=KNOWN)
    assert prepared.store.items.values(prepared.test.target_items) == [30]  # 40 and 50 come at 95 and 96
    assert prepared.test.time.tolist() == [90]
    assert prepared.unknowable("test").as_dict() == {"targets": 3, "unknowable": 2, "share": 0.666667}
    assert prepared.unknowable("valid").unknowable == 0
    assert result.metrics["unknowable_test_targets"] == 2
    assert result.details["unknowable_targets"]["test"]["share"] == 0.666667


def test_an_item_that_is_gone_is_no_target(tmp_path):
    with pytest.raises(ValueError, match=r"split.test: all 3 targets are of items that were not available"):
        run(tmp_path, items=KNOWN | {"available_until": [None, None, 90, None, None, None]})


def test_a_split_that_leaves_nothing_to_know_says_what_to_do(tmp_path):
    with pytest.raises(
        ValueError, match=r"split.valid: all 2 .*1970-01-01 00:01:20; make split.valid shorter.*available_from"
    ):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["clean"]


def test_leave_one_out_asks_when_the_target_is_taken(tmp_path):
    events = {"user_id": [1] * 4 + [2] * 3, "item_id": [1, 2, 3, 4, 2, 5, 1], "time": [0, 1, 2, 3, 4, 5, 6]}
    prepared, result = run(tmp_path, events, split=LEAVE_ONE_OUT)
    assert result.details["unknowable_targets"]["test"]["unknowable"] == 0
    assert prepared.store.items.values(prepared.test.target_items) == [4, 1]  # 4 is there at its own first event


def test_without_times_everything_is_always_there(tmp_path):
    split, rows = LEAVE_ONE_OUT, "{time_unit: row}"
    prepared, _ = run(tmp_path, items={"item_id": [*range(10, 60, 10)]}, split=split, interactions=rows)
    assert not prepared.store.schema.availability
    assert not (tmp_path / "prepared/features/items/available_from.npy").exists()
    assert prepared.store.available.at(-(10**9))[1:].all()


def test_a_store_of_the_version_before_is_read_as_one_that_is_always_there(tmp_path):
    prepared, _ = run(tmp_path, items=KNOWN)
    shutil.copytree(prepared.store.folder, tmp_path / "old")
    schema = json.loads((tmp_path / "old/schema.json").read_text()) | {"version": 3}
    del schema["availability"]
    (tmp_path / "old/schema.json").write_text(json.dumps(schema))
    assert FeatureStore.open(tmp_path / "old").available.at(0)[1:].all()


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(
    st.builds(random_events, st.integers(0, 10_000), items=st.integers(20, 90), count=st.integers(150, 300)),
    st.sampled_from([TEMPORAL, LEAVE_ONE_OUT]),
    st.integers(0, 100),
)
def test_of_any_log_each_target_was_there_and_each_target_that_was_there_is_asked_for(tmp_path, events, split, seed):
    rng = np.random.default_rng(seed)
    ids = np.unique(events["item_id"])
    lot = rng.random(len(ids))
    start = [None if x < 0.7 else int(t) for x, t in zip(lot, rng.integers(0, 100, len(ids)), strict=True)]
    end = [
        None if x < 0.8 else (s or 0) + int(t)
        for x, s, t in zip(lot, start, rng.integers(0, 99, len(ids)), strict=True)
    ]
    items = pl.DataFrame(
        {"item_id": ids, "available_from": start, "available_until": end},
        schema_overrides={"available_from": pl.Int64, "available_until": pl.Int64},
    )
    try:
        prepared, result = run(tmp_path, events, items, split)
    except LeakageError:
        raise
    except ValueError:
        assume(False)
    assert proven(tmp_path, split).items == len(ids)
    born = {item: int(events["time"][events["item_id"] == item].min()) for item in ids.tolist()}
    interval = {
        item: (born[item] if s is None else s, FOREVER if e is None else e)
        for item, s, e in zip(ids.tolist(), start, end, strict=True)
    }
    for name, part in (("valid", 2), ("test", 3)):
        asked, samples, told = getattr(prepared, name), prepared.samples, result.details["unknowable_targets"][name]
        at = samples.positives([part])
        time = {int(u): int(t) for u, t in zip(asked.user, asked.time, strict=True)}
        moment = 80 if part == 2 else 90
        wanted = set()
        for user, item, when in zip(samples.user[at], samples.item[at], samples.time[at], strict=True):
            key = prepared.store.items.values(np.array([item]))[0]
            asked_at = moment if split == TEMPORAL else int(when)
            if interval[key][0] <= asked_at < interval[key][1]:
                wanted.add((int(user), int(item)))
        query = np.repeat(asked.user, np.diff(asked.target_offsets))
        assert {(int(u), int(i)) for u, i in zip(query, asked.target_items, strict=True)} == wanted
        assert told["targets"] - told["unknowable"] == len(wanted)
        assert set(time) == {user for user, _ in wanted}


@pytest.fixture
def sound(tmp_path):
    run(tmp_path, items=KNOWN)
    proven(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "at", "value", "message"),
    [
        ("features/items/available_from", 4, 80, "item row 4 is marked as available from 80, the events .* say 95"),
        ("features/items/available_until", 2, 5, "item row 2 is marked as available until 5, .* say 9223"),
    ],
)
def test_another_interval_than_that_of_the_events_and_the_table_is_a_leak(sound, file, at, value, message):
    path = sound / f"prepared/{file}.npy"
    array = np.load(path)
    array[at] = value
    np.save(path, array)
    with pytest.raises(LeakageError, match=message):
        proven(sound)


def test_a_target_that_was_not_there_is_a_leak(sound):
    path = sound / "prepared/queries/test/target_items.npy"
    np.save(path, np.full(1, 4, np.int32))
    with pytest.raises(
        LeakageError, match="test query 0 is at time 90, but its target, item row 4, is available from 95"
    ):
        proven(sound)
