import hashlib
import shutil

import numpy as np
import polars as pl
import pytest
from clean_tables import LEAVE_ONE_OUT, TEMPORAL, random_events, recipe, write_clean
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tiny_disk import tiny_disk

from shortlist.dataset.clean_events import CleanEvents
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import SAMPLE_COLUMNS, Prepared
from shortlist.hashing import hash_files, hash_of_hashes

CONTEXT = "{context: {categorical: [{name: device}, {name: words, max_values: 3}], numeric: [battery], clock: [hour]}}"


def run(tmp_path, events, *, items=None, users=None, split=TEMPORAL, name="prepared", **blocks):
    write_clean(tmp_path / "clean", events, items, users)
    result = prepare(recipe(split, **blocks), tmp_path / "clean", tmp_path / name)
    return Prepared.open(tmp_path / name), result


def loop(events, split, *, gap=0, mask_seen=True, windows=((0, 80), (80, 90), (90, 100))):
    """The samples and queries of small events, by plain Python, as the words of the contract say it."""
    names = ("user_id", "item_id", "time", "positive", "in_history", "weight")
    rows = sorted(zip(*(list(events[name]) for name in names), strict=True), key=lambda row: (row[0], row[2]))
    users, items = sorted(set(events["user_id"])), sorted(set(events["item_id"]))
    born = {item: min(row[2] for row in rows if row[1] == item) for item in items}
    samples, queries = [], {2: [], 3: []}
    for user in users:
        own = [row for row in rows if row[0] == user]
        parts = [next((p + 1 for p, (low, high) in enumerate(windows) if low <= row[2] < high), 0) for row in own]
        if split == LEAVE_ONE_OUT:
            at = [i for i, row in enumerate(own) if row[3]]
            parts = [1] * len(own)
            if len(at) >= 3:
                parts = [1 if row[2] < own[at[-2]][2] else 0 for row in own]
                parts[at[-2]], parts[at[-1]] = 2, 3

        def history(before, own=own):
            return [items.index(row[1]) + 1 for row in own if row[4] and row[2] < before]

        for row, part in zip(own, parts, strict=True):
            entry = (users.index(user) + 1, items.index(row[1]) + 1, row[2], bool(row[3]), np.float32(row[5]), part)
            samples.append((*entry, history(row[2])))
        for part in (2, 3):
            targets = {items.index(row[1]) + 1 for row, p in zip(own, parts, strict=True) if p == part and row[3]}
            time = windows[part - 1][0]
            if split == LEAVE_ONE_OUT and targets:
                time = own[parts.index(part)][2]
            seen = history(time - gap)
            targets -= set(seen) if mask_seen else set()
            targets -= {row for row in targets if born[items[row - 1]] > time}
            if targets:
                queries[part].append((users.index(user) + 1, time, seen, sorted(targets)))
    return samples, queries


def written(prepared):
    samples, history = prepared.samples, prepared.store.history_items
    rows = [
        (*(getattr(samples, name)[i] for name in ("user", "item", "time", "label", "weight", "part")),
         history[samples.start[i] : samples.end[i]].tolist())
        for i in range(len(samples))
    ]  # fmt: skip
    asked = {
        part: [
            (q.user[i], q.time[i], history[q.start[i] : q.end[i]].tolist(),
             q.target_items[q.target_offsets[i] : q.target_offsets[i + 1]].tolist())
            for i in range(len(q))
        ]
        for part, q in ((2, prepared.valid), (3, prepared.test))
    }  # fmt: skip
    return rows, asked


logs = st.builds(
    random_events,
    st.integers(0, 10_000),
    users=st.integers(4, 12),
    items=st.integers(20, 90),
    count=st.integers(150, 300),
)
quick = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


@quick
@given(logs, st.booleans(), st.sampled_from(["4", "0.00001"]))
def test_temporal_samples_and_queries_against_a_loop(tmp_path, events, mask_seen, memory):
    expected = loop(events, TEMPORAL, gap=3, mask_seen=mask_seen, windows=((24, 74), (77, 87), (90, 100)))
    assume(all(expected[1].values()))
    prepared, _ = run(
        tmp_path,
        events,
        split="{kind: temporal, test: 10s, valid: 10s, gap: 3s, train: 50s}",
        evaluation=f"{{max_queries: 1000, mask_seen: {str(mask_seen).lower()}}}",
        resources=f"{{memory_gb: {memory}}}",
    )
    assert written(prepared) == expected


