"""Whether people take again what they have, and what leaving it out of the lists costs.

With `evaluation.mask_seen` a target that the history holds is no target, so that the test queries say nothing of
repeats. Where repeats are many, some users are asked once more with all that they took as targets.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.dataset.split import TEST
from shortlist.evaluation.baselines import BuyAgain
from shortlist.evaluation.tables import Values, judged, tables
from shortlist.evaluation.whole_path import WholePath
from shortlist.recipe import Recipe, TemporalSplit
from shortlist.recommend.sources.popularity import Popularity

MANY = 0.2
"""From this share of repeats on, leaving out what a user has costs more than it saves."""
FEW = 0.02
"""Below this share, lists need not hold what a user has."""
_ASKED_FROM = 0.1
_QUERIES = 500


def advise(share: float, mask_seen: bool) -> str | None:
    """What `evaluation.mask_seen` should be, where the share of repeats speaks against what it is."""
    told = f"{share:.0%} of what users took in the test they had taken before"
    if mask_seen and share >= MANY:
        return (
            f"{told}, and evaluation.mask_seen leaves it out of the lists: set evaluation.mask_seen to false, "
            "unless lists are only to show what is new to a user"
        )
    if not mask_seen and share < FEW:
        return f"only {told}: set evaluation.mask_seen to true, so that lists do not show it again"
    return None


def judge_repeats(recipe: Recipe, prepared: Prepared, path: WholePath, k: int) -> dict[str, Any]:
    """The share of repeats; with a mask over many, also what lists with and without it find of all that was taken."""
    positives, repeats = prepared.test_repeats
    share, masked = repeats / max(positives, 1), recipe.evaluation.mask_seen
    told = {
        "positives": positives,
        "repeats": repeats,
        "share": round(share, 6),
        "masked": masked,
        "advice": advise(share, masked),
    }
    if not masked or share < _ASKED_FROM:
        return told
    queries = with_repeats(recipe, prepared)
    histories = prepared.histories(queries)
    popularity = Popularity(np.asarray(prepared.store.popular), prepared.store.available)
    answers = {
        "buy_again": BuyAgain(popularity).rank(k, histories, queries.time),
        "popularity": popularity.rank(k, [one[:0] for one in histories], queries.time),
    }
    for name, masked in (("masked", True), ("unmasked", False)):
        found = path.ask(prepared, queries, k, mask_seen=masked)
        answers |= {f"path_{name}": found.ranked.rows_EK, f"retrieval_{name}": found.retrieved.rows_EK}
    values: dict[str, Values] = {name: judged(rows_QK, queries, [k]).values for name, rows_QK in answers.items()}
    return told | {"queries": len(queries), "k": k, "systems": tables(values, recipe)}


def with_repeats(recipe: Recipe, prepared: Prepared) -> EvaluationQueries:
    """Some of the users who took anything in the test, drawn by the seed, asked as in the test; all that they took is
    a target."""
    samples, store = prepared.samples, prepared.store
    at = samples.positives([TEST])
    user_P, item_P = np.asarray(samples.user)[at].astype(np.int64), np.asarray(samples.item)[at].astype(np.int64)
    users, first = np.unique(user_P, return_index=True)
    drawn = np.sort(np.random.default_rng(recipe.seed).permutation(len(users))[:_QUERIES])
    users, first = users[drawn], at[first[drawn]]
    start, end = (np.asarray(column)[first].astype(np.int64) for column in (samples.start, samples.end))
    time = np.asarray(samples.time)[first].astype(np.int64)
    context = samples.context.take(first)
    if isinstance(recipe.split, TemporalSplit):  # all are asked at one time, and of what comes with it only the clock
        time = np.full(len(users), prepared.test.time[0])
        times, asked_at = prepared.history_times, time[0] - recipe.split.gap
        bounds = zip(start.tolist(), end.tolist(), strict=True)
        end = np.array([low + np.searchsorted(times[low:high], asked_at) for low, high in bounds], np.int64)
        context = store.context({}, time)
    width = store.schema.num_item_rows
    keys: NDArray[np.int64] = np.unique((user_P * width + item_P)[np.isin(user_P, users)])
    keys = keys[store.available.among(keys % width, time[np.searchsorted(users, keys // width)])]
    asked, targets = np.unique(keys // width, return_counts=True)
    kept = np.searchsorted(users, asked)  # without who took only what was not there when asked for
    offsets = np.append(0, np.cumsum(targets))
    return EvaluationQueries(asked, start[kept], end[kept], time[kept], context.take(kept), offsets, keys % width)
