"""The training task of the two towers: the loss of a step, and a quick validation after each epoch.

Shapes: B histories, L events of each, T events of all of them concatenated, E examples, U unique items of a step,
V of them whose vectors it needs, N items of the catalogue, D width of vectors and item inputs.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.dataset.prepared import EvaluationQueries, Prepared
from shortlist.dataset.split import TRAIN
from shortlist.features import Queries
from shortlist.metrics.ranking import find_hits, ranking_metrics
from shortlist.ragged import ranges
from shortlist.recipe import Recipe
from shortlist.retrieval.batches import Ahead, RetrievalBatches
from shortlist.retrieval.hard_negatives import HardNegatives
from shortlist.retrieval.losses import Compared, loss_of
from shortlist.retrieval.refit import REFIT_PARTS, trained_by_refit
from shortlist.retrieval.steps import Step, Steps
from shortlist.retrieval.towers import Inputs, Items, QueryInputs, TwoTower
from shortlist.retrieval.transfer import to_device
from shortlist.training.processes import ALONE, Processes

_QUERIES = 5_000
"""Maximum number of validation queries per epoch."""
_DEPTH = 10
METRICS = ("recall_at_10", "ndcg_at_10", "mrr_at_10")
_FLOATS = 16_000_000
"""Size of a block of item features, histories or scores: 64 MB."""


class RetrievalTask:
    """The training task of the towers (`train.Task`)."""

    def __init__(
        self,
        recipe: Recipe,
        prepared: Prepared,
        *,
        refit_of: TwoTower | None = None,
        processes: Processes = ALONE,
    ) -> None:
        """With `refit_of`, training continues from these weights with all positives except the test's, unvalidated."""
        self.metric = "ndcg_at_10" if refit_of is None else None
        torch.manual_seed(recipe.seed)
        self.retrieval, self.prepared = recipe.retrieval, prepared
        store = prepared.store
        self.model: TwoTower = TwoTower(store.schema, recipe.features, recipe.retrieval)
        self._hashes_ids = recipe.features.item.hashes_unknown
        self.inputs = Inputs(store, hashes_ids=self._hashes_ids)
        self.batches = RetrievalBatches(
            prepared,
            recipe,
            parts=(TRAIN,) if refit_of is None else REFIT_PARTS,
            process=processes.process,
            processes=processes.count,
        )
        self.queries = prepared.valid.draw(_QUERIES, recipe.seed)
        self.mask_seen = recipe.evaluation.mask_seen
        self._num_rows, mined = store.schema.num_item_rows, None
        if num := recipe.retrieval.num_hard:
            mined = HardNegatives(prepared, self.batches.examples, recipe.index, num=num, seed=recipe.seed)
        if refit_of is not None:
            self._continue_from(refit_of)
        self._known_N = self.inputs.known()
        self.steps = Steps(recipe, self.batches, self.inputs, mined)
        self.compare = loss_of(recipe.retrieval.loss, self.steps.num_drawable)
        self._ahead = Ahead(lambda epoch, step: self.steps.make(epoch, step, self.device), self.batches.num_batches)

    def _continue_from(self, model: TwoTower) -> None:
        """Load the weights; newly trained ids start from the unknown id, which represented them before."""
        self.model.load_state_dict(model.state_dict())
        before, trained = self.inputs, trained_by_refit(self.prepared)
        self.inputs = Inputs(self.prepared.store, trained, hashes_ids=self._hashes_ids)
        users, new = self.model.users, np.flatnonzero(self.inputs.item_row != before.item_row)
        with torch.no_grad():
            unknown_ND = self.model.items.unknown_ids(self.inputs.items(new, self.device))
            self.model.items.id.weight[torch.from_numpy(new)] = unknown_ND.clone()
            if users is not None:
                users.weight[torch.from_numpy(self.inputs.user_row != before.user_row)] = users.weight[0].clone()

    @property
    def device(self) -> torch.device:
        return self.model.items.id.weight.device

    def num_batches(self, epoch: int) -> int:
        return self.batches.num_batches(epoch)

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        self._mine(epoch)
        given = self.step(epoch, step)
        input_UD = self.item_inputs(given.items)
        query_ED = self._query(take(input_UD, given.history), given.queries)
        vector_VD = self.model.candidate(take(input_UD, given.vector_V))
        compared = Compared(
            query_ED,
            take(vector_VD, given.positive_E),
            take(vector_VD, given.candidate_N) if len(given.candidate_N) < len(vector_VD) else vector_VD,
            given.weight_E,
            given.no_negative_2X,
            self._log_q(given),
            given.hard_EM,
            given.total_weight,
        )
        return self.compare(compared), given.num_examples

    def _log_q(self, given: Step) -> Tensor | None:
        """From exact counts, or estimated here and not in the thread that prefetches steps, so that a checkpoint has
        the estimate of the steps that were trained."""
        if given.sighting is None:
            return given.log_q_N
        assert self.model.frequency is not None
        return self.model.frequency.log_q_after(given.sighting)

    def step(self, epoch: int, step: int) -> Step:
        """The inputs of one step; on a GPU they are made by a thread while the model works on the previous step.

        On a CPU there is nothing to overlap, and a second thread with its own OpenMP team makes the first team sleep
        between operations instead of spin: steps took a fifth longer.
        """
        if self.device.type == "cuda":
            return self._ahead.at(epoch, step)
        return self.steps.make(epoch, step, self.device)

    def _mine(self, epoch: int) -> None:
        """Find the hard negatives of an epoch, with the weights at its first step."""
        mined = self.steps.hard_negatives
        if mined is None or mined.epoch == epoch:
            return
        self.model.eval()
        with torch.no_grad():
            input_ND, vector_ND = self.catalogue()
            mined.mine(epoch, lambda queries: self._embed(queries, input_ND), vector_ND.float().cpu().numpy())
        self.model.train()

    def _embed(self, queries: Queries, input_ND: Tensor) -> NDArray[np.float32]:
        vectors = self.query(queries, take(input_ND, to_device(self.device, queries.history_BL)))
        return np.asarray(vectors.float().cpu().numpy())

    def item_inputs(self, items: Items) -> Tensor:
        """Inputs [U, D] of items; in training, some ids are hidden so that the unknown row is trained."""
        hidden = self._hidden(len(items.row_N))
        inputs: Tensor = self.model.items(items if hidden is None else items.without_ids(hidden))
        return inputs

    def query(self, queries: Queries, history_BLD: Tensor) -> Tensor:
        """Query vectors [E, D] of queries with these history inputs."""
        return self._query(history_BLD, self.inputs.query(queries, self.device))

    def _query(self, history: Tensor, inputs: QueryInputs) -> Tensor:
        """Histories are [B, L, D] or packed [T, D]."""
        user_EU = None
        if self.model.users is not None:
            hidden = self._hidden(len(inputs.user_E))
            user_E = inputs.user_E if hidden is None else inputs.user_E.masked_fill(hidden, 0)
            user_EU = self.model.users(user_E)
        vectors: Tensor = self.model.query(history, inputs, user_EU)
        return vectors

    def _hidden(self, count: int) -> Tensor | None:
        if not self.model.training or self.retrieval.id_dropout == 0:
            return None
        return torch.rand(count, device=self.device) < self.retrieval.id_dropout

    def validate(self) -> dict[str, float]:
        """Exact recall and NDCG at 10 over the whole catalogue, for a fixed sample of the validation queries.

        Empty in a refit, which was trained on the validation window.
        """
        if self.metric is None:
            return {}
        input_ND, vector_ND = self.catalogue()
        queries, found = self.queries, []
        step = max(1, _FLOATS // max(len(input_ND), input_ND.shape[1] * self.prepared.store.schema.history_length))
        for first in range(0, len(queries), step):
            part = queries.take(np.arange(first, min(first + step, len(queries))))
            encoded = self.prepared.encode(part)
            history_BLD = take(input_ND, to_device(self.device, encoded.history_BL))
            scores_EN = self.query(encoded, history_BLD) @ vector_ND.T
            scores_EN.masked_fill_(to_device(self.device, self._no_candidates(part)), -torch.inf)
            if self.mask_seen:
                e, row = self._seen(part)
                scores_EN[to_device(self.device, e), to_device(self.device, row)] = -torch.inf
            found.append(scores_EN.topk(min(_DEPTH, len(vector_ND))).indices.cpu().numpy())
        hits_QD = find_hits(np.concatenate(found), queries.target_offsets, queries.target_items)
        measured = ranking_metrics(hits_QD, np.diff(queries.target_offsets), [_DEPTH])
        return {name: float(measured[name].mean()) for name in METRICS}

    def _no_candidates(self, queries: EvaluationQueries) -> NDArray[np.bool_]:
        """Which items are not candidates of each query, [E, N]; [1, N] if all queries have the same time."""
        available, (time_M, at_E) = self.prepared.store.available, np.unique(queries.time, return_inverse=True)
        there_MN = np.stack([available.at(int(time)) for time in time_M]) & self._known_N
        return ~(there_MN if len(time_M) == 1 else there_MN[at_E])

    def catalogue(self) -> tuple[Tensor, Tensor]:
        """Inputs [N, D] and candidate vectors [N, D] of every item row; row 0 is the unknown item."""
        count = self._num_rows
        step = max(1, _FLOATS // 1024)
        rows = [np.arange(first, min(first + step, count)) for first in range(0, count, step)]
        parts = [self.item_inputs(self.inputs.items(some, self.device)) for some in rows]
        return torch.cat(parts), torch.cat([self.model.candidate(part) for part in parts])

    def _seen(self, queries: EvaluationQueries) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(query, item row) of every event of each query's whole history."""
        length = queries.end - queries.start
        e = np.repeat(np.arange(len(queries)), length)
        return e, self.prepared.store.history_items[ranges(queries.start, length)].astype(np.int64)


def take(rows_ND: Tensor, at: Tensor) -> Tensor:
    """`rows_ND[at]`; the backward pass of index_select takes a third of the time of indexing."""
    return rows_ND.index_select(0, at.flatten()).view(*at.shape, rows_ND.shape[1])