@quick
@given(logs, st.booleans(), st.sampled_from(["4", "0.00001"]))
def test_leave_one_out_samples_and_queries_against_a_loop(tmp_path, events, mask_seen, memory):
    expected = loop(events, LEAVE_ONE_OUT, mask_seen=mask_seen)
    assume(all(expected[1].values()))
    prepared, _ = run(
        tmp_path,
        events,
        split=LEAVE_ONE_OUT,
        evaluation=f"{{max_queries: 1000, mask_seen: {str(mask_seen).lower()}}}",
        resources=f"{{memory_gb: {memory}}}",
    )
    assert written(prepared) == expected


def rich_events(seed=5):
    rng = np.random.default_rng(seed)
    events = random_events(seed)
    count = len(events["time"])
    return events | {
        "user_id": [f"user {number}" for number in events["user_id"]],
        "item_id": [f"\u00e9{number}" for number in events["item_id"]],
        "device": [["tv", "phone", None][i] for i in rng.integers(0, 3, count)],
        "words": [rng.integers(0, 9, i).tolist() for i in rng.integers(0, 4, count)],
        "battery": np.where(rng.random(count) < 0.1, np.nan, rng.normal(50, 9, count)),
    }


@pytest.mark.parametrize("split", [TEMPORAL, LEAVE_ONE_OUT])
def test_the_bytes_depend_on_neither_the_memory_nor_the_blocks(tmp_path, monkeypatch, split):
    _, whole = run(tmp_path, rich_events(), split=split, features=CONTEXT, name="whole")
    monkeypatch.setattr("shortlist.dataset.samples._BLOCK", 37)
    _, tiny = run(tmp_path, rich_events(), split=split, features=CONTEXT, name="tiny", resources="{memory_gb: 0.00003}")
    _, again = run(tmp_path, rich_events(), split=split, features=CONTEXT, name="again")
    assert whole.details["digest"] == tiny.details["digest"] == again.details["digest"]
    for file in sorted((tmp_path / "whole").rglob("*.npy")):
        assert file.read_bytes() == (tmp_path / "tiny" / file.relative_to(tmp_path / "whole")).read_bytes(), file


def test_no_more_events_are_held_at_once_than_the_memory_allows(tmp_path):
    write_clean(tmp_path / "clean", rich_events())
    events = CleanEvents.scan(recipe(resources="{memory_gb: 0.00003}"), tmp_path / "clean")
    users = events.entities("user").vocabulary
    ranges = [(first, last, table.height) for first, last, table in events.user_ranges(users)]
    assert events.max_in_memory < 150
    assert max(height for first, last, height in ranges if first < last) <= events.max_in_memory
    assert sum(height for *_, height in ranges) == 600
    assert [first for first, *_ in ranges] == [1, *(last + 1 for _, last, _ in ranges[:-1])]
    assert ranges[-1][1] == users.num_rows - 1


def test_the_digest_is_of_names_and_contents(tmp_path):
    run(tmp_path, random_events(1))
    before = hash_of_hashes(hash_files(tmp_path / "prepared"))
    file = tmp_path / "prepared/samples/user.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert hash_of_hashes(hash_files(tmp_path / "prepared")) != before
    content[-1] ^= 1
    file.write_bytes(content)
    assert hash_of_hashes(hash_files(tmp_path / "prepared")) == before
    file.rename(file.with_name("user2.npy"))
    assert hash_of_hashes(hash_files(tmp_path / "prepared")) != before
    assert len(before) == len(hashlib.sha256().hexdigest())


def test_the_columns_have_the_types_that_are_told(tmp_path):
    prepared, _ = run(tmp_path, random_events(1))
    for name, dtype in SAMPLE_COLUMNS.items():
        assert getattr(prepared.samples, name).dtype == dtype, name
    assert prepared.store.history_items.dtype == np.int32
    assert prepared.store.popularity.dtype == np.int64
    assert prepared.store.history_offsets.dtype == np.int64
    assert np.load(tmp_path / "prepared/queries/test/target_items.npy").dtype == np.int32


