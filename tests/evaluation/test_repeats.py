"""The share of repeats, and what the mask costs where they are many."""

import numpy as np
import pytest
from clean_tables import TEMPORAL, random_events, recipe, write_clean
from hypothesis import given
from hypothesis import strategies as st

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.evaluation.repeats import advise, with_repeats


@given(st.floats(0, 1), st.booleans())
def test_advice_is_to_change_what_the_share_speaks_against(share: float, masked: bool) -> None:
    said = advise(share, masked)
    assert (said is not None) == (share >= 0.2 if masked else share < 0.02)
    if said is not None:
        assert f"set evaluation.mask_seen to {'false' if masked else 'true'}" in said


@pytest.mark.parametrize("split", [TEMPORAL, "{kind: leave_one_out}"])
def test_with_repeats_is_what_an_evaluation_without_the_mask_asks(tmp_path, split) -> None:
    """The queries of `mask_seen: false`, made from what `mask_seen: true` left; and so is their share."""
    write_clean(tmp_path / "clean", random_events(3, users=30, items=12, count=700))
    asked = {}
    for masked in (True, False):
        using = recipe(split, evaluation=f"{{mask_seen: {str(masked).lower()}}}")
        result = prepare(using, tmp_path / "clean", tmp_path / str(masked))
        asked[masked] = (using, Prepared.open(tmp_path / str(masked)), result.details["repeats"])
    masked_recipe, masked_data, told = asked[True]
    expected = asked[False][1].test
    found = with_repeats(masked_recipe, masked_data)
    for column in ("user", "start", "end", "time", "target_offsets", "target_items"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column), column)
    np.testing.assert_array_equal(found.context.numeric_EF, expected.context.numeric_EF)
    assert told == asked[False][2]
    items = np.asarray(masked_data.store.history_items)
    bounds = zip(expected.start, expected.end, expected.target_offsets, expected.target_offsets[1:], strict=False)
    again = [np.isin(expected.target_items[a:b], items[start:end]).sum() for start, end, a, b in bounds]
    assert told == {"positives": len(expected.target_items), "repeats": int(sum(again))}
    assert 0 < told["repeats"] < told["positives"]
