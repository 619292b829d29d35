"""The candidates of a batch of queries, passed between the two halves of the recommender.

Shapes: E queries, A of them sent to one source, R of them with candidates that are ranked, K candidates each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.limits import within_limits
from shortlist.recommend.request import RankingRequest
from shortlist.recommend.rules import Rules
from shortlist.recommend.sources import Encoded, Found, Source


class Part(NamedTuple):
    """The candidates of one source for some of the queries."""

    source: Source
    at_A: NDArray[np.int64]
    """Positions of the queries in the batch."""
    found: Found


@dataclass(frozen=True)
class Candidates:
    """The candidates of E queries."""

    encoded: Encoded
    k_E: NDArray[np.int64]
    parts: list[Part]
    """In the order of the sources: a list has the candidates of the first source first, then those of the next."""
    is_scored: bool
    """Whether there is a scorer."""

    @property
    def ranked(self) -> Part | None:
        """The candidates that the scorer ranks."""
        return next((part for part in self.parts if part.source.ranked), None)

    @cached_property
    def request(self) -> RankingRequest | None:
        """The request to the scorer; None when there is nothing to rank."""
        part = self.ranked
        if part is None or not self.is_scored or not part.found.rows_AK.any():
            return None
        queries = self.encoded.batch.queries
        if len(part.at_A) < len(self.k_E):
            queries = queries.take(part.at_A)
        objective_EO, found = self.encoded.batch.objective_EO, part.found
        return RankingRequest.of(
            queries,
            self.encoded.vector_ED[part.at_A],
            found.rows_AK,
            found.retrieval_scores,
            found.members_AKS,
            None if objective_EO is None else objective_EO[part.at_A],
            time_E=self.encoded.batch.time_E[part.at_A],
        )


def num_listable(
    encoded: Encoded, parts: Sequence[Part], at_A: NDArray[np.int64], k_E: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Number of items from all parts that each of these queries can list, [A]; with limits, at most k."""
    count_E = np.zeros(len(encoded.batch), np.int64)
    for part in parts:
        count_E[part.at_A] += np.count_nonzero(part.found.rows_AK, axis=1)
    for e in (e for e in at_A.tolist() if encoded.rules[e].limits):
        count_E[e] = num_fitting(rows_of(parts, e), encoded.rules[e], int(k_E[e]))
    return count_E[at_A]


def rows_of(parts: Sequence[Part], e: int) -> NDArray[np.int64]:
    """The item rows that all parts have for one query, in the order of the sources."""
    rows = np.concatenate([part.found.rows_AK[part.at_A == e].ravel() for part in parts])
    return rows[rows > 0]


def num_fitting(rows: NDArray[np.int64], rules: Rules, k: int) -> int:
    """How many of these items a list can hold by the limits, taken in their order; up to k."""
    return len(within_limits(rows, rules.limits, k, forced=len(rules.pins)))
