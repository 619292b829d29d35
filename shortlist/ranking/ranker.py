"""The ranker as it is served: from a RankingRequest to calibrated scores.

    ranking/ranker.safetensors   the weights
    ranking/ranking.json         schema, shape of the network, calibration, metrics on the held-out queries
    ranking/neighbour_*.npy, alike_*.npy   if the network reads nearness (see `ItemNeighbours` and `UserKNN`)
    ranking/recent_popularity.npy          if it reads time-decayed popularity (see `recent_popularity`)

Shapes: O objectives, E queries, K candidates each, W values of a categorical field.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from shortlist.features import FeatureStore
from shortlist.ranking.network.inputs import ItemTables, RankerConfig
from shortlist.ranking.network.model import RankingModel
from shortlist.recipe.fields import POSITIVE
from shortlist.recommend.objective import combine, scores_of, weights_of
from shortlist.recommend.request import RankingRequest
from shortlist.statistics.item_statistics import ItemStatistics

SCHEMA_VERSION = 2


class Calibration(BaseModel):
    """Score = sigmoid(slope * logit + intercept) (Platt, 1999)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = 1.0
    """Above 0, so that the scores keep the order of the logits."""
    intercept: float = 0.0


class RankerFile(BaseModel):
    """The content of ranking.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    network: RankerConfig
    calibration: Calibration
    metrics: dict[str, float]
    labels: dict[str, Calibration] = {}
    """Label -> the calibration of its head. Only rankers of several objectives have it and `objective`."""
    objective: dict[str, float] = {}
    """The weights of the recipe."""

    def to_json(self) -> str:
        found = self.model_dump(mode="json")
        if not self.labels:  # the same bytes as before there were labels
            del found["labels"], found["objective"], found["network"]["labels"]
        if self.network.age_mean is None:  # nor ages
            del found["network"]["age_mean"], found["network"]["age_std"]
        return json.dumps(found, indent=1, sort_keys=True)


class Ranker:
    """The ranker of a release. It is stateless, so that threads may share it."""

    def __init__(
        self,
        model: RankingModel,
        calibration: Calibration,
        labels: Mapping[str, Calibration] | None = None,
        objective: Mapping[str, float] | None = None,
    ) -> None:
        """`labels` are the calibrations of the heads of the labels, by default none; `objective` are the weights of
        requests that have none, by default those of a list by `positive` alone."""
        self.model = model.eval()
        self.calibration = calibration
        self._labels = {name: (labels or {}).get(name, Calibration()) for name in model.config.labels}
        self._objective = dict(objective or {POSITIVE: 1.0})
        self._weight_O = weights_of(self._objective, model.config.objectives)

    @classmethod
    def open(cls, ranking: Path, retrieval: Path, store: FeatureStore) -> "Ranker":
        """Raises ValueError when a file is broken, or when the weights, the vectors and the store do not match."""
        try:
            found = json.loads((ranking / "ranking.json").read_text())
            version = found.get("schema_version") if isinstance(found, dict) else None
            if version != SCHEMA_VERSION:
                raise ValueError(f"schema {version}, this version of shortlist reads {SCHEMA_VERSION}")
            file = RankerFile.model_validate(found)
            weights = load_file(ranking / "ranker.safetensors")
            network = file.network
            if len(network.near_scale) != network.num_near:
                raise ValueError(
                    f"its network reads {len(network.near_scale)} nearness features, this version of shortlist "
                    f"computes {network.num_near}; train it again"
                )
            user_knn = bool(network.neighbours) and not network.ordered
            half_lives = len(network.recent_mean)
            statistics = ItemStatistics.open(
                ranking, num_tables=network.num_tables, user_knn=user_knn, half_lives=half_lives
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"{ranking}: the ranker cannot be read: {error}") from error
        tables = ItemTables(retrieval, store, statistics)
        for name, wanted in shapes_of(store, tables, users=file.network.num_user_rows > 0).items():
            if getattr(file.network, name) != wanted:
                raise ValueError(
                    f"{ranking}: the ranker was trained with {name} {getattr(file.network, name)}, the features in "
                    f"{store.folder} and the vectors in {retrieval} have {wanted}; take all three from the same run"
                )
        model = RankingModel(file.network, tables)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{ranking}: ranker.safetensors and ranking.json do not match: {error}") from error
        return cls(model, file.calibration, file.labels, file.objective)

    def save(self, folder: Path, metrics: dict[str, float], statistics: ItemStatistics | None = None) -> None:
        """Write the files; equal rankers give equal bytes. `statistics` replace those of the training in the files,
        since they may include later events."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.cpu().contiguous() for name, weight in self.model.state_dict().items()}
        # Not save_file, whose files only their owner can read: in a container, another user serves them.
        (folder / "ranker.safetensors").write_bytes(save(weights))
        (statistics or self.model.tables.statistics).save(folder)
        file = RankerFile(
            network=self.model.config,
            calibration=self.calibration,
            metrics=metrics,
            labels=self._labels,
            objective=self._objective,
        )
        (folder / "ranking.json").write_text(file.to_json())

    def score(self, request: RankingRequest) -> NDArray[np.float32]:
        """The probability [E, K] that a candidate is a positive, calibrated on held-out queries; 0 for padding.

        With labels it is the score of the objective, as `recommend.objective` defines it.
        Raises ValueError when the request has rows or widths that this release does not have.
        """
        log_odds_OEK = self.log_odds(request)
        log_odds_EK = log_odds_OEK[0] if not self._labels else combine(log_odds_OEK, self._weights(request))
        return scores_of(log_odds_EK, request.candidates_EK)

    def log_odds(self, request: RankingRequest) -> NDArray[np.float64]:
        """The calibrated log-odds of each objective, [O, E, K]; undefined for padding. Raises ValueError as `score`."""
        self._check(request)
        with torch.inference_mode():
            logits_OEK = self.model.objectives(request).cpu().numpy().astype(np.float64)
        of_heads = zip([self.calibration, *self._labels.values()], logits_OEK, strict=True)
        return np.stack([one.slope * logits_EK + one.intercept for one, logits_EK in of_heads])

    def _weights(self, request: RankingRequest) -> NDArray[np.float32]:
        if request.objective_EO is not None:
            return request.objective_EO
        return np.broadcast_to(self._weight_O, (len(request.user_E), len(self._weight_O)))

    def logits(self, request: RankingRequest) -> NDArray[np.float32]:
        """The uncalibrated logits of the positives, [E, K]; undefined for padding."""
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.model(request).cpu().numpy()
        return logits

    def _check(self, request: RankingRequest) -> None:
        network = self.model.config
        _in_range("candidates", request.candidates_EK, network.num_item_rows)
        _in_range("history", request.history_EL, network.num_item_rows)
        if network.num_user_rows:
            _in_range("user", request.user_E, network.num_user_rows)
        if request.categorical.keys() != network.query_fields.keys():
            raise ValueError(
                f"ranking request: has the fields {sorted(request.categorical)}, "
                f"this release reads {sorted(network.query_fields)}"
            )
        for name, field in network.query_fields.items():
            _in_range(name, request.categorical[name], field.num_rows)
        sources = request.source_scores_EKS
        if sources is not None and sources.shape[2] != len(network.source_scale):
            raise ValueError(
                f"ranking request: has scores of {sources.shape[2]} candidate sources, this release reads "
                f"{len(network.source_scale)}"
            )
        has_ages, reads_ages = request.history_age_EL is not None, network.age_mean is not None
        if has_ages != reads_ages:
            raise ValueError(
                f"ranking request: has {'a' if has_ages else 'no'} history_age, this release reads "
                f"{'one' if reads_ages else 'none'}"
            )
        widths = {
            "query_vector": (request.query_vector_ED, network.vector_dim),
            "numeric": (request.numeric_EF, network.query_numeric_dim),
        }
        for name, (array, width) in widths.items():
            if array.shape[1] != width:
                raise ValueError(f"ranking request: {name} has width {array.shape[1]}, this release reads {width}")
        if request.objective_EO is not None:
            if request.objective_EO.shape[1] != len(network.objectives):
                raise ValueError(
                    f"ranking request: objective has {request.objective_EO.shape[1]} weights, this release has the "
                    f"objectives {', '.join(network.objectives)}"
                )
            if not request.objective_EO.any(axis=1).all():
                raise ValueError("ranking request: objective is 0 throughout for a query")


def shapes_of(store: FeatureStore, tables: ItemTables, *, users: bool) -> dict[str, Any]:
    """The fields of a RankerConfig that follow from the features and the vectors; `users`: users have embeddings."""
    schema = store.schema
    return {
        "num_item_rows": schema.num_item_rows,
        "num_user_rows": schema.num_user_rows if users else 0,
        "vector_dim": tables.vectors.shape[1],
        "item_fields": schema.item.categorical,
        "item_numeric_dim": schema.item.numeric_dim,
        "query_fields": schema.query_fields,
        "query_numeric_dim": schema.query_numeric_dim,
    }


def _in_range(name: str, rows: NDArray[np.int64], num_rows: int) -> None:
    if rows.size and not (rows.min() >= 0 and rows.max() < num_rows):
        raise ValueError(f"ranking request: {name} has rows outside 0 to {num_rows - 1}, the range of this release")
