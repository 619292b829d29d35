"""The nearness of a candidate to the events of a history, from item statistics.

Shapes: E queries, L history length, K candidates.
"""

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.request import RankingRequest
from shortlist.statistics.item_statistics import ItemStatistics

HALF_LIFE = 3.0
"""The half-life of the recency weight, in events."""
IN_ORDER = ("to the last event", "to the recent events", "to all events")
"""The features from each neighbour table, for data with an order."""
WITHOUT_ORDER = ("to all events", "to all events, squared", "through the other candidates", "user k-NN")
"""The features for data without order."""


def nearness(
    request: RankingRequest, statistics: ItemStatistics, num_events: int, *, ordered: bool
) -> NDArray[np.float32]:
    """The features `IN_ORDER` of each table, or `WITHOUT_ORDER`, of the last `num_events` events: [E, K, features]."""
    assert statistics.neighbours is not None
    events_EL, num_events_E = last_events(request.history_EL, request.length_E, num_events)
    back_L = np.arange(events_EL.shape[1])
    inside_EL = back_L < num_events_E[:, None]
    share_EL = inside_EL / np.maximum(num_events_E, 1)[:, None]
    if ordered:
        columns = [inside_EL & (back_L == 0), inside_EL * np.exp2(back_L * (-1 / HALF_LIFE)), share_EL]
        return statistics.neighbours.near(events_EL, np.stack(columns, axis=2, dtype=np.float32), request.candidates_EK)
    return _without_order(request, statistics, events_EL, share_EL)


def _without_order(
    request: RankingRequest, statistics: ItemStatistics, events_EL: NDArray[np.int64], share_EL: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The features for data without order, where the history has no recent end and more statistics are useful.

    The root mean square is well above the mean if a candidate is near to a few events instead of a little to all. The
    nearness through the other candidates is two steps long: from the history to another candidate, and from there to
    this one.
    """
    assert statistics.neighbours is not None
    assert statistics.user_knn is not None
    candidates_EK = request.candidates_EK
    weight_EL2 = np.repeat(share_EL[..., None].astype(np.float32), 2, axis=2)
    near_EK2 = statistics.neighbours.near(events_EL, weight_EL2, candidates_EK, powers=(1, 2))
    near_EK2[..., 1] = np.sqrt(near_EK2[..., 1])
    others_EK1 = statistics.neighbours.near(candidates_EK, near_EK2[..., :1], candidates_EK)
    users_EK1 = statistics.user_knn.near(events_EL, candidates_EK)[..., None]
    return np.concatenate([near_EK2, others_EK1, users_EK1], axis=2)


def last_events(
    history_EL: NDArray[np.int64], length_E: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """At most `most` last item rows of each history, last one first and padded with 0, and their number [E]."""
    back_L = np.arange(min(most, history_EL.shape[1]))
    at_EL = length_E[:, None] - 1 - back_L
    rows_EL = np.take_along_axis(history_EL, np.maximum(at_EL, 0), axis=1) * (at_EL >= 0)
    return rows_EL, np.minimum(length_E, len(back_L))
