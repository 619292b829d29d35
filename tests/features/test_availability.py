"""When items can be recommended."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.features.availability import ALWAYS, FOREVER, Availability

moments = st.integers(-5, 15)
intervals = st.lists(
    st.tuples(st.one_of(st.just(ALWAYS), moments), st.one_of(st.just(FOREVER), moments)), min_size=1, max_size=8
)


def made(pairs: list[tuple[int, int]]) -> Availability:
    """Row 0 is no item."""
    start, end = (np.array([0, *column], np.int64) for column in zip(*pairs, strict=True))
    return Availability(start, end)


@given(intervals, moments, moments)
def test_an_interval_holds_its_start_and_not_its_end(pairs: list[tuple[int, int]], one: int, other: int) -> None:
    available, (first, last) = made(pairs), sorted((one, other))
    there = [False, *(start <= one < end for start, end in pairs)]
    assert available.at(one).tolist() == there
    assert available.among(np.arange(len(there)), one).tolist() == there
    during = available.during(int(available.stretch(np.array([one]))[0]))
    assert during.tolist() == there
    some = [any(start <= time < end for time in range(first, last + 1)) for start, end in pairs]
    assert available.within(first, last).tolist() == [False, *some]


def test_without_times_everything_is_there_and_no_memory_is_held() -> None:
    available = Availability.always(1_000_000)
    assert available.from_N.strides == available.until_N.strides == (0,)
    assert available.at(0).sum() == available.within(0, 0).sum() == 999_999
    assert available.stretch(np.array([ALWAYS, 0, FOREVER])).tolist() == [0, 0, 0]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    made([(0, 3)]).save(tmp_path)
    assert Availability.open(tmp_path).until_N.tolist() == [0, 3]
    (tmp_path / "items/available_from.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"available_from.npy: the file is not an array"):
        Availability.open(tmp_path)
