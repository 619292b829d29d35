"""The inputs of the ranker's network, gathered from a RankingRequest and the memory-mapped item tables.

Shapes: E queries, K candidates each, L history length, D vector dim, S candidate sources, W values of a
categorical field, F numbers, A fields of an item (its own row is the first), M values of all fields, H values of a
whole history, R half-lives.

Gathering a few hundred rows dominates the cost of a request and is several times faster in NumPy than in torch; torch
is used only for the parts with weights. Training and serving share this code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict

from shortlist.features import CategoricalField, FeatureStore
from shortlist.ranking.network.attention import NUM_EVENTS
from shortlist.ranking.network.nearness import HALF_LIFE, IN_ORDER, WITHOUT_ORDER, last_events, nearness
from shortlist.recipe.fields import POSITIVE
from shortlist.recommend.request import RankingRequest
from shortlist.statistics.item_neighbours import TABLES
from shortlist.statistics.item_statistics import ItemStatistics


class RankerConfig(BaseModel):
    """The shape of the network and the scales of its inputs; saved as JSON next to the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_item_rows: int
    num_user_rows: int
    """0 if users have no embeddings."""
    vector_dim: int
    item_fields: list[CategoricalField]
    item_numeric_dim: int
    query_fields: Annotated[dict[str, CategoricalField], AfterValidator(lambda fields: dict(sorted(fields.items())))]
    """Sorted by name."""
    query_numeric_dim: int
    retrieval: bool = True
    """Whether the network reads the retrieval features: the score, the query vector and the item vectors."""
    embeddings: bool = False
    """Whether the network reads item vectors, and embeddings of items and their attributes."""
    attention: bool = False
    """Whether candidates attend to the history."""
    neighbours: int = 0
    """The number of neighbours of each item; 0 for a network that reads no nearness."""
    num_events: int = NUM_EVENTS
    """The number of last events that a candidate is compared with."""
    ordered: bool = True
    """Whether events have an order; without one, there are no last events and no transitions."""
    near_scale: list[float] = []
    """The divisors of the `num_near` nearness features: their means over the candidates where they are not 0."""
    source_scale: list[float] = []
    """The divisors of the scores of the candidate sources: their means over the candidates that each found; empty for
    candidates of the towers alone."""
    age_mean: float | None = None
    """The mean of log(1 + days since the last event) over the candidates in a history, 0 after training on labels; None
    if the network does not read it."""
    age_std: float = 1.0
    cross_layers: int
    low_rank: int
    num_experts: int = 1
    hidden: list[int]
    dropout: float
    score_mean: float = 0.0
    """The mean of the retrieval scores of candidates."""
    score_std: float = 1.0
    vector_scale: float = 1.0
    """Scales the entries of item vectors to a mean square of 1."""
    query_scale: float = 1.0
    popularity_mean: float = 0.0
    """The mean of log(1 + positives) over the catalogue."""
    popularity_std: float = 1.0
    recent_mean: list[float] = []
    """The mean of log(1 + time-decayed popularity) over the catalogue, [R]; empty if the network does not read it."""
    recent_std: list[float] = []
    labels: list[str] = []
    """The labels that the network predicts besides `positive`, each with a head of its own."""

    @property
    def objectives(self) -> list[str]:
        """What the heads of the network predict, in their order."""
        return [POSITIVE, *self.labels]

    @property
    def item_widths(self) -> list[int]:
        """The number of values of each item field; the item's own row is the first field."""
        return [1, *(field.max_values for field in self.item_fields)]

    @property
    def num_tables(self) -> int:
        """The number of neighbour tables that the network reads."""
        return (len(TABLES) if self.ordered else 1) if self.neighbours else 0

    @property
    def num_near(self) -> int:
        """The number of nearness features of a candidate."""
        if not self.neighbours:
            return 0
        return self.num_tables * len(IN_ORDER) if self.ordered else len(WITHOUT_ORDER)

    @property
    def pair_dim(self) -> int:
        """The number of numeric features of a candidate: its own, its popularity, two shares per field, distances,
        nearness, scores of sources, and the time since its last event."""
        own = self.item_numeric_dim + 1
        shares, ages = 2 * len(self.item_widths), int(self.age_mean is not None)
        return 2 * own + shares + self.num_near + len(self.source_scale) + ages

    @property
    def item_sizes(self) -> list[int]:
        """The number of rows of each item field."""
        return [self.num_item_rows, *(field.num_rows for field in self.item_fields)]


