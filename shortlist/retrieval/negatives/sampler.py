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
from shortlist.retrieval.negatives.kinds import Rows, shared_candidates_of
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
    hard_EM: Rows | None
    """Candidates that are negatives of this example, hard or drawn for it; -1 is padding."""


class NegativeSampler:
    """Draws the candidates of a step."""

    def __init__(
        self, retrieval: Retrieval, popularity: NDArray[np.int64], drawable: NDArray[np.bool_] | None = None
    ) -> None:
        """`popularity` counts the examples of each item row; `drawable` marks the rows that may be negatives, by
        default all items."""
        rows = np.arange(1, len(popularity)) if drawable is None else np.flatnonzero(drawable)
        self._unique, self._num_rows = Unique(len(popularity)), len(popularity)
        self._shared = shared_candidates_of(retrieval.negatives, popularity, rows, self._unique)
        self._corrects = retrieval.loss.corrects_log_q
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
        if self._num_own:
            return self._sample_own(item_E, known_2X, rng)
        shared, log_q_S = self._shared.sample(item_E if step_E is None else step_E, rng)
        if not self._corrects:
            log_q_S = None
        hard = np.zeros(0, np.int64) if hard_EM is None else hard_EM[hard_EM > 0]
        candidates = self._unique.of(shared, hard) if len(hard) else shared
        rows = self._unique.of(candidates, item_E)
        known_2X = np.stack([np.arange(len(item_E)), item_E]) if known_2X is None else known_2X
        column_X = self._unique.places(candidates, known_2X[1])
        there = column_X >= 0
        log_q_N = log_q_S
        if len(hard):
            log_q_N = torch.full((len(candidates),), torch.inf)
            at_S = torch.from_numpy(self._unique.places(candidates, shared))
            log_q_N[at_S] = torch.zeros(len(at_S)) if log_q_S is None else log_q_S
        return SampledNegatives(
            rows,
            self._unique.places(rows, item_E),
            self._unique.places(rows, candidates),
            np.stack([known_2X[0][there], column_X[there]]),
            log_q_N,
            None if hard_EM is None else self._unique.places(candidates, hard_EM),
        )

    def _sample_own(self, item_E: Rows, known_2X: Rows | None, rng: torch.Generator | None) -> SampledNegatives:
        """Uniform draws of each example alone, without its known positives; all are candidates of `hard_EM`."""
        draws = torch.randint(len(self._drawable), (len(item_E), self._num_own), generator=rng)
        own_EM = self._drawable[draws.numpy()]
        rows = self._unique.of(own_EM.ravel(), item_E)
        at_EM = self._unique.places(rows, own_EM)
        known_2X = np.stack([np.arange(len(item_E)), item_E]) if known_2X is None else known_2X
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
