import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shortlist.ragged import gather, places, places_of_sorted, row_blocks
from shortlist.sampling import draw_rows

lengths = st.lists(st.integers(0, 5), max_size=12).map(lambda found: np.array(found, np.int64))


@given(lengths, st.integers(0, 1000))
def test_rows_are_gathered_end_to_end(length, seed):
    offsets = np.append(0, np.cumsum(length))
    values = np.arange(100, 100 + int(offsets[-1]))
    at = np.random.default_rng(seed).permutation(len(length))[:5]
    gathered, found = gather(values, offsets, at)
    assert gathered.tolist() == [value for row in at for value in values[offsets[row] : offsets[row + 1]].tolist()]
    assert found.tolist() == length[at].tolist()


@given(lengths)
def test_places_count_from_zero_in_each_row(length):
    expected = [place for count in length for place in range(count)]
    assert places(length).tolist() == expected
    assert places_of_sorted(np.repeat(np.arange(len(length)), length)).tolist() == expected


@given(lengths, st.integers(1, 8), st.integers(0, 3))
def test_blocks_hold_at_most_the_limit_or_one_row(length, limit, first):
    blocks = list(row_blocks(length, limit, first=first))
    assert [row for start, stop in blocks for row in range(start, stop)] == list(range(first, len(length)))
    for start, stop in blocks:
        assert stop == start + 1 or length[start:stop].sum() <= limit
        assert stop == len(length) or length[start : stop + 1].sum() > limit, "as many rows as fit"


def test_rows_are_drawn_by_the_seed_without_repeats():
    drawn = draw_rows(100, 10, 3)
    assert len(set(drawn.tolist())) == 10
    assert drawn.tolist() == sorted(drawn.tolist()) == draw_rows(100, 10, 3).tolist()
    assert drawn.tolist() != draw_rows(100, 10, [3, 1]).tolist()
    assert draw_rows(4, 10, 3).tolist() == [0, 1, 2, 3]
