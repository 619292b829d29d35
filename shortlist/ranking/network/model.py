"""The ranker's network: DCN-v2 over query, candidate and cross features, with a residual path of the retrieval score.

Shapes: O objectives, E queries, K candidates each, P width of a projected vector, A fields of an item, M values of all
of them, C width of an embedding, X width of x0, Q query features, R half-lives.
"""

from typing import Any, NamedTuple, Protocol, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist.ranking.network.attention import HistoryAttention
from shortlist.ranking.network.crossnet import CrossNetwork
from shortlist.ranking.network.inputs import InputReader, Inputs, ItemTables, RankerConfig
from shortlist.recommend.request import RankingRequest

_WIDTH = 8
"""The width of every embedding."""
_PROJECTION = 16
"""The width of projected query and item vectors."""


class Trunk(NamedTuple):
    """What all heads read."""

    crossed_EKX: Tensor
    deep_EKX: Tensor
    query_EQ: Tensor
    recent_EKR: Tensor | None
    score_EK: Tensor


class Head(Protocol):
    """The weights of one objective: w of both parts, V and s of `RankingModel`."""

    cross_logit: nn.Linear
    deep_logit: nn.Linear
    recent: nn.Linear | None
    score_weight: nn.Parameter | None


class LabelHead(nn.Module):
    """The head of one label, initialised like that of the positives, so that it starts with the order of retrieval."""

    def __init__(self, dim: int, hidden: int, query_dim: int, config: RankerConfig) -> None:
        super().__init__()
        self.cross_logit = nn.Linear(dim, 1)
        self.deep_logit = nn.Linear(hidden, 1, bias=False)
        self.recent = nn.Linear(query_dim, len(config.recent_mean)) if config.recent_mean else None
        for weight in self.parameters():
            nn.init.zeros_(weight)
        self.score_weight = nn.Parameter(torch.ones(())) if config.retrieval else None


