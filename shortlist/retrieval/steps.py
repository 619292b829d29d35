"""The inputs of one training step, made by a thread and copied to the device during the previous step.

The training thread only has to start the towers' kernels. A step depends only on (seed, epoch, step), except for hard
negatives, which are those of the epoch.

Shapes: E examples, B histories, L events of each, T events of all of them concatenated, U unique items of a step,
V of them whose vectors it needs, N of these that are candidates, M hard negatives of an example, X pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shortlist.features import PackedQueries
from shortlist.recipe import Recipe
from shortlist.retrieval.batches import RetrievalBatches
from shortlist.retrieval.hard_negatives import HardNegatives
from shortlist.retrieval.negatives import NegativeSampler, Sighting, drawable
from shortlist.retrieval.towers import Inputs, Items, QueryInputs
from shortlist.retrieval.transfer import to_device
from shortlist.retrieval.unique import Unique


@dataclass(frozen=True)
class Step:
    """E examples with their candidates, on the device."""

    items: Items
    """Features of the U items: those of the histories and those whose vectors are needed."""
    history: Tensor
    """Positions of the histories' events among the U items, [B, L] or packed [T]."""
    queries: QueryInputs
    vector_V: Tensor
    """Positions of the items whose vectors are needed."""
    positive_E: Tensor
    """Position of each example's own item among the V items."""
    candidate_N: Tensor
    """Positions of the candidates among the V items."""
    weight_E: Tensor
    no_negative_2X: Tensor
    """(example, candidate): own items and other known positives; on the CPU, where the loss splits it."""
    log_q_N: Tensor | None
    hard_EM: Tensor | None
    sighting: Sighting | None
    """What log Q is estimated from, instead of `log_q_N`."""
    num_examples: int
    """Number of examples of all processes."""
    total_weight: float | None
    """Total weight of the examples of all processes, if there are several."""


class Steps:
    """Makes the steps of a training."""

    def __init__(
        self, recipe: Recipe, batches: RetrievalBatches, inputs: Inputs, hard_negatives: HardNegatives | None
    ) -> None:
        self.batches, self.inputs, self.hard_negatives = batches, inputs, hard_negatives
        self._seed = recipe.seed
        self._num_rows = inputs.store.schema.num_item_rows
        taken = batches.prepared.samples.item[batches.examples]
        may = drawable(batches.prepared, batches.examples)
        self.num_drawable = int(may.sum())
        """Number of items that an example may be compared with."""
        self._negatives = NegativeSampler(recipe.retrieval, np.bincount(taken, minlength=self._num_rows), may)
        self._unique = Unique(self._num_rows)
        self._catalogue: Items | None = None

    def make(self, epoch: int, step: int, device: torch.device) -> Step:
        batch = self.batches.batch(epoch, step)
        queries, mined = batch.queries, self.hard_negatives
        hard_EM = None if mined is None else mined.of(queries.user_E)
        rng = torch.Generator().manual_seed(int(np.random.SeedSequence([self._seed, epoch, step]).generate_state(1)[0]))
        # With several processes, each embeds the candidates of all, since a step depends only on its number: only
        # gradients are exchanged, and the loss equals that of one process with all examples.
        together = batch.together
        step_E = batch.item_E if together is None else together.item_E
        sampled = self._negatives.sample(batch.item_E, batch.known_2X, hard_EM, rng, step_E)
        history = queries.history_T if isinstance(queries, PackedQueries) else queries.history_BL
        if self._negatives.whole:
            rows_U, items = np.arange(self._num_rows), self._all_items(device)
        else:
            rows_U = self._unique.of(history, sampled.row_V)
            items = self.inputs.items(rows_U, device)
        return Step(
            items,
            to_device(device, self._unique.places(rows_U, history)),
            self.inputs.query(queries, device),
            to_device(device, self._unique.places(rows_U, sampled.row_V)),
            to_device(device, sampled.positive_E),
            to_device(device, sampled.candidate_N),
            to_device(device, batch.weight_E),
            torch.from_numpy(sampled.no_negative_2X),
            None if sampled.log_q_N is None else to_device(device, sampled.log_q_N),
            None if sampled.hard_EM is None else to_device(device, sampled.hard_EM),
            None if sampled.sighting is None else sampled.sighting.to(device),
            len(step_E),
            None if together is None else together.weight,
        )

    def _all_items(self, device: torch.device) -> Items:
        if self._catalogue is None or self._catalogue.row_N.device != device:
            self._catalogue = self.inputs.items(np.arange(self._num_rows), device)
        return self._catalogue