@dataclass(frozen=True)
class Inputs:
    """The inputs of the network. All fields share one key space; key 0 means no value."""

    query_vector_ED: NDArray[np.float32]
    query_numeric_EF: NDArray[np.float32]
    """The request's numbers, log(1 + length of the history) and the mean popularity of its last events."""
    query_keys_EM: NDArray[np.int64]
    query_num_values_EA: NDArray[np.float32]
    user_E: NDArray[np.int64]
    score_EK: NDArray[np.float32]
    """The standardised retrieval score; 0 for padding."""
    vectors_EKD: NDArray[np.float32] | None
    """Item vectors; None if the network reads none."""
    event_vectors_ELD: NDArray[np.float32] | None
    """Item vectors of the last events, last one first; None without attention."""
    num_events_E: NDArray[np.int64]
    keys_EKM: NDArray[np.int64]
    """Items that retrieval was not trained on have no key of their own, only those of their attributes."""
    num_values_EKA: NDArray[np.float32]
    """The number of values of each field, at least 1: the divisor of a sum over them."""
    numeric_EKF: NDArray[np.float32]
    """The item's numbers, log popularity, two shares of each field (see `key_shares`), the distances of its numbers and
    popularity from the mean of the last events, its nearness to these events (see `nearness`), log(1 + score) of each
    candidate source, 0 where it did not find the item, and, with `age_mean`, log(1 + days since the item's last event),
    standardised, 0 for an item that is not in the history (its share of the history tells them apart)."""
    recent_EKR: NDArray[np.float32] | None
    """Log time-decayed popularity, standardised; None if the network does not read it."""


class ItemTables:
    """The features of every item, memory-mapped from the files.

    Raises ValueError when vectors.npy, the item statistics and the store are not from the same run.
    """

    def __init__(
        self,
        retrieval: Path | None,
        store: FeatureStore,
        statistics: ItemStatistics | None = None,
    ) -> None:
        """Without `retrieval`, items have no vectors, for a ranker that reads none."""
        nothing = np.zeros((store.schema.num_item_rows - 1, 0), np.float32)
        # As plain arrays, since np.memmap is slow to index.
        vectors = nothing if retrieval is None else np.load(retrieval / "vectors.npy", mmap_mode="r")
        self.vectors: NDArray[np.float32] = np.asarray(vectors)
        self.attributes = [np.asarray(table) for table in store.item_categorical.values()]
        self.numeric = np.asarray(store.item_numeric)
        self.popularity = np.asarray(store.popularity)
        self.statistics = ItemStatistics() if statistics is None else statistics
        for name, num_rows in self.statistics.num_rows().items():
            if num_rows != store.schema.num_item_rows:
                raise ValueError(
                    f"{store.folder}: the features have {store.schema.num_item_rows} item rows, the {name} have "
                    f"{num_rows}; take both from the same run"
                )
        if len(self.vectors) != store.schema.num_item_rows - 1:
            raise ValueError(
                f"{retrieval}: vectors.npy holds {len(self.vectors)} items, the features in {store.folder} have "
                f"{store.schema.num_item_rows - 1}; take both from the same run"
            )