class RankingModel(nn.Module):
    """`logit = s * z(retrieval score) + (V q) . r + w . [cross(x0); deep(x0)]`, with x0 all features but r.

    `w` and `V` are initialised with 0 and `s` with 1, so that the untrained network keeps the order of retrieval.
    Training starts from the best linear fit of the score and r (`begin_with_line`).

    r is the time-decayed popularity of the item. Its weights depend on the query's features q, but the logit is linear
    in r: two such numbers identify nearly every item, so that a non-linear network would memorise which items were
    popular in the validation window and would not generalise to later ones (docs/decisions/drift.md).

    x0 contains the query's projected vector, numbers and categories; the item's numbers and popularity; and of the pair
    the retrieval score, the shares of the history that have the item's values, the nearness of the item to the last
    events, and with `config.attention` the interest in the item. With `config.embeddings` it also contains the item's
    projected vector, its product with the query's, and embeddings of the item and its values. Without
    `config.retrieval` there is neither s nor any vector.

    With `config.labels`, all objectives share x0 and the cross and deep layers, and each label has s, V and w of its
    own (a shared bottom, Caruana 1997). The weights of the positives have the same names as without labels.
    """

    def __init__(self, config: RankerConfig, tables: ItemTables) -> None:
        super().__init__()
        self.config = config
        self._reader = InputReader(config, tables)
        # Embeddings are initialised with 0, so that rows that are never trained have no effect.
        self.values = _embedding(sum(config.item_sizes)) if config.embeddings else None
        self.users = _embedding(config.num_user_rows) if config.num_user_rows else None
        query_fields = list(config.query_fields.values())
        self._query_widths = [field.max_values for field in query_fields]
        self.query_values = _embedding(sum(field.num_rows for field in query_fields)) if query_fields else None
        reads_vectors = config.retrieval and (config.embeddings or config.attention)
        self.project_query = nn.Linear(config.vector_dim, _PROJECTION) if config.retrieval else None
        self.project_item = nn.Linear(config.vector_dim, _PROJECTION) if reads_vectors else None
        self.attention = HistoryAttention(_PROJECTION) if reads_vectors and config.attention else None
        self.score_weight = nn.Parameter(torch.ones(())) if config.retrieval else None

        self.recent = nn.Linear(self._query_width(), len(config.recent_mean)) if config.recent_mean else None
        dim = self._width()
        low_rank = config.low_rank if config.low_rank < dim or config.num_experts > 1 else 0
        self.cross = CrossNetwork(dim, config.cross_layers, low_rank, config.num_experts)
        layers: list[nn.Module] = []
        for width, hidden in zip([dim, *config.hidden], config.hidden, strict=False):
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(config.dropout)]
        self.deep = nn.Sequential(*layers)
        self.cross_logit = nn.Linear(dim, 1)
        self.deep_logit = nn.Linear((config.hidden or [dim])[-1], 1, bias=False)
        start_at_0 = [self.cross_logit.weight, self.cross_logit.bias, self.deep_logit.weight]
        for weight in [*start_at_0, *(self.recent.parameters() if self.recent is not None else [])]:
            nn.init.zeros_(weight)
        hidden = (config.hidden or [dim])[-1]
        self.label_heads = nn.ModuleList(LabelHead(dim, hidden, self._query_width(), config) for _ in config.labels)

    @property
    def heads(self) -> list[Head]:
        """The heads, in the order of `config.objectives`; the model itself holds the first one."""
        return [cast(Head, one) for one in (self, *self.label_heads)]

    @property
    def tables(self) -> ItemTables:
        """The item tables; the item statistics among them are saved next to the weights."""
        return self._reader.tables

    def read(self, request: RankingRequest) -> Inputs:
        """The inputs of the network for a request."""
        return self._reader.read(request)

    def _query_width(self) -> int:
        """The width of the query's features."""
        embedded = len(self._query_widths) + (self.users is not None)
        projected = self.project_query is not None
        return _WIDTH * embedded + _PROJECTION * projected + self.config.query_numeric_dim + 2

    def _width(self) -> int:
        """The width of x0."""
        config = self.config
        embedded = len(config.item_widths) if config.embeddings else 0
        projected = (self.attention is not None) + (2 if config.embeddings and self.project_item is not None else 0)
        return self._query_width() + _WIDTH * embedded + _PROJECTION * projected + config.pair_dim + config.retrieval

    def forward(self, request: RankingRequest) -> Tensor:
        """Logits of the positives [E, K], higher is better; the logits of padding are undefined."""
        return self._logits(self.heads[0], self._trunk(request))

    def objectives(self, request: RankingRequest) -> Tensor:
        """Logits of all objectives [O, E, K], in the order of `config.objectives`; those of padding are undefined."""
        trunk = self._trunk(request)
        return torch.stack([self._logits(head, trunk) for head in self.heads])

    def _trunk(self, request: RankingRequest) -> Trunk:
        inputs = self.read(request)
        query_EP = None if self.project_query is None else self.project_query(self._tensor(inputs.query_vector_ED))
        query_features = [self._tensor(inputs.query_numeric_EF), *([] if query_EP is None else [query_EP])]
        if self.query_values is not None:
            values_EMC = self.query_values(self._tensor(inputs.query_keys_EM))
            query_features += _by_field(values_EMC, self._query_widths, self._tensor(inputs.query_num_values_EA))
        if self.users is not None:
            query_features.append(self.users(self._tensor(inputs.user_E)))
        numeric_EKF, query_EQ = self._tensor(inputs.numeric_EKF), torch.cat(query_features, dim=-1)
        parts = [
            query_EQ[:, None].expand(-1, numeric_EKF.shape[1], -1),
            *self._of_vectors(inputs, query_EP),
            *self._of_values(inputs),
            numeric_EKF,
        ]
        score_EK = self._tensor(inputs.score_EK)
        x0 = torch.cat([*parts, score_EK[..., None]] if self.score_weight is not None else parts, dim=-1)
        recent_EKR = None if self.recent is None else self._tensor(inputs.recent_EKR)
        return Trunk(self.cross(x0), self.deep(x0), query_EQ, recent_EKR, score_EK)

    def _logits(self, head: Head, trunk: Trunk) -> Tensor:
        learnt_EK1 = head.cross_logit(trunk.crossed_EKX) + head.deep_logit(trunk.deep_EKX)
        logits_EK: Tensor = learnt_EK1.squeeze(-1).float()
        if head.recent is not None and trunk.recent_EKR is not None:
            logits_EK = logits_EK + (trunk.recent_EKR * head.recent(trunk.query_EQ)[:, None]).sum(dim=-1)
        return logits_EK if head.score_weight is None else logits_EK + head.score_weight * trunk.score_EK

    def _of_vectors(self, inputs: Inputs, query_EP: Tensor | None) -> list[Tensor]:
        if self.project_item is None or inputs.vectors_EKD is None or query_EP is None:
            return []
        item_EKP = self.project_item(self._tensor(inputs.vectors_EKD))
        found = [item_EKP, item_EKP * query_EP[:, None]] if self.config.embeddings else []
        if self.attention is not None:
            event_ELP = self.project_item(self._tensor(inputs.event_vectors_ELD))
            # Only the product: it measures the agreement of the two, without identifying the item.
            found.append(item_EKP * self.attention(item_EKP, event_ELP, self._tensor(inputs.num_events_E)))
        return found

    def _of_values(self, inputs: Inputs) -> list[Tensor]:
        """The embeddings of items and their values, with `config.embeddings`."""
        if self.values is None:
            return []
        values_EKMC = self.values(self._tensor(inputs.keys_EKM))
        return _by_field(values_EKMC, self.config.item_widths, self._tensor(inputs.num_values_EKA))

    def _tensor(self, array: NDArray[Any] | None) -> Tensor:
        assert array is not None
        return torch.from_numpy(array).to(self.cross_logit.weight.device)


def _by_field(values_MC: Tensor, widths: list[int], num_values_A: Tensor) -> list[Tensor]:
    """The mean [..., C] over the embeddings [..., M, C] of each field's values; one or more tensors to concatenate."""
    if max(widths) == 1:
        return [values_MC.flatten(-2)]
    fields = torch.split(values_MC, widths, dim=-2)
    return [
        values.squeeze(-2) if width == 1 else values.sum(-2) / num_values_A[..., field, None]
        for field, (width, values) in enumerate(zip(widths, fields, strict=True))
    ]


def _embedding(num_rows: int) -> nn.Embedding:
    """An embedding table that is initialised with 0; row 0 stays 0."""
    table = nn.Embedding(num_rows, _WIDTH, padding_idx=0, sparse=True)
    nn.init.zeros_(table.weight)
    return table