def test_the_times_of_histories_are_stored_only_where_a_source_reads_them(tmp_path):
    events = random_events(4)
    plain, _ = run(tmp_path, events, name="plain")
    timed, _ = run(tmp_path, events, name="timed", candidates="{sources: [{kind: repeats, by: time}]}")
    assert plain.store.history_times is None
    assert plain.encode(plain.test).times_BL is None
    assert not (plain.folders["features"] / "history/times.npy").exists()
    files = [hash_files(tmp_path / name) for name in ("plain", "timed")]
    assert files[1].pop("features/history/times.npy")
    assert files[0] == files[1], "nothing else differs"

    samples, times = timed.samples, timed.store.history_times
    assert times.dtype == np.int64
    for i in np.flatnonzero(samples.end > samples.start):
        assert times[samples.end[i] - 1] < samples.time[i]
    asked, encoded = timed.test, timed.encode(timed.test)
    ages = encoded.ages(asked.time)
    for q in range(len(asked)):
        last = times[asked.start[q] : asked.end[q]][-encoded.history_BL.shape[1] :]
        np.testing.assert_allclose(ages[q, : len(last)], (asked.time[q] - last) / 86_400, rtol=1e-6)
        assert not ages[q, len(last) :].any()


def test_popularity_counts_train_positives_only(tmp_path):
    events = random_events(2)
    prepared, result = run(tmp_path, events)
    items = sorted(set(events["item_id"].tolist()))
    train = (events["time"] < 80) & events["positive"]
    expected = [0, *(int((train & (events["item_id"] == item)).sum()) for item in items)]
    assert prepared.store.popularity.tolist() == expected
    assert np.load(tmp_path / "prepared/features/items/trained.npy").tolist() == [count > 0 for count in expected]
    assert result.metrics["train_positives"] == train.sum()


def test_the_catalogue_holds_items_of_the_table_and_of_all_events(tmp_path):
    events = {
        "user_id": [1, 1, 1, 2, 2, 2],
        "item_id": [10, 20, 30, 10, 20, 40],
        "time": [0, 85, 99, 1, 86, 98],
    }
    items = {"item_id": [50, 10, 20, 30], "name": ["fifty", None, None, None], "available_from": [None, None, 0, 0]}
    prepared, _ = run(tmp_path, events, items=items, features="{item: {title: name}}")
    assert prepared.store.items.keys.tolist() == [10, 20, 30, 40, 50]
    assert prepared.store.titles(np.arange(6)) == ["", "", "", "", "", "fifty"]
    assert np.load(tmp_path / "prepared/features/items/trained.npy").tolist() == [False, True] + [False] * 4


ATTRIBUTES = """{item: {categorical: [{name: genre, max_values: 2, min_count: 2}, {name: year}],
  numeric: [price], embedding: {name: audio, dim: 2}, title: name}}"""


def attributes():
    """Items 1 to 4 train, 5 is met in the test alone, 6 never."""
    events = {
        "user_id": [1] * 4 + [2] * 4 + [1, 2, 1, 2],
        "item_id": [1, 2, 3, 4] * 2 + [3, 1, 5, 5],
        "time": [*range(8), 85, 86, 98, 99],
    }
    items = {
        "item_id": [6, 5, 4, 3, 2, 1],
        "available_from": [0] * 6,
        "genre": [["rare"], ["jazz", "late"], ["rock"], ["jazz", "rock", "cut"], None, ["once", "jazz"]],
        "year": [2000, 1990, None, 1990, 1980, 1980],
        "price": [1e9, 100.0, 4.0, None, 2.0, 0.0],
        "audio": [[0.5, 1.0], None, [1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]],
        "name": ["six", "five", "four", "three", "two", "one"],
    }
    return events, items