class InputReader:
    """Builds the network's inputs from requests."""

    def __init__(self, config: RankerConfig, tables: ItemTables) -> None:
        self.config, self.tables = config, tables
        self._starts_M = key_starts(config.item_sizes, config.item_widths)
        fields = config.query_fields.values()
        widths = [field.max_values for field in fields]
        self._query_starts_M = key_starts([field.num_rows for field in fields], widths)
        self._query_widths = widths
        self._num_keys = sum(config.item_sizes)

    def read(self, request: RankingRequest) -> Inputs:
        config, tables, rows_EK = self.config, self.tables, request.candidates_EK
        keys_EKM, query_keys_EM = self._keys(rows_EK), self._query_keys(request)
        num_values_EKA = _num_values(keys_EKM, config.item_widths)
        weights_EL2 = event_weights(request.length_E, request.history_EL.shape[1])
        share_EKM2 = key_shares(self._keys(request.history_EL), weights_EL2, keys_EKM, self._num_keys)
        share_EKF = _mean_by_field(share_EKM2, config.item_widths, num_values_EKA).reshape(*rows_EK.shape, -1)
        events_EL, num_events_E = last_events(request.history_EL, request.length_E, config.num_events)
        own_EKF, mean_EF = self._numbers(rows_EK), self._event_mean(events_EL, num_events_E)
        distance_EKF = np.abs(own_EKF - mean_EF[:, None]) * (num_events_E > 0)[:, None, None]
        numeric = [own_EKF, share_EKF, distance_EKF]
        if config.neighbours:
            near_EKF = nearness(request, tables.statistics, config.num_events, ordered=config.ordered)
            numeric.append(np.log1p(near_EKF / np.array(config.near_scale, np.float32)))
        if config.source_scale:
            numeric.append(self._source_scores(request))
        if config.age_mean is not None:
            numeric.append(self._ages(request, config.age_mean))
        keys_EKM[..., 0] *= tables.popularity.take(rows_EK) > 0
        lengths_E2 = np.stack([np.log1p(request.length_E), mean_EF[:, -1]], axis=1)
        reads_vectors = config.retrieval and (config.embeddings or config.attention)
        return Inputs(
            query_vector_ED=request.query_vector_ED * np.float32(config.query_scale),
            query_numeric_EF=np.concatenate([request.numeric_EF, lengths_E2], axis=1, dtype=np.float32),
            query_keys_EM=query_keys_EM,
            query_num_values_EA=_num_values(query_keys_EM, self._query_widths),
            user_E=request.user_E.copy(),  # torch accepts no read-only array
            score_EK=self._scores(request),
            vectors_EKD=self._vectors(rows_EK) if reads_vectors else None,
            event_vectors_ELD=self._vectors(events_EL[:, :NUM_EVENTS]) if config.attention else None,
            num_events_E=np.minimum(num_events_E, NUM_EVENTS),
            keys_EKM=keys_EKM,
            num_values_EKA=num_values_EKA,
            numeric_EKF=np.concatenate(numeric, axis=2, dtype=np.float32),
            recent_EKR=self._recent(rows_EK),
        )

    def _scores(self, request: RankingRequest) -> NDArray[np.float32]:
        mean, std = np.float32(self.config.score_mean), np.float32(self.config.score_std)
        scores_EK = np.where(request.candidates_EK > 0, request.retrieval_scores_EK, mean)
        standard_EK: NDArray[np.float32] = (scores_EK - mean) / std
        return standard_EK

    def _source_scores(self, request: RankingRequest) -> NDArray[np.float32]:
        """[E, K, S]; 0 for a request without scores of sources."""
        scale_S, scores_EKS = np.array(self.config.source_scale, np.float32), request.source_scores_EKS
        if scores_EKS is None:
            return np.zeros((*request.candidates_EK.shape, len(scale_S)), np.float32)
        return np.log1p(np.maximum(scores_EKS, 0) / scale_S)

    def _ages(self, request: RankingRequest, mean: float) -> NDArray[np.float32]:
        """[E, K, 1]; `mean` is the `age_mean` of the network."""
        days_EK, had_EK = last_ages(request)
        standard_EK = (np.log1p(days_EK) - np.float32(mean)) / np.float32(self.config.age_std)
        return np.where(had_EK, standard_EK, np.float32(0))[..., None]

    def _numbers(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The numbers of item rows [...] and their log popularity, standardised: [..., F + 1]."""
        count = np.log1p(self.tables.popularity.take(rows), dtype=np.float32)
        popularity = (count - self.config.popularity_mean) / self.config.popularity_std
        return np.concatenate([self.tables.numeric.take(rows, axis=0), popularity[..., None]], axis=-1)

    def _recent(self, rows_EK: NDArray[np.int64]) -> NDArray[np.float32] | None:
        config = self.config
        if not config.recent_mean:
            return None
        assert self.tables.statistics.recent_NR is not None
        log_EKR = np.log1p(self.tables.statistics.recent_NR.take(rows_EK, axis=0))
        mean_R, std_R = np.array(config.recent_mean, np.float32), np.array(config.recent_std, np.float32)
        return (log_EKR - mean_R) / std_R

    def _event_mean(self, events_EL: NDArray[np.int64], num_events_E: NDArray[np.int64]) -> NDArray[np.float32]:
        """The mean of the numbers of the events, [E, F + 1]; 0 without events."""
        sums_EF = (self._numbers(events_EL) * (events_EL > 0)[..., None]).sum(axis=1, dtype=np.float32)
        mean_EF: NDArray[np.float32] = sums_EF / np.maximum(num_events_E, 1)[:, None].astype(np.float32)
        return mean_EF

    def _keys(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keys [..., M] of all values of item rows [...]."""
        values = [rows[..., None], *(table.take(rows, axis=0) for table in self.tables.attributes)]
        values_M = np.concatenate(values, axis=-1)
        return (values_M + self._starts_M) * (values_M > 0)

    def _vectors(self, rows_EK: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.tables.vectors.take(np.maximum(rows_EK - 1, 0), axis=0) * np.float32(self.config.vector_scale)

    def _query_keys(self, request: RankingRequest) -> NDArray[np.int64]:
        none = np.zeros((len(request.user_E), 0), np.int64)
        rows_EM = np.concatenate([none, *(request.categorical[name] for name in self.config.query_fields)], axis=1)
        return (rows_EM + self._query_starts_M) * (rows_EM > 0)


def event_weights(length_E: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """Two weights of each event of a history, [E, width, 2]; 0 past its end.

    The first weight is uniform, 1 / length. The second one decays exponentially: an event weighs half as much as one
    `HALF_LIFE` events later, normalised over an infinite history.
    """
    back_EL = length_E[:, None] - np.arange(1, width + 1)
    inside_EL = back_EL >= 0
    weight_EL2 = np.empty((len(length_E), width, 2), np.float32)
    weight_EL2[..., 0] = inside_EL / np.maximum(length_E, 1)[:, None]
    weight_EL2[..., 1] = inside_EL * np.exp2(np.abs(back_EL) * (-1 / HALF_LIFE)) * (1 - 2 ** (-1 / HALF_LIFE))
    return weight_EL2


def key_shares(
    history_ELM: NDArray[np.int64], weight_EL2: NDArray[np.float32], keys_EKM: NDArray[np.int64], num_keys: int
) -> NDArray[np.float32]:
    """The sum of the weights of the events that have each key, [E, K, M, 2]; 0 for key 0. Keys are below `num_keys`."""
    num_queries, _, width = history_ELM.shape
    if history_ELM.size == 0:
        return np.zeros((*keys_EKM.shape, 2), np.float32)
    # One sorted array of the keys of all queries, with a separate key range per query.
    space_E11 = (np.arange(num_queries) * num_keys)[:, None, None]
    history_H = (history_ELM + space_E11).ravel()
    order_H = np.argsort(history_H, kind="stable")
    sorted_H = history_H[order_H]
    first = np.flatnonzero(np.diff(sorted_H, prepend=-1))
    own, sums = sorted_H[first], np.add.reduceat(weight_EL2.reshape(-1, 2)[order_H // width], first, axis=0)
    wanted = keys_EKM + space_E11
    at = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
    found = (own[at] == wanted) & (keys_EKM > 0)
    shares: NDArray[np.float32] = sums.take(at, axis=0) * found[..., None]
    return shares


def last_ages(request: RankingRequest) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Days since the last event of each candidate, 0 for one that is not in the history; and which are; both [E, K]."""
    history_EL, rows_EK, ages_EL = request.history_EL, request.candidates_EK, request.history_age_EL
    assert ages_EL is not None
    if history_EL.size == 0:
        return np.zeros(rows_EK.shape, np.float32), np.zeros(rows_EK.shape, np.bool_)
    # One sorted array of the items of all queries; a stable order keeps the events of an item in the order of time.
    width = int(max(history_EL.max(), rows_EK.max(initial=0))) + 1
    space_E1 = np.arange(len(history_EL))[:, None] * width
    history_H = (history_EL + space_E1).ravel()
    order_H = np.argsort(history_H, kind="stable")
    sorted_H, wanted_EK = history_H[order_H], rows_EK + space_E1
    last_EK = np.maximum(np.searchsorted(sorted_H, wanted_EK, side="right") - 1, 0)
    had_EK = (sorted_H[last_EK] == wanted_EK) & (rows_EK > 0)
    return np.where(had_EK, ages_EL.ravel()[order_H[last_EK]], np.float32(0)), had_EK


def key_starts(sizes: list[int], widths: list[int]) -> NDArray[np.int64]:
    """The offsets [M] that are added to the rows of each value, so that the keys of all fields differ."""
    return np.repeat(np.cumsum([0, *sizes], dtype=np.int64)[:-1], widths)


def _num_values(keys_M: NDArray[np.int64], widths: list[int]) -> NDArray[np.float32]:
    """The number of non-zero keys of each field, [..., A], at least 1, of keys [..., M]."""
    num_values = np.ones((*keys_M.shape[:-1], len(widths)), np.float32)
    for field, start in _multiple(widths):
        num_values[..., field] = np.maximum((keys_M[..., start : start + widths[field]] > 0).sum(axis=-1), 1)
    return num_values


def _mean_by_field(
    values_MC: NDArray[np.float32], widths: list[int], num_values_A: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The mean [..., A, C] of `values_MC` [..., M, C] over the values of each field; missing values must be 0."""
    if max(widths) == 1:
        return values_MC
    means = values_MC[..., np.cumsum([0, *widths])[:-1], :]
    for field, start in _multiple(widths):
        sums = np.einsum("...mc->...c", values_MC[..., start : start + widths[field], :])
        means[..., field, :] = sums / num_values_A[..., field, None]
    return means


def _multiple(widths: list[int]) -> list[tuple[int, int]]:
    """The position and first column of each field with several values."""
    starts = np.cumsum([0, *widths]).tolist()
    return [(field, starts[field]) for field, width in enumerate(widths) if width > 1]
