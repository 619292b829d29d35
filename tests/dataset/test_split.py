import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.dataset.split import LEFT_OUT, TEST, TRAIN, VALID, Windows
from shortlist.dataset.split.leave_one_out import leave_one_out_parts
from shortlist.dataset.split.parts import keep_latest
from shortlist.dataset.split.temporal import moment, span
from shortlist.recipe import TemporalSplit

DAY = 86_400


def split(**values) -> TemporalSplit:
    return TemporalSplit(kind="temporal", **values)


def test_windows_are_cut_from_the_last_event_backwards():
    windows = Windows.of(split(test="2d", valid="1d", gap="1h", train="5d"), first=0, last=30 * DAY - 1)
    assert windows == Windows(
        train_start=22 * DAY - 7200,
        train_end=27 * DAY - 7200,
        valid_start=27 * DAY - 3600,
        valid_end=28 * DAY - 3600,
        test_start=28 * DAY,
        test_end=30 * DAY,
    )


def test_parts_follow_the_half_open_windows():
    windows = Windows.of(split(test=10, valid=10, gap=5, train=20), first=0, last=99)
    time = np.array([39, 40, 59, 60, 64, 65, 74, 75, 79, 89, 84, 90, 99])
    windows = Windows.of(split(test=10, valid=10, gap=5, train=20), first=0, last=99)
    assert (windows.train_start, windows.train_end, windows.valid_start, windows.test_start) == (50, 70, 75, 90)
    expected = [TRAIN if 50 <= t < 70 else VALID if 75 <= t < 85 else TEST if 90 <= t < 100 else LEFT_OUT for t in time]
    assert windows.parts(time).tolist() == expected
    assert windows.parts(time).dtype == np.int8


def test_without_a_train_length_all_that_is_before_trains():
    windows = Windows.of(split(test=10, valid=10), first=3, last=99)
    assert (windows.train_start, windows.train_end) == (3, 80)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"test": "60d", "valid": "1d"},
            "left to train on.*2023-11-14.*1 days.*61 days.*shorten split.test",
        ),
        ({"test": 0, "valid": "1d"}, "split.test: the window is 0 seconds long"),
        ({"test": "1h", "valid": 0}, "split.valid: the window is 0 seconds long"),
        ({"test": "1h", "valid": "1h", "train": 0}, "split.train: the window is 0 seconds long"),
    ],
)
def test_windows_that_cannot_be_are_refused_with_what_to_change(values, message):
    with pytest.raises(ValueError, match=message):
        Windows.of(split(**values), first=1_700_000_000, last=1_700_000_000 + DAY)


histories = st.lists(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=12), min_size=1, max_size=6)


@given(histories)
def test_leave_one_out_against_a_loop(users):
    users = [sorted(events, key=lambda event: event[0]) for events in users]
    bounds = np.append(0, np.cumsum([len(events) for events in users]))
    time = np.array([time for events in users for time, _ in events], np.int64)
    positive = np.array([flag for events in users for _, flag in events], bool)
    expected = []
    for events in users:
        at = [i for i, (_, flag) in enumerate(events) if flag]
        if len(at) < 3:
            expected += [TRAIN] * len(events)
            continue
        horizon = events[at[-2]][0]
        parts = [TRAIN if when < horizon else LEFT_OUT for when, _ in events]
        parts[at[-2]], parts[at[-1]] = VALID, TEST
        expected += parts
    assert leave_one_out_parts(bounds, time, positive).tolist() == expected


def test_times_and_durations_read_well():
    assert moment(1_700_000_000) == "2023-11-14 22:13:20"
    assert moment(10**18) == "1000000000000000000 s"
    assert [span(s) for s in (5, 90, 5400, 129_600)] == ["5 seconds", "1.5 minutes", "1.5 hours", "1.5 days"]


@given(
    st.lists(st.lists(st.tuples(st.sampled_from([LEFT_OUT, TRAIN, VALID]), st.booleans()), max_size=8), max_size=5),
    st.integers(1, 4),
)
def test_the_latest_train_positives_of_each_user_are_kept(users, most):
    events = [event for user in users for event in user]
    part = np.array([one for one, _ in events], np.int8)
    positive = np.array([one for _, one in events], bool)
    bounds = np.append(0, np.cumsum([len(user) for user in users])).astype(np.int64)
    wanted = []
    for user in users:
        trains = [at for at, event in enumerate(user) if event == (TRAIN, True)]
        wanted += [LEFT_OUT if at in trains[:-most] else event[0] for at, event in enumerate(user)]
    found = keep_latest(part, positive, bounds, most)
    assert found.tolist() == wanted
    assert found.dtype == np.int8