def test_item_attributes_know_the_train_items_only(tmp_path):
    events, items = attributes()
    prepared, _ = run(
        tmp_path, events, items=items, features=ATTRIBUTES, evaluation="{mask_seen: false, max_queries: 10}"
    )
    store = prepared.store
    folder = store.folder
    genre = np.load(folder / "vocabularies/item.genre.npy").tolist()
    assert genre == [b"jazz", b"rock"]
    assert store.item_categorical["genre"].tolist() == [[0, 0], [0, 1], [0, 0], [1, 2], [2, 0], [1, 0], [0, 0]]
    assert np.load(folder / "vocabularies/item.year.npy").tolist() == [1980, 1990]
    assert store.item_categorical["year"].tolist() == [[0], [1], [1], [2], [0], [2], [0]]
    price = store.schema.item.numeric[0]
    assert (price.mean, price.std) == (2.0, pytest.approx(np.sqrt(8 / 3)))
    assert store.item_numeric[:, 1].tolist() == [1, 0, 0, 1, 0, 0, 0]
    assert store.item_numeric[4].tolist() == [pytest.approx(2 / np.sqrt(8 / 3)), 0]
    assert store.item_embedding.tolist() == [[0, 0], [7, 8], [5, 6], [3, 4], [1, 2], [0, 0], [0.5, 1]]
    assert store.titles(np.array([6, 0, 1])) == ["six", "", "one"]
    assert store.schema.embedding_dim == 2


def test_context_is_counted_over_train_samples_only(tmp_path):
    events = random_events(9) | {"device": ["common"] * 600, "battery": np.zeros(600)}
    late = events["time"] >= 80
    events["device"] = np.where(late, "late", np.where(np.arange(600) % 2, "common", "also"))
    events["battery"] = np.where(late, 1000.0, np.arange(600) % 2)
    events["device"][np.flatnonzero(~late)[0]] = "rare"
    features = "{context: {categorical: [{name: device, min_count: 2}], numeric: [battery]}}"
    prepared, _ = run(tmp_path, events, features=features)
    words = np.load(tmp_path / "prepared/features/vocabularies/context.device.npy")
    assert words.tolist() == [b"also", b"common"]
    field = prepared.store.schema.context.numeric[0]
    train = events["battery"][~late]
    assert field.mean == pytest.approx(train.mean())
    assert field.std == pytest.approx(train.std())
    # Nothing but the clock is known at the start of a window.
    assert not prepared.test.context.categorical["context.device"].any()
    assert prepared.test.context.numeric_EF.tolist() == [[0, 1]] * len(prepared.test)


def test_leave_one_out_queries_have_the_context_of_their_event(tmp_path):
    events = random_events(9)
    events["device"] = [f"d{time}" for time in events["time"]]
    features = "{context: {categorical: [{name: device}], clock: [hour]}}"
    prepared, _ = run(tmp_path, events, features=features, split=LEAVE_ONE_OUT)
    store = prepared.store
    expected = store.context({"device": [f"d{time}" for time in prepared.test.time]}, prepared.test.time)
    for name, rows in expected.categorical.items():
        np.testing.assert_array_equal(prepared.test.context.categorical[name], rows)
    assert prepared.test.context.categorical["context.device"].any()


def test_at_most_so_many_queries_drawn_by_the_seed(tmp_path):
    events = random_events(4, users=60, count=2000)
    full, _ = run(tmp_path, events)
    ten = {"evaluation": "{max_queries: 10}"}
    drawn, _ = run(tmp_path, events, name="drawn", **ten)
    again, _ = run(tmp_path, events, name="again", **ten)
    other, _ = run(tmp_path, events, name="other", **ten, seed="7")
    ranked, _ = run(tmp_path, events, name="ranked", **ten, ranking="{max_queries: 20}")
    assert len(full.test) > 20
    assert len(drawn.test) == len(drawn.valid) == len(ranked.test) == 10
    assert len(ranked.valid) == 20
    assert drawn.test.user.tolist() == again.test.user.tolist() == sorted(set(drawn.test.user.tolist()))
    assert drawn.test.user.tolist() != other.test.user.tolist()
    rows = {query[0]: query for query in written(full)[1][3]}
    assert all(query == rows[query[0]] for query in written(drawn)[1][3])
    at = np.array([3, 0])
    picked = drawn.test.take(at)
    assert picked.user.tolist() == drawn.test.user[at].tolist()
    assert picked.target_offsets[-1] == len(picked.target_items)
    assert len(full.valid.draw(5, 0)) == 5
    assert full.valid.draw(10**6, 0) is full.valid


