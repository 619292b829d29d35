"""Peers from RecTools: SASRec (Kang and McAuley 2018, with full softmax) and DSSM (Huang et al. 2013).

RecTools answers users, not queries; each query is asked as a user of its own whose interactions are its history.
"""

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import scipy.sparse as sp
from rectools import Columns
from rectools.dataset import Dataset, IdMap, Interactions, SparseFeatures
from rectools.dataset.torch_datasets import DSSMTrainDataset, DSSMUserDataset
from rectools.models import DSSMModel
from rectools.models.nn.transformers.sasrec import SASRecModel

from benchmarks.quality.rows import Ints, Rows
from shortlist.recommend.sources.popularity import Popularity

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class _Recommending:
    """What both share: queries as users, popularity for whoever cannot be asked."""

    rows: Rows
    model: Any

    def fit(self, rows: Rows) -> None:
        self.rows, self._lists = rows, np.zeros((len(rows), 0), np.int64)
        self._popularity = Popularity(rows.popularity)
        self.learn(rows)

    def learn(self, rows: Rows) -> None:
        raise NotImplementedError

    def asked(self) -> Dataset:
        """The queries whose history is known, as users."""
        raise NotImplementedError

    def rank(self, at: Ints, k: int) -> Ints:
        if self._lists.shape[1] != k:
            self._lists = self._recommend(k)
        return self._lists[at]

    def _recommend(self, k: int) -> Ints:
        dataset = self.asked()
        users = dataset.user_id_map.external_ids
        lists = self._popularity.rank(k, self.rows.exclude)
        found = self.model.recommend(users, dataset, k, filter_viewed=self.rows.masked)
        query, rank = found[Columns.User].to_numpy(), found[Columns.Rank].to_numpy()
        lists[users] = 0
        lists[query, rank - 1] = found[Columns.Item].to_numpy()
        return lists


class SasRec(_Recommending):
    """The last 200 events of each user make one sequence; positions are counted from the end.

    RecTools pads all sequences to one length and scores the padding too: it is no longer than the longest one here.
    """

    def __init__(
        self,
        seed: int,
        dim: int = 128,
        epochs: int = 30,
        loss: str = "softmax",
        dropout: float = 0.2,
        learning_rate: float = 0.001,
        length: int = 200,
    ) -> None:
        pl.seed_everything(seed)
        self.length = length
        self.settings = {
            "n_blocks": 2,
            "n_heads": 2,
            "n_factors": dim,
            "dropout_rate": dropout,
            "loss": loss,
            "n_negatives": 256,
            "lr": learning_rate,
            "batch_size": 128,
            "epochs": epochs,
        }

    def learn(self, rows: Rows) -> None:
        longest = max(int(np.bincount(rows.user_I).max()), *(len(history) for history in rows.histories))
        self.model = SASRecModel(session_max_len=min(self.length, longest), **self.settings)
        self.model.fit(Dataset.construct(_table(rows.user_I, rows.item_I)))

    def asked(self) -> Dataset:
        known = np.zeros(self.rows.num_items, bool)
        known[self.rows.item_I] = True
        kept = [q for q, history in enumerate(self.rows.histories) if known[history].any()]
        lengths = [len(self.rows.histories[q]) for q in kept]
        items = np.concatenate([self.rows.histories[q] for q in kept])
        return Dataset.construct(_table(np.repeat(kept, lengths), items))


class _AllItems(DSSMTrainDataset):  # type: ignore[misc]  # RecTools is not where types are checked
    """Its inputs are as wide as the catalogue, whichever items somebody had: one network reads train and queries."""

    @classmethod
    def from_dataset(cls, dataset: Any) -> Any:
        matrix = dataset.get_user_item_matrix(include_warm_items=True)
        return cls(dataset.item_features.get_sparse(), dataset.user_features.get_sparse(), matrix)


class _AskedOfAllItems(DSSMUserDataset):  # type: ignore[misc]  # as above
    """The same of those who ask."""

    @classmethod
    def from_dataset(cls, dataset: Any, keep_users: Any = None) -> Any:
        matrix = dataset.get_user_item_matrix(include_warm_users=True, include_warm_items=True)
        return cls(dataset.user_features.get_sparse(), matrix, keep_users)


class Dssm(_Recommending):
    """Towers over the user's interactions and over the item; without other features, the item's is its id."""

    def __init__(self, seed: int, dim: int = 128, epochs: int = 50, learning_rate: float = 0.01) -> None:
        pl.seed_everything(seed)
        self.dim, self.epochs, self.learning_rate = dim, epochs, learning_rate

    def learn(self, rows: Rows) -> None:
        from rectools.models.nn.dssm import DSSM  # noqa: PLC0415 -- the network; above is its wrapper

        network = DSSM(
            n_factors_user=self.dim,
            n_factors_item=self.dim,
            dim_input_item=rows.num_items,
            dim_input_user=1,
            dim_interactions=rows.num_items,
            lr=self.learning_rate,
        )
        self.model = DSSMModel(
            _AllItems,
            _AskedOfAllItems,
            model=network,
            max_epochs=self.epochs,
            batch_size=256,
            loggers=False,
            # Without one of ours, Lightning leaves the weights of every run in the folder that it was started in.
            callbacks=[pl.callbacks.ModelCheckpoint(save_top_k=0)],
        )
        users = np.unique(rows.user_I)
        self.model.fit(self._dataset(users, rows.user_I, rows.item_I))

    def asked(self) -> Dataset:
        kept = np.array([q for q, history in enumerate(self.rows.histories) if len(history)])
        histories = [self.rows.histories[q] for q in kept]
        return self._dataset(kept, np.repeat(kept, [len(one) for one in histories]), np.concatenate(histories))

    def _dataset(self, users: Ints, user: Ints, item: Ints) -> Dataset:
        """Item rows keep their numbers, so that one network fits both datasets."""
        items, all_users = IdMap(np.arange(self.rows.num_items)), IdMap(users)
        names = tuple((name, None) for name in range(self.rows.num_items))
        return Dataset(
            all_users,
            items,
            Interactions.from_raw(_table(user, item), all_users, items),
            user_features=SparseFeatures(sp.csr_matrix(np.ones((len(users), 1), np.float32)), (("user", None),)),
            item_features=SparseFeatures(sp.eye_array(self.rows.num_items, dtype=np.float32, format="csr"), names),
        )


def _table(user: Ints, item: Ints) -> pd.DataFrame:
    """Interactions in their order; RecTools wants a date of each."""
    times = pd.to_datetime(np.arange(len(user)), unit="s")
    return pd.DataFrame({Columns.User: user, Columns.Item: item, Columns.Weight: 1.0, Columns.Datetime: times})
