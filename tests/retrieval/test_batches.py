import threading
from collections import Counter

import numpy as np
import pytest
from clean_tables import TEMPORAL, random_events, recipe, write_clean
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.features import Queries
from shortlist.retrieval.batches import Ahead, RetrievalBatches

CONTEXT = "categorical: [{name: device}], numeric: [battery], clock: [hour]"


def prepared_from(folder, events, *, length=4, positions="last", batch_size=16, seed=0):
    """A prepared folder and its recipe; `device` names the row of the event, so that examples can be told apart."""
    count = len(events["time"])
    events = events | {"device": np.arange(count), "battery": np.arange(count) * 0.5}
    chosen = recipe(
        TEMPORAL,
        seed=str(seed),
        features=f"{{history_length: {length}, context: {{{CONTEXT}}}}}",
        retrieval=f"{{positions: {positions}, training: {{batch_size: {batch_size}}}}}",
        evaluation="{mask_seen: false}",
    )
    prepare(chosen, write_clean(folder / "clean", events), folder / "prepared")
    return Prepared.open(folder / "prepared"), chosen


def windows_of(queries):
    """The window of each query, and how much of it is seen."""
    if isinstance(queries, Queries):
        return [queries.history_BL[e, :length] for e, length in enumerate(queries.prefix_E)]
    first = np.cumsum(queries.length_B) - queries.length_B
    window = np.searchsorted(first, queries.last_E, side="right") - 1
    seen = zip(window, queries.last_E + 1, strict=True)
    return [queries.history_T[first[b] : last] if last > 0 else queries.history_T[:0] for b, last in seen]


def examples(batch):
    """What the towers see of each example: (device, item, weight, user, visible history, hour, numbers)."""
    queries, seen = batch.queries, windows_of(batch.queries)
    return [
        (
            int(queries.categorical["context.device"][e, 0]),
            int(batch.item_E[e]),
            float(batch.weight_E[e]),
            int(queries.user_E[e]),
            tuple(seen[e].tolist()),
            int(queries.categorical["clock.hour"][e, 0]),
            tuple(queries.numeric_EF[e].tolist()),
        )
        for e in range(len(batch.item_E))
    ]


def expected(prepared):
    """The same of each train positive with all of its history, by a loop over the columns."""
    samples, context = prepared.samples, prepared.samples.context
    return [
        (
            int(context.categorical["context.device"][i, 0]),
            int(samples.item[i]),
            float(samples.weight[i]),
            int(samples.user[i]),
            tuple(prepared.store.history_items[samples.start[i] : samples.end[i]].tolist()),
            int(context.categorical["clock.hour"][i, 0]),
            tuple(context.numeric_EF[i].tolist()),
        )
        for i in range(len(samples))
        if samples.part[i] == 1 and samples.label[i]
    ]


def epoch_of(batches, epoch=0):
    return [batches.batch(epoch, step) for step in range(batches.num_batches(epoch))]


logs = st.builds(random_events, st.integers(0, 10_000), users=st.integers(1, 12), count=st.integers(150, 300))
quick = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


@quick
@given(logs, st.integers(1, 9))
def test_last_positions_are_each_train_positive_once_with_its_last_events(tmp_path, events, length):
    prepared, chosen = prepared_from(tmp_path, events, length=length)
    got = [one for batch in epoch_of(RetrievalBatches(prepared, chosen)) for one in examples(batch)]
    cut = [(*one[:4], one[4][-length:], *one[5:]) for one in expected(prepared)]
    assert Counter(got) == Counter(cut)


