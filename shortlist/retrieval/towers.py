"""The two towers of retrieval, and the item inputs that they share.

Shapes: N requested items, W values of a categorical field, B histories, L events of each, T events of all of them
concatenated, E examples, U user width, D width of vectors and item inputs.

    item_inputs_ND = id + P [attributes; numbers; given embedding]       P [id; ...] if the width of the id is not D
    candidate_ND   = unit(item_inputs + mlp(item_inputs))
    query_ED       = unit(state_1 + mlp([states; user; query fields; numbers])), states = encoder(history's item_inputs)

Both towers are residual: they start from the item inputs and learn what to add. Before any training, a query vector is
therefore close to the items of its history. Several encoders give several states, and the first is the one that is
added to. `unit` divides by the length if the metric is cosine.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shortlist.features import FeatureSchema, FeatureStore, PackedQueries, Queries
from shortlist.hashing import hash_keys
from shortlist.recipe import Features, ItemFeatures, Retrieval, UnknownHash
from shortlist.retrieval.dropout import Dropout
from shortlist.retrieval.encoders import Packed, encoder_of
from shortlist.retrieval.negatives import StreamingFrequency, streaming_of
from shortlist.retrieval.tables import Categories, HashedIds, Table
from shortlist.retrieval.transfer import to_device


@dataclass(frozen=True)
class Items:
    """Features of N items; the row of an untrained or hidden id is 0."""

    row_N: Tensor
    categorical: dict[str, Tensor]
    """Field -> rows [N, W]."""
    dense_NF: Tensor
    """Numbers, then the text vector, then the given embedding."""
    rarity_N: Tensor
    """sqrt(mean popularity of the trained items / popularity of the item); 1 for untrained items."""
    key_N: Tensor | None = None
    """A 64-bit hash of each id, also of untrained or hidden ones; None if the towers do not read it."""

    def without_ids(self, hidden_N: Tensor) -> "Items":
        """The same items, some of them with an unknown id."""
        return replace(self, row_N=self.row_N.masked_fill(hidden_N, 0))


@dataclass(frozen=True)
class QueryInputs:
    """E queries, each over its own padded history, or all over packed histories."""

    packed: Packed | None
    """The layout of packed histories."""
    at_E: Tensor
    """Number of events of its history that a query sees; if packed, 1 + the last event that it sees, 0 for none."""
    user_E: Tensor
    categorical: dict[str, Tensor]
    """Qualified name -> rows [E, W]."""
    numeric_EF: Tensor


@dataclass(frozen=True)
class Trained:
    """Which item rows and user rows have a trained id: those with a positive."""

    items: NDArray[np.bool_]
    users: NDArray[np.bool_]

    @classmethod
    def open(cls, folder: Path) -> "Trained":
        """From a feature store, for the train window; from a refit's checkpoints, including the validation window."""
        return cls(np.load(folder / "items/trained.npy"), np.load(folder / "users/trained.npy"))

    def save(self, folder: Path) -> None:
        for table, rows in (("items", self.items), ("users", self.users)):
            (folder / table).mkdir(parents=True, exist_ok=True)
            np.save(folder / table / "trained.npy", rows)


