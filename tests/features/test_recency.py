"""Counts of late, by exponentials and by squares."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shortlist.features.recency import time_decayed_counts, time_decayed_counts_by_squaring


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10_000)), max_size=50),
    st.sets(st.sampled_from([np.inf, 1600.0, 400.0, 300.0, 200.0, 150.0, 77.0, 50.0]), min_size=1),
)
def test_squares_count_as_exponentials_do(positives, half_lives):
    item = np.array([item for item, _ in positives], np.int64)
    time = np.array([time for _, time in positives], np.int64)
    falling = sorted(half_lives, reverse=True)
    quick = time_decayed_counts_by_squaring(item, time, 10_000, falling, 6)
    np.testing.assert_allclose(quick, time_decayed_counts(item, time, 10_000, falling, 6), rtol=1e-9, atol=1e-280)
