"""Which items the examples of a step are compared with, and how likely each of them was to be there.

| `retrieval.loss` | candidates |
|---|---|
| `full` | all items that are drawable |
| `in_batch` | the step's own positives, at most `max_negatives` of them |
| `mixed` | those, and `uniform_negatives` drawn evenly from the drawable ones (Yang et al. 2020) |
| `gbce`, `cosine_contrastive` | `uniform_negatives` drawn evenly |

In-batch negatives are drawn by popularity and never hold an item that nobody took; even draws do, so that the tower
also learns where such items do not belong; but none that was not available while the examples were made
(docs/decisions/availability.md). The hard negatives of `in_batch` and `mixed` come from `hard_negatives.py`.

Shapes: E examples, V items whose vectors are needed, N of them that are candidates, M hard negatives of an example,
X pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.prepare.prepared import Prepared
from shortlist.recipe import Retrieval
from shortlist.retrieval.distinct import Distinct
from shortlist.retrieval.losses import log_chance

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """The candidates of one step, on the CPU."""

    row_V: Rows
    """The items whose vectors are needed, sorted."""
    positive_E: Rows
    """Place of each example's own item among them."""
    candidate_N: Rows
    """Places of the candidates."""
    no_negative_2X: Rows
    """(example, candidate): own items and others known to be right."""
    log_chance_N: Tensor | None
    hard_EM: Rows | None
    """Candidates that are hard negatives of the example; -1 is none."""


def drawable(prepared: Prepared, examples: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which item rows were available at some time of these examples, positions in the samples; bool [num_item_rows].

    Only they are drawn: of an item that did not exist nothing can be learnt from its not being taken.
    """
    time = prepared.samples.time[examples]
    return prepared.store.available.within(int(time.min()), int(time.max()))


class Negatives:
    """Draws the candidates of a step."""

    def __init__(
        self, retrieval: Retrieval, popularity: NDArray[np.int64], drawable: NDArray[np.bool_] | None = None
    ) -> None:
        """`popularity` counts the examples of each item row; `drawable` are the rows that may be negatives, by default
        all items."""
        self._retrieval, self._num_rows = retrieval, len(popularity)
        self._drawable = np.arange(1, self._num_rows) if drawable is None else np.flatnonzero(drawable)
        counts = np.asarray(popularity, np.float64)
        self._share = torch.from_numpy(counts / max(counts.sum(), 1.0))
        self._distinct = Distinct(len(popularity))

    def draw(
        self,
        item_E: Rows,
        known_2X: Rows | None = None,
        hard_EM: Rows | None = None,
        chance: torch.Generator | None = None,
        step_E: Rows | None = None,
    ) -> Drawn:
        """Candidates for examples whose own items are `item_E`.

        `known_2X` are (example, item row) of all items that are right for it, its own among them, in the order of the
        examples; by default its own alone. `hard_EM` are item rows, 0 is none. All chance is that of the generator, by
        default torch's own. `step_E` are the items of all processes' examples; by default these are all.
        """
        shared, log_chance_S = self._shared(item_E if step_E is None else step_E, chance)
        hard = np.zeros(0, np.int64) if hard_EM is None else hard_EM[hard_EM > 0]
        candidates = self._distinct.of(shared, hard) if len(hard) else shared
        rows = self._distinct.of(candidates, item_E)
        known_2X = np.stack([np.arange(len(item_E)), item_E]) if known_2X is None else known_2X
        column_X = self._distinct.places(candidates, known_2X[1])
        there = column_X >= 0
        log_chance_N = log_chance_S
        if len(hard):
            log_chance_N = torch.full((len(candidates),), torch.inf)
            at_S = torch.from_numpy(self._distinct.places(candidates, shared))
            log_chance_N[at_S] = torch.zeros(len(at_S)) if log_chance_S is None else log_chance_S
        return Drawn(
            rows,
            self._distinct.places(rows, item_E),
            self._distinct.places(rows, candidates),
            np.stack([known_2X[0][there], column_X[there]]),
            log_chance_N,
            None if hard_EM is None else self._distinct.places(candidates, hard_EM),
        )

    def _shared(self, item_E: Rows, chance: torch.Generator | None) -> tuple[Rows, Tensor | None]:
        """The sorted candidates that all examples share, and their log chance where the loss corrects for it."""
        retrieval = self._retrieval
        if retrieval.loss == "full":
            return self._drawable, None
        if retrieval.loss in ("gbce", "cosine_contrastive"):
            return self._evenly(chance), None
        batch, share = self._distinct.of(item_E), 1.0
        if len(batch) > retrieval.max_negatives:
            share = retrieval.max_negatives / len(batch)
            kept = torch.randperm(len(batch), generator=chance)[: retrieval.max_negatives]
            batch = batch[kept.sort().values.numpy()]
        rows = batch if retrieval.loss == "in_batch" else self._distinct.of(batch, self._evenly(chance))
        if not retrieval.logq:
            return rows, None
        chance_N = log_chance(self._share[torch.from_numpy(rows)], len(item_E)).double() + float(np.log(share))
        if retrieval.loss == "mixed":
            even = log_chance(torch.full((1,), 1 / len(self._drawable)), retrieval.uniform_negatives).double()
            # Of either: a + b (1 - a).
            chance_N = torch.logaddexp(chance_N, even + torch.log1p(-chance_N.exp().clamp_max(1.0)))
        return rows, chance_N.float()

    def _evenly(self, chance: torch.Generator | None) -> Rows:
        draws = torch.randint(len(self._drawable), (self._retrieval.uniform_negatives,), generator=chance)
        return self._distinct.of(self._drawable[draws.numpy()])