class Inputs:
    """Makes the towers' input tensors from a store's memory-mapped arrays."""

    def __init__(self, store: FeatureStore, trained: Trained | None = None, *, hashes_ids: bool = False) -> None:
        """`trained` defaults to the items and users of the train window; `hashes_ids` if the towers hash unknown
        ids."""
        self.store = store
        # The row of no item has the key 0, so that ids outside the catalogue are one unknown id.
        self._key = np.append(np.uint64(0), hash_keys(store.items.keys)).view(np.int64) if hashes_ids else None
        trained = trained or Trained.open(store.folder)
        self.item_row = np.where(trained.items, np.arange(len(trained.items)), 0)
        taken = np.asarray(store.popularity, np.float64)
        mean = taken[taken > 0].mean() if taken.any() else 1.0
        self._rarity = np.sqrt(mean / np.where(taken > 0, taken, mean)).astype(np.float32)
        self.user_row = np.where(trained.users, np.arange(len(trained.users)), 0)

    def known(self) -> NDArray[np.bool_]:
        """Which items were trained or have a feature, [num_item_rows]; other vectors have no information."""
        there = (self.item_row > 0) | self.store.described()
        there[0] = False
        return there

    def items(self, rows_N: NDArray[np.int64], device: torch.device) -> Items:
        store = self.store
        dense = [store.item_numeric[rows_N]]
        if store.item_text is not None:
            dense.append(store.item_text[rows_N])
        if store.item_embedding is not None:
            dense.append(store.item_embedding[rows_N])
        return Items(
            to_device(device, self.item_row[rows_N]),
            {name: to_device(device, table[rows_N]) for name, table in store.item_categorical.items()},
            to_device(device, np.concatenate(dense, axis=1, dtype=np.float32)),
            to_device(device, self._rarity[rows_N]),
            None if self._key is None else to_device(device, self._key[rows_N]),
        )

    def query(self, queries: Queries | PackedQueries, device: torch.device) -> QueryInputs:
        if isinstance(queries, PackedQueries):
            packed, at_E = Packed.of(queries.length_B).to(device), queries.last_E + 1
        else:
            packed, at_E = None, queries.prefix_E
        return QueryInputs(
            packed,
            to_device(device, at_E),
            to_device(device, self.user_row[queries.user_E]),
            {name: to_device(device, rows) for name, rows in queries.categorical.items()},
            to_device(device, queries.numeric_EF),
        )


class ItemInputs(nn.Module):
    """The input of both towers for an item, [N, D].

    If candidates are compared by cosine, the length of an input is free to express how informative the item is about
    its users. For histories without order, where no encoder weighs the items, rare items start with a larger weight,
    1 / sqrt(popularity) as in LightGCN (He et al. 2020).
    """

    def __init__(self, schema: FeatureSchema, features: ItemFeatures, retrieval: Retrieval) -> None:
        super().__init__()
        id_dim, unknown = features.id_dim, features.unknown
        self.id = Table(schema.num_item_rows, id_dim, retrieval.metric)
        """Row 0 is any id without a trained row, unless these are hashed."""
        self.fields = Categories({field.name: field for field in schema.item.categorical}, retrieval.metric)
        self.numeric_dim = schema.item.numeric_dim + schema.item.text_dim
        # Given embeddings may have any scale.
        self.norm = nn.LayerNorm(schema.embedding_dim) if schema.embedding_dim else None
        width = self.fields.dim + self.numeric_dim + schema.embedding_dim
        self.adds_id = id_dim == retrieval.dim
        width += 0 if self.adds_id else id_dim
        # Without a bias, which would be common to all items and make their initial cosines nearly equal.
        self.project = nn.Linear(width, retrieval.dim, bias=False) if width else None
        self.hashed = HashedIds(unknown, id_dim, retrieval.metric) if isinstance(unknown, UnknownHash) else None
        self.weighs = retrieval.positions == "leave_one_out" and retrieval.metric == "cosine"

    def forward(self, items: Items) -> Tensor:
        input_ND = self._combined(items)
        return input_ND * items.rarity_N[:, None] if self.weighs else input_ND

    def unknown_ids(self, items: Items) -> Tensor:
        """The id embeddings that these items have while their ids are not trained, [N, id_dim]."""
        if self.hashed is None:
            return self.id.weight[0].expand(len(items.row_N), -1)
        assert items.key_N is not None, "Inputs must be made with hashes_ids"
        hashed_ND: Tensor = self.hashed(items.key_N)
        return hashed_ND

    def _id(self, items: Items) -> Tensor:
        known_ND: Tensor = self.id(items.row_N)
        if self.hashed is None:
            return known_ND
        return torch.where((items.row_N == 0)[:, None], self.unknown_ids(items), known_ND)

    def _combined(self, items: Items) -> Tensor:
        id_ND = self._id(items)
        parts = [] if self.adds_id else [id_ND]
        parts += self.fields(items.categorical)
        if self.numeric_dim:
            parts.append(items.dense_NF[:, : self.numeric_dim])
        if self.norm is not None:
            parts.append(self.norm(items.dense_NF[:, self.numeric_dim :]))
        if self.project is None:
            return id_ND
        projected_ND: Tensor = self.project(torch.cat(parts, dim=1))
        return id_ND + projected_ND if self.adds_id else projected_ND


