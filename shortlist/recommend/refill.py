"""Further searches for lists that limits leave too short.

Each search is only for items that still fit, so k items are found if they exist, however rare they are.

Shapes: E queries, A of them sent to one source, K items each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.candidates import Candidates, Part, num_fitting, rows_of
from shortlist.recommend.limits import within_limits
from shortlist.recommend.lists import Recommendations, side_by_side
from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found, Source


def complete(
    encoded: Encoded, parts: Sequence[Part], k_E: NDArray[np.int64], dropped: Sequence[Rows], num_rows: int
) -> Part:
    """The last of the parts, with more candidates for the queries whose limits leave fewer than `k_E`."""
    source, at_A, found = parts[-1]
    for a, e in enumerate(at_A.tolist()):
        if encoded.rules[e].limits:
            for more in _further(source, encoded, e, rows_of(parts, e), int(k_E[e]), dropped[a], num_rows):
                found = found.appended(a, more)
    return Part(source, at_A, found)


def short_lists(lists: Recommendations, candidates: Candidates) -> list[int]:
    """The queries whose lists have fewer items than requested and have limits."""
    short_E = np.count_nonzero(lists.rows_EK, axis=1) < candidates.k_E
    return [e for e in np.flatnonzero(short_E).tolist() if candidates.encoded.rules[e].limits]


def refill(
    lists: Recommendations,
    short: Sequence[int],
    candidates: Candidates,
    sources: Sequence[Source],
    dropped: Sequence[Rows],
    num_rows: int,
) -> None:
    """Append items to the `short` lists, in place.

    `complete` finds enough candidates for a list in the order of retrieval. The scorer puts other items first, and
    where an item counts for several limits, fewer of the candidates may fit beside those.
    """
    for e in short:
        for source in sources:
            if not source.searches or not source.answers(candidates.encoded)[e]:
                continue
            listed = lists.rows_EK[e][lists.rows_EK[e] > 0]
            k = int(candidates.k_E[e])
            for more in _further(source, candidates.encoded, e, listed, k, dropped[e], num_rows):
                _append(lists, e, replace(candidates, parts=[Part(source, np.array([e]), more)]), sources)


def _further(
    source: Source,
    encoded: Encoded,
    e: int,
    rows: NDArray[np.int64],
    k: int,
    dropped: Rows,
    num_rows: int,
) -> Iterator[Found]:
    """More candidates of one query beside `rows`, until k fit or none is left."""
    rules = encoded.rules[e]
    while (need := k - num_fitting(rows, rules, k)) > 0:
        rest = replace(rules, mask=rules.fitting(rows, num_rows))
        narrowed = encoded._replace(rules=[*encoded.rules[:e], rest, *encoded.rules[e + 1 :]])
        more = source.find(narrowed, np.array([e]), np.array([need]), [dropped])
        count = np.count_nonzero(more.rows_AK)
        if not count:
            return
        rows = np.append(rows, more.rows_AK[0, :count])
        yield more


def _append(lists: Recommendations, e: int, more: Candidates, sources: Sequence[Source]) -> None:
    """Append the items that fit, with scores no higher than that of the last item."""
    rules, start = more.encoded.rules[e], int(np.count_nonzero(lists.rows_EK[e]))
    scored, source_EK, found_by_EK = side_by_side(more, sources, None)
    rows = np.append(lists.rows_EK[e, :start], scored.rows_EK[e])
    places = within_limits(rows, rules.limits, int(more.k_E[e]), forced=len(rules.pins))
    new = places[places >= start] - start
    to = slice(start, start + len(new))
    lowest = lists.scores_EK[e, start - 1] if start else np.inf
    lists.rows_EK[e, to] = scored.rows_EK[e, new]
    lists.scores_EK[e, to] = np.minimum(np.minimum.accumulate(scored.scores_EK[e, new]), lowest)
    lists.found_EK[e, to] = scored.found_EK[e, new]
    lists.source_EK[e, to], lists.found_by_EK[e, to] = source_EK[e, new], found_by_EK[e, new]
    lists.propensity_EK[e, to] = 1
