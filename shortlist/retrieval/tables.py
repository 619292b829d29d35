"""Embedding tables.

Shapes: N items, W values of a categorical field, K hash functions, D width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shortlist.features import CategoricalField
from shortlist.recipe import UnknownHash

_SPARSE_FROM = 30_000
"""Number of rows from which a table is updated sparsely; below it, a dense update is faster."""
_HALF = (1 << 31) - 1


class Table(nn.Embedding):
    """An embedding table, updated sparsely if it is long."""

    def __init__(self, num_rows: int, dim: int, metric: str) -> None:
        super().__init__(num_rows, dim, sparse=num_rows >= _SPARSE_FROM)
        # Unit rows for cosine; with inner products, training works best if all candidates start nearly equal.
        nn.init.normal_(self.weight, std=dim**-0.5 if metric == "cosine" else 0.02)

    def forward(self, rows: Tensor) -> Tensor:
        """Embeddings [..., dim] of rows [...]."""
        if self.sparse:
            return super().forward(rows)
        # On a CPU, its backward pass takes a third of the time of nn.Embedding's.
        return self.weight.index_select(0, rows.flatten()).view(*rows.shape, self.embedding_dim)


class Categories(nn.Module):
    """Concatenated embeddings of a table's categorical fields; several values are averaged, 0 is no value."""

    def __init__(self, fields: Mapping[str, CategoricalField], metric: str) -> None:
        super().__init__()
        self.tables = nn.ModuleDict({slot(name): Table(one.num_rows, one.dim, metric) for name, one in fields.items()})
        self.names = list(fields)
        self.dim = sum(field.dim for field in fields.values())

    def forward(self, rows: Mapping[str, Tensor]) -> list[Tensor]:
        return [self._mean(self.tables[slot(name)], rows[name]) for name in self.names]

    def _mean(self, of: nn.Module, rows_NW: Tensor) -> Tensor:
        if rows_NW.shape[1] == 1:
            only: Tensor = of(rows_NW[:, 0])
            return only
        known_NW1 = (rows_NW > 0).unsqueeze(2).to(torch.float32)
        mean: Tensor = (of(rows_NW) * known_NW1).sum(1) / known_NW1.sum(1).clamp_min(1.0)
        return mean


class HashedIds(nn.Module):
    """Embeddings of ids without a trained row: the sum of K rows of a small table, divided by sqrt(K).

    The rows are chosen by hash functions of the id (double hashing, Kirsch & Mitzenmacher 2006), so two ids have the
    same embedding only if they collide in all of them (Svenstrup et al. 2017). The division makes an embedding as long
    as one of a trained id at the start.
    """

    def __init__(self, settings: UnknownHash, dim: int, metric: str) -> None:
        super().__init__()
        self.hashes, self.buckets = settings.hashes, settings.buckets
        self.table = Table(settings.buckets, dim, metric)

    def forward(self, key_N: Tensor) -> Tensor:
        """Embeddings [N, D] of ids with these keys, int64 that are distributed uniformly."""
        step_N, first_N = key_N >> 32 & _HALF | 1, key_N & _HALF
        function_K = torch.arange(self.hashes, device=key_N.device)
        row_NK = (first_N[:, None] + function_K * step_N[:, None]) % self.buckets
        sum_ND: Tensor = self.table(row_NK).sum(1) * self.hashes**-0.5
        return sum_ND


def slot(name: str) -> str:
    """A qualified name as PyTorch and ONNX accept it."""
    return name.replace(".", "_")
