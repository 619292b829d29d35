"""Exploration: some places of a list show an item that nobody has ranked, with a probability that is known.

Shapes: E queries, K listed items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shortlist.recommend.lists import Recommendations
from shortlist.recommend.query import Rows
from shortlist.recommend.rules import Rules
from shortlist.recommend.sources import Encoded, Found, Source


@dataclass(frozen=True)
class Exploration:
    """Replaces items by items of a source, epsilon-greedily (Sutton and Barto 2018, section 2.2).

    Each place from `first` on is explored with probability `share`, independently of the others; the item is drawn
    uniformly from the first `pool` items of the source that are not in the list. Pinned items stay, and so does an item
    that no item of the pool may replace by the rules. The expected share of explored places, and thus of the metric
    that is lost, is at most `share`.
    """

    source: Source
    share: float
    first: int
    """The first place that may be explored, from 0."""
    pool: int

    def find(self, encoded: Encoded, dropped: list[Rows]) -> Found:
        """The pool of each query, [E, pool]; empty for queries that select sources or name an item."""
        batch = encoded.batch
        answers_E = self.source.answers(encoded)
        if len(batch.sources):
            answers_E = answers_E & np.array([one is None for one in batch.sources])
        if len(batch.anchored_E):
            answers_E = answers_E & ~batch.anchored_E
        rows_EP = np.zeros((len(batch), self.pool), np.int64)
        at_A = np.flatnonzero(answers_E)
        found = Found(rows_EP, np.full(rows_EP.shape, -np.inf, np.float32))
        if len(at_A):
            part = self.source.find(encoded, at_A, np.full(len(at_A), self.pool), [dropped[e] for e in at_A.tolist()])
            width = part.rows_AK.shape[1]
            found.rows_AK[at_A, :width], found.scores_AK[at_A, :width] = part.rows_AK, part.scores_AK
        return found

    def explore(
        self, lists: Recommendations, pool: Found, rules_E: Sequence[Rules], label: int, rng: np.random.Generator
    ) -> Recommendations:
        """The lists with explored items of the `pool` that `find` returned.

        They get the scores of the items that they replace, and the source `label`.
        """
        columns: list[Any] = [column.copy() for column in lists]
        shown = Recommendations(*columns)
        for e, rules in enumerate(rules_E):
            rows_K = shown.rows_EK[e]
            count = int(np.count_nonzero(rows_K))
            for k in range(max(self.first, len(rules.pins)), count):
                free = pool.rows_AK[e][(pool.rows_AK[e] > 0) & ~np.isin(pool.rows_AK[e], rows_K)]
                for limit in rules.limits:
                    free = free[~limit.full(np.delete(rows_K[:count], k))[free]]
                if not len(free):
                    continue
                shown.propensity_EK[e, k] = 1 - self.share
                if rng.random() < self.share:
                    row = rng.choice(free)
                    shown.propensity_EK[e, k] = self.share / len(free)
                    shown.rows_EK[e, k], shown.source_EK[e, k], shown.found_by_EK[e, k] = row, label, 1 << label
                    shown.found_EK[e, k] = pool.scores_AK[e][pool.rows_AK[e] == row][0]
        return shown
