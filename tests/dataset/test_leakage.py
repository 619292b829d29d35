import numpy as np
import polars as pl
import pytest
from clean_tables import LEAVE_ONE_OUT, TEMPORAL, random_events, recipe, write_clean
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shortlist.dataset.leakage import LeakageError, check, prove
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared

FEATURES = """{history_length: 4,
  item: {categorical: [{name: tag}], numeric: [price]},
  user: {categorical: [{name: land}], numeric: [age]},
  context: {categorical: [{name: device, min_count: 2}], numeric: [battery], clock: [hour]}}"""


def tried(split, **blocks):
    return recipe(split, features=FEATURES, evaluation="{mask_seen: false}", **blocks)


def prepared_folder(folder, events, split):
    """A prepared folder of random events with every kind of feature."""
    rng = np.random.default_rng(7)
    count = len(events["time"])
    users, items = np.unique(events["user_id"]), np.unique(events["item_id"])
    events = events | {"device": rng.integers(0, 5, count), "battery": rng.normal(3, 2, count)}
    write_clean(
        folder / "clean",
        events,
        {"item_id": items, "tag": np.arange(len(items)) % 3, "price": np.arange(len(items)) * 1.0},
        {"user_id": users, "land": np.arange(len(users)) % 4, "age": np.arange(len(users)) ** 2},
    )
    prepare(tried(split), folder / "clean", folder / "prepared")
    return folder / "prepared"


def items_of(folder):
    return pl.scan_parquet(folder.parent / "clean/items.parquet")


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(
    st.builds(
        random_events,
        st.integers(0, 10_000),
        users=st.integers(1, 20),
        count=st.integers(120, 300),
        until=st.sampled_from([30, 60, 100]),
    ),
    st.sampled_from(["{kind: temporal, test: 5s, valid: 8s, gap: 2s}", TEMPORAL, LEAVE_ONE_OUT]),
    st.data(),
)
def test_no_random_log_leaks_and_every_shifted_pointer_is_caught(tmp_path, events, split, data):
    try:
        folder = prepared_folder(tmp_path, events, split)
    except LeakageError:
        raise
    except ValueError:  # too few events for this split
        assume(False)
    prepared = Prepared.open(folder)
    samples, times = prepared.samples, prepared.history_times
    proof = prove(folder, tried(split), items_of(folder))
    assert proof.samples == len(events["time"])
    assert proof.queries == len(prepared.valid) + len(prepared.test)
    # By a loop, once more: all events of each history are older than their sample.
    for i in range(len(samples)):
        assert (times[samples.start[i] : samples.end[i]] < samples.time[i]).all()
    # A later end is a leak, whoever writes it: the events from there on are not before the sample, or not its user's.
    at = data.draw(st.integers(0, len(samples) - 1))
    end = np.load(folder / "samples/end.npy")
    end[at] += data.draw(st.integers(1, 5))
    np.save(folder / "samples/end.npy", end)
    with pytest.raises(LeakageError, match=rf"sample {at}(:| )"):
        prove(folder, tried(split), items_of(folder))


@pytest.fixture(scope="module", params=[TEMPORAL, LEAVE_ONE_OUT], ids=["temporal", "leave one out"])
def sound(request, tmp_path_factory):
    return prepared_folder(tmp_path_factory.mktemp("sound"), random_events(11), request.param), request.param


class Planted:
    """A prepared folder in which one array is changed, and put back after."""

    def __init__(self, sound, monkeypatch):
        self.folder, self.split = sound
        self.saved = {}
        # Blocks smaller than the data, so that their borders are crossed.
        monkeypatch.setattr(check, "_BLOCK", 50)

    def change(self, name, mend):
        path = self.folder / f"{name}.npy"
        self.saved[path] = path.read_bytes()
        np.save(path, mend(np.load(path)))

    def refused(self, message):
        with pytest.raises(LeakageError, match=message):
            prove(self.folder, tried(self.split), items_of(self.folder))


@pytest.fixture
def planted(sound, monkeypatch):
    planted = Planted(sound, monkeypatch)
    yield planted
    for path, content in planted.saved.items():
        path.write_bytes(content)
    prove(planted.folder, tried(planted.split), items_of(planted.folder))


def put(at, value):
    def mend(array):
        array[at] = value
        return array

    return mend


def shifted(at, by):
    def mend(array):
        array[at] += by
        return array

    return mend


def test_a_test_positive_among_the_train_samples(planted):
    samples = Prepared.open(planted.folder).samples
    at = int(np.flatnonzero((samples.part == 3) & samples.label)[2])
    planted.change("samples/part", put(at, 1))
    planted.refused(f"sample {at} trains on an event at time")


