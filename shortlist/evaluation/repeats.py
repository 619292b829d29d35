"""Repeat consumption: how many test positives the user already had, and what masking them costs.

With `evaluation.mask_seen`, items of the history are not targets, so that the test queries show nothing about repeats.
Where repeats are frequent, a sample of users is evaluated a second time with all of their positives as targets.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.dataset.split import TEST
from shortlist.evaluation.baselines import BuyAgain
from shortlist.evaluation.tables import Values, system_result, tables
from shortlist.evaluation.whole_path import WholePath
from shortlist.recipe import Recipe, TemporalSplit
from shortlist.recommend.sources.popularity import Popularity
from shortlist.sampling import draw_rows

_MANY = 0.2
"""From this share of repeats on, masking seen items costs more than it saves."""
_FEW = 0.02
"""Below this share, lists need not contain seen items."""
_EVALUATED_FROM = 0.1
_QUERIES = 500


def advise(share: float, mask_seen: bool) -> str | None:
    """The recommended value of `evaluation.mask_seen`, where the share of repeats contradicts the current one."""
    repeated = f"{share:.0%} of the test positives are items that the user already had"
    if mask_seen and share >= _MANY:
        return (
            f"{repeated}, and evaluation.mask_seen leaves them out of the lists: set evaluation.mask_seen to false, "
            "unless the lists should show only items that are new to the user"
        )
    if not mask_seen and share < _FEW:
        return f"only {repeated}: set evaluation.mask_seen to true, so that lists do not show them again"
    return None


def evaluate_repeats(recipe: Recipe, prepared: Prepared, path: WholePath, k: int) -> dict[str, Any]:
    """The share of repeats; where many are masked, also the metrics of the lists with and without the mask, with all
    test positives as targets."""
    positives, repeats = prepared.test_repeats
    share, masked = repeats / max(positives, 1), recipe.evaluation.mask_seen
    found = {
        "positives": positives,
        "repeats": repeats,
        "share": round(share, 6),
        "masked": masked,
        "advice": advise(share, masked),
    }
    if not masked or share < _EVALUATED_FROM:
        return found
    queries = with_repeats(recipe, prepared)
    histories = prepared.histories(queries)
    popularity = Popularity(np.asarray(prepared.store.popular), prepared.store.available)
    lists = {
        "buy_again": BuyAgain(popularity).rank(k, histories, queries.time),
        "popularity": popularity.rank(k, [one[:0] for one in histories], queries.time),
    }
    for name, masked in (("masked", True), ("unmasked", False)):
        both = path.recommend_queries(prepared, queries, k, mask_seen=masked)
        lists |= {f"path_{name}": both.ranked.rows_EK, f"retrieval_{name}": both.retrieved.rows_EK}
    values: dict[str, Values] = {name: system_result(rows_QK, queries, [k]).values for name, rows_QK in lists.items()}
    return found | {"queries": len(queries), "k": k, "systems": tables(values, recipe)}


def with_repeats(recipe: Recipe, prepared: Prepared) -> EvaluationQueries:
    """Queries of a seeded sample of the users with test positives, as in the test, but with all positives as
    targets."""
    samples, store = prepared.samples, prepared.store
    at = samples.positives([TEST])
    user_P, item_P = np.asarray(samples.user)[at].astype(np.int64), np.asarray(samples.item)[at].astype(np.int64)
    users, first = np.unique(user_P, return_index=True)
    drawn = draw_rows(len(users), _QUERIES, recipe.seed)
    users, first = users[drawn], at[first[drawn]]
    start, end = (np.asarray(column)[first].astype(np.int64) for column in (samples.start, samples.end))
    time = np.asarray(samples.time)[first].astype(np.int64)
    context = samples.context.take(first)
    if isinstance(recipe.split, TemporalSplit):  # all queries have one time, and only the context that follows from it
        time = np.full(len(users), prepared.test.time[0])
        times, cutoff = prepared.history_times, time[0] - recipe.split.gap
        bounds = zip(start.tolist(), end.tolist(), strict=True)
        end = np.array([low + np.searchsorted(times[low:high], cutoff) for low, high in bounds], np.int64)
        context = store.context({}, time)
    width = store.schema.num_item_rows
    keys: NDArray[np.int64] = np.unique((user_P * width + item_P)[np.isin(user_P, users)])
    keys = keys[store.available.among(keys % width, time[np.searchsorted(users, keys // width)])]
    with_targets, targets = np.unique(keys // width, return_counts=True)
    kept = np.searchsorted(users, with_targets)  # without users whose positives were all unavailable at query time
    offsets = np.append(0, np.cumsum(targets))
    return EvaluationQueries(
        user=with_targets,
        start=start[kept],
        end=end[kept],
        time=time[kept],
        context=context.take(kept),
        target_offsets=offsets,
        target_items=keys % width,
    )
