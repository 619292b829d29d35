"""The last events of a query's history and how much each of them counts.

Shapes: L events.
"""

import numpy as np
from numpy.typing import NDArray

from shortlist.features.queries import DAY
from shortlist.recommend.sources import Encoded

DECAY = 0.5
"""The exponent of the decay, the usual one of memory models."""


def recent_events(encoded: Encoded, e: int, *, ordered: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The item rows of the history of query `e`, last one first, and their weights, which sum to 1; both [L].

    An event weighs b ** -0.5 where b is 1 for the last event, 2 for the one before it, and so on (base-level
    activation: Anderson and Schooler 1991, "Reflections of the environment in memory"). Without an order all events
    weigh the same.
    """
    queries = encoded.batch.queries
    rows_L = queries.history_BL[queries.window_E[e], : queries.prefix_E[e]][::-1]
    back_L = np.arange(1, len(rows_L) + 1, dtype=np.float64)
    weight_L = back_L**-DECAY if ordered else np.ones(len(rows_L))
    known_L = rows_L > 0
    rows_L, weight_L = rows_L[known_L], weight_L[known_L]
    return rows_L, weight_L / max(weight_L.sum(), np.finfo(np.float64).tiny)


def timed_events(encoded: Encoded, e: int, *, half_life: int | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Like `recent_events`, by the age of the events; the queries must have times.

    An event that is a days old weighs (1 + a) ** -0.5, times 2 ** -(age / half_life) if a half-life (seconds) is given:
    a power law with an exponential cutoff, as found for repeat consumption by Anderson, Kumar, Tomkins and
    Vassilvitskii 2014 ("The dynamics of repeat consumption"). The weights are not divided by their sum, so that an old
    event counts little even if it is the only one. With one event a day, the last one now, they are proportional to
    those of `recent_events`.
    """
    queries, time = encoded.batch.queries, encoded.batch.time_E[e]
    assert queries.times_BL is not None
    window, length = queries.window_E[e], queries.prefix_E[e]
    rows_L, times_L = queries.history_BL[window, :length][::-1], queries.times_BL[window, :length][::-1]
    days_L = np.maximum(time - times_L, 0) / DAY
    weight_L = (1 + days_L) ** -DECAY
    if half_life is not None:
        weight_L *= np.exp2(-days_L * (DAY / half_life))
    known_L = rows_L > 0
    return rows_L[known_L], weight_L[known_L]


def have_events(encoded: Encoded) -> NDArray[np.bool_]:
    """Which queries have a history and ask for items for a user, [E]."""
    found: NDArray[np.bool_] = encoded.batch.queries.prefix_E > 0
    return found & for_users(encoded)


def for_users(encoded: Encoded) -> NDArray[np.bool_]:
    """Which queries ask for items for a user and not for items similar to an item, [E]."""
    anchored_E = encoded.batch.anchored_E
    return ~anchored_E if len(anchored_E) else np.ones(len(encoded.batch), np.bool_)
