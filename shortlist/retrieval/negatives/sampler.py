"""Samples the candidates of a step: those that all examples share, and the hard negatives of each.

Shapes: E examples, V items whose vectors are needed, N of them that are candidates, S of these that all examples share,
M hard negatives of an example, X pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.recipe import FullNegatives, OwnNegatives, Retrieval
from shortlist.retrieval.losses import log_q_of
from shortlist.retrieval.negatives.kinds import Drawn, Rows, shared_candidates_of
from shortlist.retrieval.negatives.streaming import Sighting, cells_of_rows, spread, streaming_of
from shortlist.retrieval.unique import Unique


@dataclass(frozen=True)
class SampledNegatives:
    """The candidates of one step, on the CPU."""

    row_V: Rows
    """The items whose vectors are needed, sorted."""
    positive_E: Rows
    """Position of each example's own item among them."""
    candidate_N: Rows
    """Positions of the candidates."""
    no_negative_2X: Rows
    """(example, candidate): own items and other known positives."""
    log_q_N: Tensor | None
    """None if all are certain, nothing is corrected, or `sighting` is used."""
    hard_EM: Rows | None
    """Candidates that are negatives of this example, hard or drawn for it; -1 is padding."""
    sighting: Sighting | None = None
    """With `log_q: {kind: streaming}`, what log Q is estimated from when the step is trained."""


class NegativeSampler:
    """Draws the candidates of a step."""

    def __init__(
        self, retrieval: Retrieval, popularity: NDArray[np.int64], drawable: NDArray[np.bool_] | None = None
    ) -> None:
        """`popularity` counts the examples of each item row; `drawable` marks the rows that may be negatives, by
        default all items."""
        rows = np.arange(1, len(popularity)) if drawable is None else np.flatnonzero(drawable)
        self._unique, self._num_rows = Unique(len(popularity)), len(popularity)
        self._shared = shared_candidates_of(retrieval.negatives, rows, self._unique)
        self._corrects, self._streaming = retrieval.loss.corrects_log_q, streaming_of(retrieval)
        counts = np.asarray(popularity, np.float64)
        self._share = torch.from_numpy(counts / max(counts.sum(), 1.0))
        self._drawable = rows
        self._num_own = retrieval.negatives.num_own if isinstance(retrieval.negatives, OwnNegatives) else 0
        self.whole = isinstance(retrieval.negatives, FullNegatives)
        """Whether each step is compared with the whole catalogue."""

    def sample(
        self,
        item_E: Rows,
        known_2X: Rows | None = None,
        hard_EM: Rows | None = None,
        rng: torch.Generator | None = None,
        step_E: Rows | None = None,
    ) -> SampledNegatives:
        """Candidates for examples whose own items are `item_E`.

        `known_2X` are (example, item row) of all known positives, including the example's own item, in the order of the
        examples; by default only its own item. `hard_EM` are item rows, 0 is padding. `rng` is by default torch's
        global generator. `step_E` are the items of all processes' examples, by default `item_E`.
        """
        known_2X = np.stack([np.arange(len(item_E)), item_E]) if known_2X is None else known_2X
        if self._num_own:
            return self._sample_own(item_E, known_2X, rng)
        step_E = item_E if step_E is None else step_E
        drawn = self._shared.draw(step_E, rng)
        shared = drawn.row_N
        hard = np.zeros(0, np.int64) if hard_EM is None else hard_EM[hard_EM > 0]
        candidates = self._unique.of(shared, hard) if len(hard) else shared
        rows = self._unique.of(candidates, item_E)
        column_X = self._unique.places(candidates, known_2X[1])
        there = column_X >= 0
        at_S = torch.from_numpy(self._unique.places(candidates, shared)) if len(hard) else None
        sighting = self._sighting(drawn, step_E, at_S, len(candidates))
        return SampledNegatives(
            rows,
            self._unique.places(rows, item_E),
            self._unique.places(rows, candidates),
            np.stack([known_2X[0][there], column_X[there]]),
            None if sighting else self._exact(drawn, len(step_E), at_S, len(candidates)),
            None if hard_EM is None else self._unique.places(candidates, hard_EM),
            sighting,
        )

    def _sample_own(self, item_E: Rows, known_2X: Rows, rng: torch.Generator | None) -> SampledNegatives:
        """Uniform draws of each example alone, without its known positives; all are candidates of `hard_EM`."""
        draws = torch.randint(len(self._drawable), (len(item_E), self._num_own), generator=rng)
        own_EM = self._drawable[draws.numpy()]
        rows = self._unique.of(own_EM.ravel(), item_E)
        at_EM = self._unique.places(rows, own_EM)
        known = known_2X[0] * self._num_rows + known_2X[1]
        positive_EM = np.isin(np.arange(len(item_E))[:, None] * self._num_rows + own_EM, known)
        return SampledNegatives(
            rows,
            self._unique.places(rows, item_E),
            np.arange(len(rows)),
            np.zeros((2, 0), np.int64),
            None,
            np.where(positive_EM, -1, at_EM),
        )

    def _exact(self, drawn: Drawn, num_examples: int, at_S: Tensor | None, num_candidates: int) -> Tensor | None:
        """Log Q by the counts of the examples: an item is in a step with probability 1 - (1 - share)^E."""
        log_q_S = None
        if self._corrects:
            log_q_S = drawn.log_q(lambda: log_q_of(self._share[torch.from_numpy(drawn.row_N)], num_examples))
        if log_q_S is None:
            return None if at_S is None else spread(torch.zeros(len(at_S)), at_S, num_candidates)
        return spread(log_q_S, at_S, num_candidates)

    def _sighting(self, drawn: Drawn, step_E: Rows, at_S: Tensor | None, num_candidates: int) -> Sighting | None:
        if self._streaming is None:
            return None
        seen, shared = (cells_of_rows(rows, self._streaming) for rows in (self._unique.of(step_E), drawn.row_N))
        return Sighting(torch.from_numpy(seen), torch.from_numpy(shared), drawn, at_S, num_candidates)
