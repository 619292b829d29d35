"""Trains the two towers: batches, the loss over their distinct items, and a quick validation each epoch.

Shapes: B histories, L events of each, E examples, U distinct items of a step, V of them whose vectors it needs,
M hard negatives of an example, N items of the catalogue, D width of vectors and item inputs.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.evaluation.metrics import find_hits, measure
from shortlist.facts import StepFacts
from shortlist.features import PackedQueries, Queries
from shortlist.prepare.prepared import Prepared, Questions
from shortlist.prepare.split import TRAIN
from shortlist.recipe import Recipe
from shortlist.retrieval.batches import Ahead, RetrievalBatches
from shortlist.retrieval.distinct import Distinct
from shortlist.retrieval.hard_negatives import HardNegatives
from shortlist.retrieval.losses import Compared, cosine_contrastive_loss, gbce_loss, softmax_loss
from shortlist.retrieval.negatives import Negatives
from shortlist.retrieval.refit import PARTS, REFIT, trained_by_refit
from shortlist.retrieval.towers import Inputs, TwoTower
from shortlist.retrieval.transfer import onto
from shortlist.training.fit import FitResult, fit

_QUESTIONS = 5_000
"""At most so many validation questions are asked each epoch."""
_DEPTH = 10
METRICS = ("recall_at_10", "ndcg_at_10")
_FLOATS = 16_000_000
"""Of one block of item features, histories or scores: 64 MB."""


def train_retrieval(recipe: Recipe, prepared_folder: Path, out: Path) -> StepFacts:
    """Train on the prepared folder; `out` holds the checkpoints. Goes on with those that are there already.

    Raises TrainingError with what to change when the training cannot start or go on.
    """
    prepared = Prepared.open(prepared_folder)
    task = RetrievalTask(recipe, prepared)
    training, out = recipe.retrieval.training, Path(out)
    result = fit(task, training, out, seed=recipe.seed, label="train retrieval", identity=_identity(recipe, task))
    facts = _facts(result, task)
    if recipe.retrieval.refit.epochs:
        refitted = _refit(recipe, prepared, task.model, out / REFIT)
        facts.details["refit"] = {name: [row[name] for row in refitted.epochs] for name in refitted.epochs[0]}
    return facts


def _refit(recipe: Recipe, prepared: Prepared, best: TwoTower, out: Path) -> FitResult:
    """Go on from the best weights with the validation positives as well: docs/decisions/refit.md."""
    settings, training = recipe.retrieval.refit, recipe.retrieval.training
    task = RetrievalTask(recipe, prepared, refit_of=best)
    changes = {"epochs": settings.epochs, "learning_rate": settings.learning_rate * training.learning_rate}
    return fit(
        task,
        training.model_copy(update=changes),
        out,
        seed=recipe.seed,
        label="refit retrieval",
        identity=_identity(recipe, task),
    )


def _facts(result: FitResult, task: "RetrievalTask") -> StepFacts:
    best = result.epochs[result.best_epoch - 1]
    return StepFacts(
        rows_in={"train_positives": len(task.batches.examples), "valid_questions": len(task.questions)},
        metrics={
            **{f"valid_{name}": best[name] for name in METRICS},
            "examples_per_second": round(result.examples_per_second, 1),
            "epochs": float(len(result.epochs)),
            "best_epoch": float(result.best_epoch),
            "peak_memory_mb": result.peak_memory_mb,
        },
        details={
            "curves": {name: [row[name] for row in result.epochs] for name in result.epochs[0]},
            "stopped_early": result.stopped_early,
            "parameters": sum(weight.numel() for weight in task.model.parameters()),
        },
    )


def _identity(recipe: Recipe, task: "RetrievalTask") -> str:
    """Of the settings and the data: another one begins a training anew."""
    digest = hashlib.sha256()
    for text in (recipe.features, recipe.retrieval, task.prepared.store.schema):
        digest.update(text.model_dump_json().encode())
    samples, at = task.prepared.samples, task.batches.examples
    for column in (samples.user, samples.item, samples.time):
        digest.update(np.ascontiguousarray(column[at]).tobytes())
    if task.metric is None:  # begins where the training before it ended
        for weight in task.model.state_dict().values():
            digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


class RetrievalTask:
    """The towers as the training loop sees them (`train.Task`)."""

    def __init__(self, recipe: Recipe, prepared: Prepared, *, refit_of: TwoTower | None = None) -> None:
        """With `refit_of`, goes on from these weights with all positives but the test's, and has none to judge it."""
        self.metric = "ndcg_at_10" if refit_of is None else None
        torch.manual_seed(recipe.seed)
        self.retrieval, self.prepared = recipe.retrieval, prepared
        store = prepared.store
        self.model: TwoTower = TwoTower(store.schema, recipe.features, recipe.retrieval)
        self.inputs = Inputs(store)
        self.batches = RetrievalBatches(prepared, recipe, parts=(TRAIN,) if refit_of is None else PARTS)
        self.ahead = Ahead(self.batches.batch, self.batches.num_batches)
        self.questions = prepared.valid.draw(_QUESTIONS, recipe.seed)
        self.mask_seen = recipe.evaluation.mask_seen
        self._num_rows = store.schema.num_item_rows
        self._distinct = Distinct(self._num_rows)
        taken = prepared.samples.item[self.batches.examples]
        self.negatives = Negatives(recipe.retrieval, np.bincount(taken, minlength=self._num_rows))
        self.hard_negatives = (
            HardNegatives(
                prepared, self.batches.examples, recipe.index, num=recipe.retrieval.hard_negatives, seed=recipe.seed
            )
            if recipe.retrieval.hard_negatives
            else None
        )
        if refit_of is not None:
            self._go_on_from(refit_of)

    def _go_on_from(self, model: TwoTower) -> None:
        """Take the weights; ids that are first met now begin as the unknown one, which stood in for them so far."""
        self.model.load_state_dict(model.state_dict())
        before, self.inputs = self.inputs, Inputs(self.prepared.store, trained_by_refit(self.prepared))
        users = self.model.users
        with torch.no_grad():
            self.model.items.id.weight[torch.from_numpy(self.inputs.item_row != before.item_row)] = (
                self.model.items.id.weight[0].clone()
            )
            if users is not None:
                users.weight[torch.from_numpy(self.inputs.user_row != before.user_row)] = users.weight[0].clone()

    @property
    def device(self) -> torch.device:
        return self.model.items.id.weight.device

    def num_batches(self, epoch: int) -> int:
        return self.batches.num_batches(epoch)

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        batch = self.ahead.at(epoch, step)
        queries, item_E = batch.queries, batch.item_E
        history = queries.history_T if isinstance(queries, PackedQueries) else queries.history_BL
        drawn = self.negatives.draw(item_E, batch.known_2X, self._hard(epoch, queries.user_E))
        full = self.retrieval.loss == "full"
        rows_U = np.arange(self._num_rows) if full else self._distinct.of(history, drawn.row_V)
        input_UD = self.item_inputs(rows_U)
        at_history, at_V = self._distinct.places(rows_U, history), self._distinct.places(rows_U, drawn.row_V)
        query_ED = self.query(queries, _take(input_UD, at_history))
        vector_VD = self.model.candidate(_take(input_UD, at_V))
        compared = Compared(
            query_ED,
            _take(vector_VD, drawn.positive_E),
            vector_VD if len(drawn.candidate_N) == len(vector_VD) else _take(vector_VD, drawn.candidate_N),
            onto(self.device, batch.weight_E),
            torch.from_numpy(drawn.no_negative_2X),
            None if drawn.log_chance_N is None else onto(self.device, drawn.log_chance_N),
            None if drawn.hard_EM is None else onto(self.device, drawn.hard_EM),
        )
        return self._compare(compared), len(item_E)

    def _compare(self, compared: Compared) -> Tensor:
        retrieval = self.retrieval
        if retrieval.loss == "gbce":
            return gbce_loss(
                compared,
                temperature=retrieval.temperature,
                num_items=self._num_rows - 1,
                calibration=retrieval.calibration,
            )
        if retrieval.loss == "cosine_contrastive":
            return cosine_contrastive_loss(compared, margin=retrieval.margin, negative_weight=retrieval.negative_weight)
        return softmax_loss(compared, temperature=retrieval.temperature)

    def _hard(self, epoch: int, user_E: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Hard negatives [E, M], mined with the weights of the epoch's first step."""
        mined = self.hard_negatives
        if mined is None:
            return None
        if mined.epoch != epoch:
            self.model.eval()
            with torch.no_grad():
                input_ND, vector_ND = self.catalogue()
                mined.mine(epoch, lambda queries: self._embed(queries, input_ND), vector_ND.float().cpu().numpy())
            self.model.train()
        return mined.of(user_E)

    def _embed(self, queries: Queries, input_ND: Tensor) -> NDArray[np.float32]:
        vectors = self.query(queries, _take(input_ND, queries.history_BL))
        return np.asarray(vectors.float().cpu().numpy())

    def item_inputs(self, rows_U: NDArray[np.int64]) -> Tensor:
        """Inputs [U, D] of items; in training some ids are hidden, so that the unknown row learns to stand in."""
        items = self.inputs.items(rows_U, self.device)
        hidden = self._hidden(len(rows_U))
        inputs: Tensor = self.model.items(items if hidden is None else items.without_ids(hidden))
        return inputs

    def query(self, queries: Queries | PackedQueries, history: Tensor) -> Tensor:
        """Query vectors [E, D] of questions whose histories have these inputs, [B, L, D] or packed [T, D]."""
        inputs = self.inputs.query(queries, self.device)
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
        """Recall and NDCG at 10 over the whole catalogue, exactly, of a fixed sample of the validation questions.

        Nothing in a refit, which has learnt the answers.
        """
        if self.metric is None:
            return {}
        input_ND, vector_ND = self.catalogue()
        questions, found = self.questions, []
        step = max(1, _FLOATS // max(len(input_ND), input_ND.shape[1] * self.prepared.store.schema.history_length))
        for first in range(0, len(questions), step):
            part = questions.take(np.arange(first, min(first + step, len(questions))))
            queries = self.prepared.queries(part)
            history_BLD = _take(input_ND, queries.history_BL)
            scores_EN = self.query(queries, history_BLD) @ vector_ND.T
            scores_EN[:, 0] = -torch.inf
            if self.mask_seen:
                e, row = self._seen(part)
                scores_EN[torch.from_numpy(e).to(self.device), torch.from_numpy(row).to(self.device)] = -torch.inf
            found.append(scores_EN.topk(min(_DEPTH, len(vector_ND))).indices.cpu().numpy())
        hits_QD = find_hits(np.concatenate(found), questions.target_offsets, questions.target_items)
        measured = measure(hits_QD, np.diff(questions.target_offsets), [_DEPTH])
        return {name: float(measured[name].mean()) for name in METRICS}

    def catalogue(self) -> tuple[Tensor, Tensor]:
        """Inputs [N, D] and candidate vectors [N, D] of every item row, row 0 being the unknown item."""
        count = self._num_rows
        step = max(1, _FLOATS // 1024)
        parts = [self.item_inputs(np.arange(first, min(first + step, count))) for first in range(0, count, step)]
        return torch.cat(parts), torch.cat([self.model.candidate(part) for part in parts])

    def _seen(self, questions: Questions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(question, item row) of every event that its history holds, whole."""
        length = questions.end - questions.start
        e = np.repeat(np.arange(len(questions)), length)
        inside = np.arange(len(e)) - np.repeat(np.cumsum(length) - length, length)
        return e, self.prepared.store.history_items[questions.start[e] + inside].astype(np.int64)


def _take(rows_ND: Tensor, at: NDArray[np.int64]) -> Tensor:
    """`rows_ND[at]`; the gradient of index_select takes a third of the time of that of indexing."""
    return rows_ND.index_select(0, onto(rows_ND.device, at.ravel())).view(*at.shape, rows_ND.shape[1])