def test_a_user_with_very_many_events(tmp_path):
    count = 200_000
    rng = np.random.default_rng(0)
    events = {
        "user_id": np.append(np.zeros(count, np.int64), [1, 1, 1, 1]),
        "item_id": np.append(rng.integers(0, 500, count), [1, 2, 3, 4]),
        "time": np.append(np.sort(rng.integers(0, 10**6, count))[::-1], [0, 5, 6, 7]),
    }
    prepared, _ = run(
        tmp_path, events, split=LEAVE_ONE_OUT, evaluation="{mask_seen: false}", resources="{memory_gb: 0.001}"
    )
    assert len(prepared.samples) == count + 4
    assert prepared.test.end[0] - prepared.test.start[0] > count - 10


def test_times_in_wild_ranges_are_sorted_all_the_same(tmp_path):
    events = random_events(8)
    events["time"] = events["time"] * (2**55)
    events["user_id"] = events["user_id"] * (2**50)
    prepared, _ = run(tmp_path, events, split=LEAVE_ONE_OUT)
    assert written(prepared) == loop(
        {name: list(map(type(v[0].item()), v)) for name, v in events.items()}, LEAVE_ONE_OUT
    )


def bad(**changes):
    events = random_events(1)
    return {**events, **changes}


@pytest.mark.parametrize(
    ("events", "split", "message"),
    [
        (bad(positive=np.zeros(600, bool)), TEMPORAL, "positive: 'TRUE' is true for none of the 600 events"),
        (random_events(1), "{kind: temporal, test: 5d, valid: 1d}", "no event is left to train on.*1970-01-01 00:00"),
        (bad(positive=random_events(1)["time"] < 85), TEMPORAL, r"split.test: no positive event.*1970-01-01 00:01:30"),
        (bad(positive=random_events(1)["time"] >= 80), TEMPORAL, "split.train: no positive event lies in its window"),
        (bad(user_id=np.arange(600)), LEAVE_ONE_OUT, "a user with at least 3 positive events"),
        (bad(time=np.full(600, 7)), LEAVE_ONE_OUT, "no positive event is left to train on: none is older"),
        (bad(item_id=np.ones(600, int), user_id=np.ones(600, int)), TEMPORAL, "valid: all its positives are of"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_refused_and_leaves_nothing(tmp_path, events, split, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, events, split=split)
    assert [path.name for path in tmp_path.iterdir()] == ["clean"]


@pytest.mark.parametrize(
    ("change", "features", "message"),
    [
        ({}, "{item: {embedding: {name: audio, dim: 3}}}", r"items.audio: .*\[2\] numbers.*dim is 3"),
        ({"audio": [[1.0, float("nan")]] + [[1.0, 2.0]] * 5}, ATTRIBUTES, "items.audio: 1 embeddings hold NaN"),
        ({"audio": [1.0] * 6}, ATTRIBUTES, "items.audio: an embedding is a list of numbers"),
        ({"price": list("abcdef")}, ATTRIBUTES, "items.price: a column of String is not numeric"),
        ({"genre": [b"x"] * 6}, ATTRIBUTES, "items.genre: a column of Binary has no ids or words"),
        ({"genre": ["x" * 300] * 6}, ATTRIBUTES, "items.genre: 'xxx.*has 300 bytes"),
        ({"genre": ["x\0"] * 6}, ATTRIBUTES, "items.genre: a value holds a NUL"),
    ],
)
def test_attributes_of_a_wrong_type_are_refused_by_name(tmp_path, change, features, message):
    events, items = attributes()
    with pytest.raises(ValueError, match=message):
        run(tmp_path, events, items=items | change, features=features, evaluation="{mask_seen: false}")


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(ValueError, match="no column device, words, battery; there are user_id"):
        run(tmp_path, random_events(1), features=CONTEXT)
    pl.read_parquet(tmp_path / "clean/events.parquet").head(0).write_parquet(tmp_path / "clean/events.parquet")
    with pytest.raises(ValueError, match="there are no events"):
        prepare(recipe(), tmp_path / "clean", tmp_path / "prepared")


def test_the_split_has_a_digest_that_the_features_do_not_change(tmp_path):
    split, other = (run(tmp_path, random_events(1), split=one)[1].details for one in (TEMPORAL, LEAVE_ONE_OUT))
    shorter = run(tmp_path, random_events(1), features="{history_length: 3}")[1].details
    assert split["split_digest"] == shorter["split_digest"] != other["split_digest"]
    assert len({split["digest"], shorter["digest"], other["digest"]}) == 3


def test_a_full_disk_leaves_the_old_folder(tmp_path):
    with tiny_disk(tmp_path / "disk") as disk:
        write_clean(tmp_path / "clean", random_events(1))
        prepare(recipe(), tmp_path / "clean", disk / "prepared")
        before = hash_of_hashes(hash_files(disk / "prepared"))
        write_clean(tmp_path / "clean", random_events(2, count=30_000))
        with pytest.raises(ValueError, match="prepared: the disk is full; nothing was written"):
            prepare(recipe(), tmp_path / "clean", disk / "prepared")
        assert hash_of_hashes(hash_files(disk / "prepared")) == before
        assert [path.name for path in disk.iterdir()] == ["prepared"]


def test_a_folder_that_is_not_prepared_is_told_so(tmp_path):
    with pytest.raises(ValueError, match="this is no prepared folder"):
        Prepared.open(tmp_path)
    run(tmp_path, random_events(1))
    for part in ("samples", "queries"):
        (tmp_path / "prepared" / part).rename(tmp_path / part)
        with pytest.raises(ValueError, match=f"{part}: this is no prepared folder; run the prepare step first"):
            Prepared.open(tmp_path / "prepared")
        (tmp_path / part).rename(tmp_path / "prepared" / part)
    Prepared.open(tmp_path / "prepared")


def test_a_part_that_was_not_given_is_asked_for_in_vain(tmp_path):
    whole, _ = run(tmp_path, random_events(1))
    shutil.rmtree(tmp_path / "prepared/samples")
    some = Prepared(features=tmp_path / "prepared/features", queries=tmp_path / "prepared/queries")
    assert len(some.valid) == len(whole.valid)
    with pytest.raises(AssertionError, match="a step that reads the samples of prepare must be given them"):
        _ = some.samples


def test_text_is_fitted_on_the_train_window_and_every_row_has_a_vector(tmp_path):
    events = {
        "user_id": ["a"] * 4 + ["b"] * 4,
        "item_id": [1, 2, 3, 4, 2, 1, 4, 3],
        "time": [0, 1, 2, 3, 0, 1, 2, 3],
    }
    items = {
        "item_id": [1, 2, 3, 4, 5, 6],
        "title": ["red wooden chair", "red wooden table", "novelty", "novelty lamp", "wooden novelty", None],
        "tags": [["seat"], ["seat", "oak"], [], None, ["oak"], None],
    }
    users = {"user_id": ["a", "b", "c"], "about": ["road works", "road and water works", "water"]}
    features = "{item: {text: {columns: [title, tags], dim: 2}}, user: {text: {columns: [about], dim: 2}}}"
    prepared, _ = run(tmp_path, events, items=items, users=users, split=LEAVE_ONE_OUT, features=features)
    store = prepared.store
    assert store.schema.item.text_dim == store.schema.user.text_dim == 2
    # Items 3 and 4 only judge: a word of theirs alone is no term, and theirs that others have still counts.
    told = store.item_text.any(1)
    assert told.tolist() == [False, True, True, False, False, True, False]
    terms = np.load(store.folder / "users/text/terms.npy").tolist()
    assert b"road" in terms
    assert b"water" not in terms
    queries = prepared.encode(prepared.test)
    assert queries.numeric_EF.shape == (2, store.schema.query_numeric_dim) == (2, 2)
    np.testing.assert_array_equal(queries.numeric_EF, np.load(store.folder / "users/text.npy")[[1, 2]])


def test_a_cap_per_user_leaves_histories_queries_and_statistics_consistent(tmp_path):
    """The statistics are those of what is learnt, and what is judged does not change."""
    events = random_events(3)
    whole, _ = run(tmp_path, events, name="whole")
    capped, _ = run(tmp_path, events, split="{kind: temporal, test: 10s, valid: 10s, max_per_user: 3}", name="capped")
    for one, most in ((whole, 99), (capped, 3)):
        at = one.samples.positives([1])
        assert np.bincount(one.samples.user[at]).max() <= most
        assert np.array_equal(
            one.store.popularity, np.bincount(one.samples.item[at], minlength=len(one.store.popularity))
        )
    assert len(capped.samples.positives([1])) < len(whole.samples.positives([1]))
    assert np.array_equal(capped.store.history_items, whole.store.history_items)
    assert np.array_equal(capped.test.target_items, whole.test.target_items)