def test_the_very_first_event_that_judges_among_the_train_samples(planted):
    samples = Prepared.open(planted.folder).samples
    first = np.where(samples.part == 2, samples.time, np.iinfo(np.int64).max).argmin()
    planted.change("samples/part", put(first, 1))
    planted.refused(f"sample {first} trains on an event at time {samples.time[first]}")


def test_a_query_that_sees_the_window(planted):
    times = Prepared.open(planted.folder)
    own_end = times.store.history_offsets[times.test.user + 1]
    at = int(np.flatnonzero(times.test.end < own_end)[0])
    planted.change("queries/test/end", shifted(at, 1))
    planted.refused(f"test query {at} is at time")


def test_a_history_of_another_user(planted):
    planted.change("samples/start", shifted(100, -1))
    planted.refused("sample 100: its history is events")


def test_a_history_out_of_order(planted):
    times = np.load(planted.folder / "samples/history_times.npy")
    at = int(np.flatnonzero(np.diff(times) > 0)[3])
    planted.change("samples/history_times", put([at, at + 1], times[[at + 1, at]]))
    planted.refused("out of order")


def test_other_times_in_the_features_than_in_the_samples(planted):
    times = np.load(planted.folder / "samples/history_times.npy")
    served = planted.folder / "features/history/times.npy"
    try:
        np.save(served, times - 1)
        planted.refused("features/history/times.npy differs from samples/history_times.npy")
        np.save(served, times)
        prove(planted.folder, tried(planted.split), items_of(planted.folder))
    finally:
        served.unlink()


def test_histories_that_are_cut_elsewhere(planted):
    planted.change("features/history/offsets", put(-1, 3))
    planted.refused("does not cut history_times")


def test_an_answer_that_is_a_train_positive(planted):
    prepared = Prepared.open(planted.folder)
    samples = prepared.samples
    judged = {
        (user, item) for user, item, part in zip(samples.user, samples.item, samples.part, strict=True) if part == 3
    }
    user = prepared.test.user[0]
    item = next(
        item
        for who, item, part, label in zip(samples.user, samples.item, samples.part, samples.label, strict=True)
        if who == user and part == 1 and label and (who, item) not in judged
    )
    planted.change("queries/test/target_items", put(0, item))
    planted.refused(f"test query 0: item row {item} is no test positive of its user")


def test_popularity_of_all_positives(planted):
    samples = Prepared.open(planted.folder).samples
    everything = np.bincount(samples.item[samples.label])
    planted.change("features/items/popularity", lambda array: np.resize(everything, array.shape))
    planted.refused("has popularity .* train positives")


def test_what_is_popular_of_the_test_window(planted):
    samples = Prepared.open(planted.folder).samples
    everything = np.bincount(samples.item[samples.label]).astype(np.float32)
    planted.change("features/items/popular", lambda array: np.resize(everything, array.shape))
    planted.refused("of all that is popular, but .* of what the train and validation positives count")


@pytest.mark.parametrize("table", ["items", "users"])
def test_a_row_that_no_train_sample_has_touched_is_marked_as_trained(planted, table):
    planted.change(f"features/{table}/trained", put(0, True))
    planted.refused(f"{table} row 0 is marked as trained = True")


def test_a_word_that_training_never_saw(planted):
    samples = Prepared.open(planted.folder).samples
    hidden = 2
    planted.change(
        "samples/context/context.device",
        lambda rows: np.where((samples.part == 1)[:, None] & (rows == hidden), 1, rows).astype(np.int32),
    )
    planted.refused(r"vocabulary context.device: row 2 occurs 0 times in training, 2 are needed")


@pytest.mark.parametrize("array", ["items/tag", "users/land"])
def test_an_attribute_that_no_trained_row_has(planted, array):
    planted.change(f"features/{array}", lambda rows: np.minimum(rows, 2))
    planted.refused("occurs 0 times in training")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ("samples/context/numeric", "context.battery: mean"),
        ("features/items/numeric", "item.price: mean"),
        ("features/users/numeric", "user.age: mean"),
    ],
)
def test_numbers_standardised_by_other_rows(planted, array, message):
    planted.change(array, lambda numbers: numbers * np.float32(1.01) + np.float32(0.01))
    planted.refused(message)


def test_prepare_refuses_to_finish_a_folder_that_leaks(tmp_path, monkeypatch):
    honest = prepare.__globals__["SampleBuilder"].blocks

    def leaking(self, events):
        for block in honest(self, events):
            block.columns["end"] = block.columns["end"] + 1
            yield block

    monkeypatch.setattr("shortlist.dataset.samples.SampleBuilder.blocks", leaking)
    with pytest.raises(LeakageError, match=r"sample \d+"):
        prepared_folder(tmp_path, random_events(3), TEMPORAL)
    assert not (tmp_path / "prepared").exists()