class Head(nn.Module):
    """base + mlp([base; more]), initialised to the base alone."""

    def __init__(self, dim: int, more_dim: int, hidden: list[int], dropout: float) -> None:
        super().__init__()
        widths = [dim + more_dim, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), Dropout(dropout)]
        self.mlp = None
        if hidden or more_dim:
            final = nn.Linear(widths[-1], dim)
            self.mlp = nn.Sequential(*layers, final)
            nn.init.zeros_(final.weight)
            nn.init.zeros_(final.bias)

    def forward(self, base: Tensor, more: list[Tensor]) -> Tensor:
        if self.mlp is None:
            return base
        out: Tensor = base + self.mlp(torch.cat([base, *more], dim=-1))
        return out


class QueryTower(nn.Module):
    """The query vector of a user, a history and a context."""

    def __init__(self, schema: FeatureSchema, features: Features, retrieval: Retrieval) -> None:
        super().__init__()
        self.encoder = encoder_of(retrieval, schema.history_length)
        self.dim, width = retrieval.dim, retrieval.dim * self.encoder.num_states
        self.empty_D = nn.Parameter(torch.randn(width) * retrieval.dim**-0.5)
        self.fields = Categories(schema.query_fields, retrieval.metric)
        self.numeric_dim = schema.query_numeric_dim
        more = width - self.dim + features.user.id_dim + self.fields.dim + self.numeric_dim
        self.head = Head(retrieval.dim, more, retrieval.hidden, retrieval.dropout)
        self.unit = retrieval.metric == "cosine"

    def forward(self, history: Tensor, inputs: QueryInputs, user_EU: Tensor | None) -> Tensor:
        """Vectors [E, D] of queries; `history` has the item inputs of the histories, [B, L, D] or packed [T, D]."""
        if inputs.packed is None:
            state_ED = self.encoder.last(history, inputs.at_E)
            state_ED = torch.where((inputs.at_E > 0)[:, None], state_ED, self.empty_D.to(state_ED.dtype))
        else:
            state_TD = self.encoder(history, inputs.packed) if len(history) else history
            states = torch.cat([self.empty_D.to(state_TD.dtype)[None], state_TD])
            state_ED = states.index_select(0, inputs.at_E)
        base_ED, *more = torch.split(state_ED, self.dim, dim=1) if self.encoder.num_states > 1 else [state_ED]
        more += [] if user_EU is None else [user_EU]
        more += self.fields(inputs.categorical)
        if self.numeric_dim:
            more.append(inputs.numeric_EF)
        vector_ED: Tensor = self.head(base_ED, more)
        return _unit(vector_ED) if self.unit else vector_ED


class CandidateTower(nn.Module):
    """The candidate vector of an item's inputs."""

    def __init__(self, retrieval: Retrieval) -> None:
        super().__init__()
        self.head = Head(retrieval.dim, 0, retrieval.hidden, retrieval.dropout)
        self.unit = retrieval.metric == "cosine"

    def forward(self, inputs_ND: Tensor) -> Tensor:
        vector_ND: Tensor = self.head(inputs_ND, [])
        return _unit(vector_ND) if self.unit else vector_ND


class TwoTower(nn.Module):
    """Both towers over one `ItemInputs`, with the users' table if the recipe has one."""

    def __init__(self, schema: FeatureSchema, features: Features, retrieval: Retrieval) -> None:
        super().__init__()
        self.dim, self.metric = retrieval.dim, retrieval.metric
        self.items = ItemInputs(schema, features.item, retrieval)
        self.users = (
            Table(schema.num_user_rows, features.user.id_dim, retrieval.metric) if features.user.id_dim else None
        )
        self.query = QueryTower(schema, features, retrieval)
        self.candidate = CandidateTower(retrieval)
        streaming = streaming_of(retrieval)
        self.frequency = None if streaming is None else StreamingFrequency(streaming)
        """Read by the loss alone; it is here so that checkpoints contain it."""


def _unit(x_ND: Tensor) -> Tensor:
    return functional.normalize(x_ND.float(), dim=-1, eps=1e-6)
