"""How near a candidate is to the events of a history, by item statistics.

Shapes: E queries, L history length, K candidates.
"""

import numpy as np
from numpy.typing import NDArray

from shortlist.ranking.statistics.item_statistics import ItemStatistics
from shortlist.recommend.request import RankingRequest

HALF_LIFE = 3.0
"""Events after which a past event counts half in what is recent."""
IN_ORDER = ("to the last event", "to the recent ones", "to all")
"""What each table of neighbours tells."""
WITHOUT_ORDER = ("to all", "to all, squared", "by way of the other candidates", "of those who are alike")
"""What is told of data without order."""


def nearness(
    request: RankingRequest, statistics: ItemStatistics, num_events: int, *, ordered: bool
) -> NDArray[np.float32]:
    """The numbers of `IN_ORDER` by each table, or those `WITHOUT_ORDER`, of the last `num_events`: [E, K, numbers]."""
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
    """There the history says less of where it goes on, and more is asked.

    The root of the mean square is far above the mean where a candidate is near to some of the events, and not a little
    to all. By way of the others a candidate is as near to those that are near to the history as they are near to it,
    two steps away.
    """
    assert statistics.neighbours is not None
    assert statistics.user_knn is not None
    candidates_EK = request.candidates_EK
    weight_EL2 = np.repeat(share_EL[..., None].astype(np.float32), 2, axis=2)
    near_EK2 = statistics.neighbours.near(events_EL, weight_EL2, candidates_EK, powers=(1, 2))
    near_EK2[..., 1] = np.sqrt(near_EK2[..., 1])
    others_EK1 = statistics.neighbours.near(candidates_EK, near_EK2[..., :1], candidates_EK)
    alike_EK1 = statistics.user_knn.near(events_EL, candidates_EK)[..., None]
    return np.concatenate([near_EK2, others_EK1, alike_EK1], axis=2)


def last_events(
    history_EL: NDArray[np.int64], length_E: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """At most `most` last item rows of each history, the last one first and 0 after them, and their number [E]."""
    back_L = np.arange(min(most, history_EL.shape[1]))
    at_EL = length_E[:, None] - 1 - back_L
    rows_EL = np.take_along_axis(history_EL, np.maximum(at_EL, 0), axis=1) * (at_EL >= 0)
    return rows_EL, np.minimum(length_E, len(back_L))
