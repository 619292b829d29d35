"""Trains the ranker on what the index returns for validation questions, and calibrates it.

The towers never saw those questions, so their positives stand where serving finds them: see
docs/decisions/ranking-candidates.md. Shapes: Q questions, K candidates each, E examples.
"""

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shortlist.evaluation.bootstrap import intervals
from shortlist.evaluation.metrics import measure
from shortlist.facts import StepFacts
from shortlist.prepare.prepared import Prepared, Questions
from shortlist.progress import say
from shortlist.ranking.batches import RankingBatches, Retrieved, retrieve
from shortlist.ranking.calibration import calibrated, calibration_error, fit_platt, reliability
from shortlist.ranking.features import ItemTables, RankerConfig
from shortlist.ranking.model import RankingModel
from shortlist.ranking.ranker import Calibration, Ranker, shapes_of
from shortlist.recipe import Recipe
from shortlist.retrieval.retrieve import Retriever
from shortlist.training.fit import FitResult, fit

_HELD_OUT = 5
"""One user of so many is held out of the training, for early stop and calibration."""
_MAX_HELD_OUT = 4_000
_DEPTH = 10
_CANDIDATES_AT_A_TIME = 32_768
_SAMPLED_VECTORS = 100_000


def train_ranking(
    recipe: Recipe, prepared_folder: Path, retrieval_folder: Path, index_folder: Path, out: Path
) -> StepFacts:
    """Write ranker.safetensors and ranking.json to `out`, or nothing where the recipe has ranking off.

    A ranker that orders the held-out questions worse than retrieval does is not kept: the files then hold the
    network as it starts, which ranks as retrieval, and the facts say so.
    Raises ValueError when the folders are not of one run, or the training cannot go on.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not recipe.ranking.enabled:
        say("train ranking: the recipe has ranking off")
        return StepFacts(details={"enabled": False})
    prepared = Prepared.open(prepared_folder)
    retriever = Retriever.open(retrieval_folder, index_folder, prepared.store, threads=torch.get_num_threads())
    questions = _answerable(recipe, prepared).draw(recipe.ranking.max_queries, recipe.seed)
    retrieved = retrieve(
        prepared,
        retriever,
        questions,
        recipe.ranking.candidates,
        mask_seen=recipe.evaluation.mask_seen,
        label="train ranking: retrieve",
    )
    held_out = _held_out(questions.user, recipe.seed)
    task = RankingTask(recipe, retrieved, ItemTables(retrieval_folder, prepared.store), held_out)
    result = _fit(recipe, task)
    judged = _judge(task, recipe.seed)
    if result is not None and judged.difference < 0:
        say("train ranking: on the held-out questions retrieval alone is better; its order is kept")
        task.restart()
    slope, intercept, calibration, curve = _calibrate(task)
    metrics = {
        f"heldout_ndcg_at_{_DEPTH}_ranked": judged.ranked,
        f"heldout_ndcg_at_{_DEPTH}_retrieved": judged.retrieved,
        "heldout_difference": judged.difference,
        "heldout_difference_low": judged.low,
        "heldout_difference_high": judged.high,
        "kept": float(result is not None and judged.difference >= 0),
        **calibration,
    }
    Ranker(task.model, Calibration(slope=slope, intercept=intercept)).save(out, metrics)
    return _facts(task, result, metrics, curve)


def _facts(
    task: "RankingTask", result: FitResult | None, metrics: dict[str, float], curve: list[list[float]]
) -> StepFacts:
    retrieved = task.retrieved
    found = float(retrieved.hits_QK.sum() / max(retrieved.num_targets.sum(), 1))
    details: dict[str, Any] = {
        "enabled": True,
        "kept": "the trained ranker" if metrics["kept"] else "the order of retrieval",
        "reliability": curve,
        "parameters": sum(weight.numel() for weight in task.model.parameters()),
    }
    metrics = {**metrics, f"recall_at_{retrieved.rows_QK.shape[1]}": found}
    if result is not None:
        details["curves"] = {name: [row[name] for row in result.epochs] for name in result.epochs[0]}
        details["stopped_early"] = result.stopped_early
        metrics |= {
            "examples_per_second": round(result.examples_per_second, 1),
            "epochs": float(len(result.epochs)),
            "best_epoch": float(result.best_epoch),
            "peak_memory_mb": result.peak_memory_mb,
        }
    return StepFacts(
        rows_in={"questions": len(retrieved.questions), "targets": int(retrieved.num_targets.sum())},
        rows_out={"examples": len(task.batches), "heldout_questions": len(task.held_out_Q)},
        metrics=metrics,
        details=details,
    )


def _answerable(recipe: Recipe, prepared: Prepared) -> Questions:
    """The validation questions that serving ranks: of whom nothing is known gets what is popular."""
    questions, user = prepared.valid, prepared.store.schema.user
    if user.categorical or user.numeric or recipe.features.user.id_dim:
        return questions
    return questions.take(np.flatnonzero(questions.end > questions.start))


def _held_out(user_Q: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Whether each user's question is held out, by a hash (splitmix64, Steele et al. 2014) of its row and the seed."""
    with np.errstate(over="ignore"):
        x = user_Q.astype(np.uint64) + np.uint64(seed % 2**63) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    held_out: NDArray[np.bool_] = (x ^ (x >> np.uint64(31))) % np.uint64(_HELD_OUT) == 0
    return held_out