@quick
@given(logs, st.integers(1, 9))
def test_every_position_is_each_train_positive_once_with_what_its_window_holds(tmp_path, events, length):
    prepared, chosen = prepared_from(tmp_path, events, length=length, positions="every", batch_size=5)
    batches = RetrievalBatches(prepared, chosen)
    got = {one[0]: one for batch in epoch_of(batches) for one in examples(batch)}
    wanted = {one[0]: one for one in expected(prepared)}
    assert sum(len(batch.item_E) for batch in epoch_of(batches)) == len(wanted)
    assert got.keys() == wanted.keys()
    for device, (_, item, weight, user, history, *context) in got.items():
        _, item_, weight_, user_, history_, *context_ = wanted[device]
        assert (item, weight, user, context) == (item_, weight_, user_, context_)
        # The end of the true history, whole when it fits and at least half a window when not.
        assert history == history_[len(history_) - len(history) :]
        assert len(history) == len(history_) or length - max(length // 2, 1) < len(history) <= length


@quick
@given(logs, st.integers(1, 9))
def test_a_window_holds_nothing_that_its_last_example_may_not_see(tmp_path, events, length):
    prepared, chosen = prepared_from(tmp_path, events, length=length, positions="every", batch_size=5)
    for batch in epoch_of(RetrievalBatches(prepared, chosen)):
        queries = batch.queries
        ends = np.cumsum(queries.length_B)[queries.length_B > 0] - 1
        assert np.isin(ends, queries.last_E).all()
        assert len(queries.history_T) == queries.length_B.sum()
        assert (queries.history_T > 0).all(), "padding in a packed batch"


@pytest.mark.parametrize("positions", ["last", "every"])
def test_a_batch_follows_from_seed_epoch_and_step(tmp_path, positions):
    prepared, chosen = prepared_from(tmp_path, random_events(1), positions=positions)
    batches, other = RetrievalBatches(prepared, chosen), RetrievalBatches(prepared, chosen)
    whole = [examples(batch) for batch in epoch_of(batches, 1)]
    assert examples(other.batch(1, 3)) == whole[3]
    assert examples(other.batch(0, 3)) != whole[3]
    assert examples(other.batch(1, 3)) == whole[3]
    reseeded = chosen.model_copy(update={"seed": 8})
    assert examples(RetrievalBatches(prepared, reseeded).batch(1, 3)) != whole[3]


def test_batches_differ_by_one_sample_at_most(tmp_path):
    prepared, chosen = prepared_from(tmp_path, random_events(1), batch_size=37)
    sizes = [len(batch.item_E) for batch in epoch_of(RetrievalBatches(prepared, chosen))]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 37


@pytest.mark.parametrize("positions", ["last", "every"])
def test_a_positive_counts_half_for_every_half_life_before_the_last(tmp_path, positions):
    prepared, chosen = prepared_from(tmp_path, random_events(1), positions=positions)
    drifts = chosen.model_copy(update={"retrieval": chosen.retrieval.model_copy(update={"half_life": 40})})
    plain, decayed = RetrievalBatches(prepared, chosen), RetrievalBatches(prepared, drifts)
    samples, device = prepared.samples, prepared.samples.context.categorical["context.device"][:, 0]
    time = dict(zip(device.tolist(), samples.time.tolist(), strict=True))
    last = samples.time[plain.examples].max()
    for before, after in zip(epoch_of(plain), epoch_of(decayed), strict=True):
        for one, other in zip(examples(before), examples(after), strict=True):
            assert one[:2] + one[3:] == other[:2] + other[3:]
            assert other[2] == pytest.approx(one[2] * 0.5 ** ((last - time[one[0]]) / 40), rel=1e-5)


@pytest.mark.parametrize("positions", ["last", "every"])
def test_processes_share_an_epoch(tmp_path, positions):
    prepared, chosen = prepared_from(tmp_path, random_events(1), positions=positions)
    parts = [RetrievalBatches(prepared, chosen, process=i, processes=3) for i in range(3)]
    assert len({part.num_batches(0) for part in parts}) == 1
    got = [one for part in parts for batch in epoch_of(part) for one in examples(batch)]
    assert sorted(one[0] for one in got) == sorted(one[0] for one in expected(prepared))


def test_positives_without_any_history_make_many_small_windows(tmp_path):
    events = random_events(1, users=1) | {"in_history": np.zeros(600, bool)}
    prepared, chosen = prepared_from(tmp_path, events, positions="every", length=4, batch_size=2)
    batches = epoch_of(RetrievalBatches(prepared, chosen))
    assert max(len(batch.item_E) for batch in batches) <= 2 * (4 + 1)
    assert all(not len(batch.queries.history_T) and (batch.queries.last_E == -1).all() for batch in batches)
    assert sum(len(batch.item_E) for batch in batches) == len(expected(prepared))


def test_the_arrays_have_the_types_that_the_towers_take(tmp_path):
    prepared, chosen = prepared_from(tmp_path, random_events(1))
    batch = RetrievalBatches(prepared, chosen).batch(0, 0)
    queries = batch.queries
    whole = [queries.history_BL, queries.window_E, queries.prefix_E, queries.user_E, batch.item_E]
    assert {array.dtype for array in [*whole, *queries.categorical.values()]} == {np.dtype(np.int64)}
    assert {array.dtype for array in [queries.numeric_EF, batch.weight_E]} == {np.dtype(np.float32)}
    assert all(array.flags.c_contiguous and array.flags.owndata for array in [queries.history_BL, batch.weight_E])


def test_what_is_made_ahead_is_what_is_asked_for(tmp_path):
    """In turn, after a jump back, over the end of an epoch, and again."""
    prepared, chosen = prepared_from(tmp_path, random_events(1))
    batches = RetrievalBatches(prepared, chosen)
    ahead = Ahead(batches.batch, batches.num_batches)
    last = batches.num_batches(0) - 1
    for epoch, step in [(0, 0), (0, 0), (0, 1), (0, 2), (0, last - 1), (0, last), (1, 0), (1, 1), (0, 1), (0, 2)]:
        assert examples(ahead.at(epoch, step)) == examples(batches.batch(epoch, step)), (epoch, step)


def test_the_next_steps_are_made_before_they_are_asked_for():
    made, asked = [], threading.Event()

    def make(epoch, step):
        made.append((epoch, step))
        if step == 3:
            asked.set()
        return threading.current_thread() is threading.main_thread()

    assert not Ahead(make, lambda epoch: 5, depth=3).at(2, 0)
    assert asked.wait(10)
    assert made == [(2, 0), (2, 1), (2, 2), (2, 3)]


def test_an_error_in_the_thread_comes_out(tmp_path):
    prepared, chosen = prepared_from(tmp_path, random_events(1))
    batches = RetrievalBatches(prepared, chosen)
    object.__setattr__(prepared.samples, "weight", np.zeros(1, np.float32))
    with pytest.raises(IndexError):
        Ahead(batches.batch, batches.num_batches).at(0, 0)
