"""The ranker's network: DCN-v2 over query, candidate and cross features, beside a direct path of the retrieval score.

Shapes: E questions, K candidates each, P width of a projected vector, A fields of an item, M values of all of them,
C width of an embedding, Q query features.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist.ranking.crossnet import CrossNetwork
from shortlist.ranking.features import InputReader, Inputs, ItemTables, RankerConfig
from shortlist.ranking.request import RankingRequest

_WIDTH = 8
"""Of every embedding."""
_PROJECTION = 16
"""Of query and item vectors."""


class RankingModel(nn.Module):
    """`logit = s * z(retrieval score) + w . [cross(x0); deep(x0)]`, with x0 all features of a candidate.

    `w` starts at 0 and `s` at 1: untrained, it orders as retrieval does.
    x0 holds of the query its projected vector, numbers and categories; of the item its numbers and popularity; of both
    the retrieval score and how much of the history has the item's values. With `config.embeddings` also the item's
    projected vector, its product with the query's, and embeddings of the item and its values.
    """

    def __init__(self, config: RankerConfig, tables: ItemTables) -> None:
        super().__init__()
        self.config = config
        self._reader = InputReader(config, tables)
        # What training never meets must not disturb: items, words and users start at nothing.
        self.values = _embedding(sum(config.item_sizes)) if config.embeddings else None
        self.users = _embedding(config.num_user_rows) if config.num_user_rows else None
        query_fields = list(config.query_fields.values())
        self._query_widths = [field.max_values for field in query_fields]
        self.query_values = _embedding(sum(field.num_rows for field in query_fields)) if query_fields else None
        self.project_query = nn.Linear(config.vector_dim, _PROJECTION)
        self.project_item = nn.Linear(config.vector_dim, _PROJECTION) if config.embeddings else None

        num_item_fields, num_query_fields = len(config.item_widths), len(query_fields) + (self.users is not None)
        query_dim = _PROJECTION + config.query_numeric_dim + 1 + _WIDTH * num_query_fields
        identity_dim = 2 * _PROJECTION + _WIDTH * num_item_fields if config.embeddings else 0
        dim = query_dim + config.item_numeric_dim + 1 + identity_dim + 1 + 2 * num_item_fields
        self.cross = CrossNetwork(dim, config.cross_layers, config.low_rank if config.low_rank < dim else 0)
        layers: list[nn.Module] = []
        for width, hidden in zip([dim, *config.hidden], config.hidden, strict=False):
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(config.dropout)]
        self.deep = nn.Sequential(*layers)
        self.cross_logit = nn.Linear(dim, 1)
        self.deep_logit = nn.Linear((config.hidden or [dim])[-1], 1, bias=False)
        for weight in (self.cross_logit.weight, self.cross_logit.bias, self.deep_logit.weight):
            nn.init.zeros_(weight)
        self.score_weight = nn.Parameter(torch.ones(()))

    def forward(self, request: RankingRequest) -> Tensor:
        """Logits [E, K], higher is better; what a padded candidate gets means nothing."""
        inputs = self._reader.read(request)
        score_EK = self._tensor(inputs.score_EK)
        query_EP = self.project_query(self._tensor(inputs.query_vector_ED))
        query_EQ = [query_EP, self._tensor(inputs.query_numeric_EF)]
        if self.query_values is not None:
            values_EMC = self.query_values(self._tensor(inputs.query_keys_EM))
            query_EQ += _by_field(values_EMC, self._query_widths, self._tensor(inputs.query_num_values_EA))
        if self.users is not None:
            query_EQ.append(self.users(self._tensor(inputs.user_E)))
        x0 = torch.cat(
            [
                torch.cat(query_EQ, dim=-1)[:, None].expand(-1, score_EK.shape[1], -1),
                *self._identity(inputs, query_EP),
                self._tensor(inputs.numeric_EKF),
                score_EK[..., None],
            ],
            dim=-1,
        )
        learnt_EK1 = self.cross_logit(self.cross(x0)) + self.deep_logit(self.deep(x0))
        logits_EK: Tensor = self.score_weight * score_EK + learnt_EK1.squeeze(-1).float()
        return logits_EK

    def _identity(self, inputs: Inputs, query_EP: Tensor) -> list[Tensor]:
        """What tells one item from another, where the recipe asks for it."""
        if self.values is None or self.project_item is None or inputs.vectors_EKD is None:
            return []
        item_EKP = self.project_item(self._tensor(inputs.vectors_EKD))
        values_EKMC = self.values(self._tensor(inputs.keys_EKM))
        num_values_EKA = self._tensor(inputs.num_values_EKA)
        return [
            item_EKP,
            item_EKP * query_EP[:, None],
            *_by_field(values_EKMC, self.config.item_widths, num_values_EKA),
        ]

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.score_weight.device)


def _by_field(values_MC: Tensor, widths: list[int], num_values_A: Tensor) -> list[Tensor]:
    """The mean [..., C] over the embeddings [..., M, C] of each field's values; one or more tensors, to be joined."""
    if max(widths) == 1:
        return [values_MC.flatten(-2)]
    fields = torch.split(values_MC, widths, dim=-2)
    return [
        values.squeeze(-2) if width == 1 else values.sum(-2) / num_values_A[..., field, None]
        for field, (width, values) in enumerate(zip(widths, fields, strict=True))
    ]


def _embedding(num_rows: int) -> nn.Embedding:
    """Row 0 stays 0."""
    table = nn.Embedding(num_rows, _WIDTH, padding_idx=0, sparse=True)
    nn.init.zeros_(table.weight)
    return table