class RankingTask:
    """The ranker as the training loop sees it (`train.Task`)."""

    metric = f"ndcg_at_{_DEPTH}"

    def __init__(self, recipe: Recipe, retrieved: Retrieved, tables: ItemTables, held_out: NDArray[np.bool_]) -> None:
        ranking = recipe.ranking
        self.retrieved, self.listwise = retrieved, ranking.loss == "listwise"
        self.held_out_Q = np.flatnonzero(held_out)[:_MAX_HELD_OUT]
        self.batches = RankingBatches(
            retrieved,
            np.flatnonzero(~held_out),
            negatives=ranking.negatives,
            batch_size=ranking.training.batch_size,
            seed=recipe.seed,
        )
        torch.manual_seed(recipe.seed)
        self.model: RankingModel = RankingModel(_config(recipe, retrieved, tables), tables)
        self._start = copy.deepcopy(self.model.state_dict())

    def restart(self) -> None:
        """Take the weights of before the training."""
        self.model.load_state_dict(self._start)

    def num_batches(self, epoch: int) -> int:  # noqa: ARG002 - every epoch shows each example once
        return self.batches.num_batches()

    def loss(self, epoch: int, step: int) -> tuple[Tensor, int]:
        request = self.batches.batch(epoch, step)
        logits_EK = self.model(request)
        inside_EK = torch.from_numpy(request.candidates_EK > 0).to(logits_EK.device)
        positive_E = torch.zeros(len(logits_EK), dtype=torch.int64, device=logits_EK.device)
        if self.listwise:
            # Softmax over the list, the positive being the right class (ListNet's top one, Cao et al. 2007).
            masked_EK = logits_EK.masked_fill(~inside_EK, -torch.inf)
            return functional.cross_entropy(masked_EK, positive_E), len(logits_EK)
        target_EK = functional.one_hot(positive_E, logits_EK.shape[1]).float()
        each_EK = functional.binary_cross_entropy_with_logits(logits_EK, target_EK, reduction="none")
        return (each_EK * inside_EK).sum() / inside_EK.sum(), len(logits_EK)

    def validate(self) -> dict[str, float]:
        return {self.metric: float(self.ndcg(self.held_out_logits()).mean())}

    def held_out_logits(self) -> NDArray[np.float32]:
        """Of all candidates of the held-out questions, [Q, K]; -inf for padding."""
        width = self.retrieved.rows_QK.shape[1]
        size = max(1, _CANDIDATES_AT_A_TIME // width)
        logits_QK = np.empty((len(self.held_out_Q), width), np.float32)
        training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for first in range(0, len(logits_QK), size):
                request = self.retrieved.request(self.held_out_Q[first : first + size])
                logits = self.model(request).float().cpu().numpy()
                logits_QK[first : first + size] = np.where(request.candidates_EK > 0, logits, -np.inf)
        self.model.train(training)
        return logits_QK

    def ndcg(self, logits_QK: NDArray[np.float32]) -> NDArray[np.float64]:
        """NDCG at 10 of each held-out question, [Q]; targets that the index missed count as missed."""
        order_QK = np.argsort(-logits_QK, axis=1, kind="stable")
        hits_QK = np.take_along_axis(self.retrieved.hits_QK[self.held_out_Q], order_QK, axis=1)
        return measure(hits_QK, self.retrieved.num_targets[self.held_out_Q], [_DEPTH])[self.metric]


def _config(recipe: Recipe, retrieved: Retrieved, tables: ItemTables) -> RankerConfig:
    ranking, store = recipe.ranking, retrieved.prepared.store
    scores = retrieved.scores_QK[retrieved.rows_QK > 0].astype(np.float64)
    popularity = np.log1p(tables.popularity[1:].astype(np.float64))
    sample = tables.vectors[:: max(1, len(tables.vectors) // _SAMPLED_VECTORS)]
    return RankerConfig(
        **shapes_of(store, tables, users=recipe.features.user.id_dim > 0),
        embeddings=ranking.embeddings,
        cross_layers=ranking.cross_layers,
        low_rank=ranking.low_rank,
        hidden=ranking.hidden,
        dropout=ranking.dropout,
        score_mean=float(scores.mean()) if len(scores) else 0.0,
        score_std=float(scores.std()) or 1.0 if len(scores) else 1.0,
        vector_scale=_unit_scale(sample),
        query_scale=_unit_scale(retrieved.vectors_QD),
        popularity_mean=float(popularity.mean()),
        popularity_std=float(popularity.std()) or 1.0,
    )


def _unit_scale(vectors: NDArray[np.float32]) -> float:
    """What brings the entries to a mean square of 1."""
    square = float(np.square(vectors, dtype=np.float64).mean()) if vectors.size else 0.0
    return square**-0.5 if square > 0 else 1.0


def _fit(recipe: Recipe, task: RankingTask) -> FitResult | None:
    """The training, or None when there is too little to learn from."""
    if not len(task.batches) or not len(task.held_out_Q):
        say("train ranking: no validation question has a retrieved positive; the order of retrieval is kept")
        return None
    with tempfile.TemporaryDirectory() as folder:
        return fit(task, recipe.ranking.training, Path(folder), seed=recipe.seed, label="train ranking")


@dataclass(frozen=True)
class _Judged:
    """Mean NDCG at 10 over the held-out questions, and the paired difference with its 95 % interval."""

    ranked: float
    retrieved: float
    difference: float
    low: float
    high: float


def _judge(task: RankingTask, seed: int) -> _Judged:
    ranked_Q = task.ndcg(task.held_out_logits())
    retrieved_Q = task.ndcg(np.zeros((len(task.held_out_Q), task.retrieved.rows_QK.shape[1]), np.float32))
    values_Q3 = np.stack([ranked_Q, retrieved_Q, ranked_Q - retrieved_Q], axis=1)
    means, low, high = intervals(values_Q3, resamples=1_000, confidence=0.95, seed=seed)
    say(
        f"train ranking: ndcg@{_DEPTH} of {len(ranked_Q)} held-out questions {means[0]:.4f}, "
        f"of retrieval {means[1]:.4f}, difference {means[2]:+.4f} ({low[2]:+.4f} to {high[2]:+.4f})"
    )
    return _Judged(float(means[0]), float(means[1]), float(means[2]), float(low[2]), float(high[2]))


def _calibrate(task: RankingTask) -> tuple[float, float, dict[str, float], list[list[float]]]:
    """Slope and intercept of all held-out candidates, the errors before and after, and the reliability curve after.

    The errors after are of questions that the sigmoid was not fitted on: each half is judged by the other.
    """
    logits_QK, hits_QK = task.held_out_logits(), task.retrieved.hits_QK[task.held_out_Q]
    inside_QK = np.isfinite(logits_QK)
    half_QK = np.broadcast_to(np.arange(len(logits_QK))[:, None] % 2, logits_QK.shape)[inside_QK]
    logits, positive = logits_QK[inside_QK], hits_QK[inside_QK]
    probability = np.empty(len(logits))
    for half in (0, 1):
        other = half_QK != half
        probability[~other] = calibrated(logits[~other], *fit_platt(logits[other], positive[other]))
    errors = {
        "calibration_error_before": calibration_error(calibrated(logits, 1.0, 0.0), positive),
        "calibration_error_after": calibration_error(probability, positive),
    }
    return (*fit_platt(logits, positive), errors, reliability(probability, positive))
