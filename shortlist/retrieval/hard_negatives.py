"""Hard negatives: items that the current towers would wrongly retrieve for a user.

Once per epoch the catalogue is embedded and indexed as for serving, and one query is made for every user of the
training, with the history before the last train positive (ANCE, Xiong et al. 2021, with users as queries). The items
found that are not known positives of the user are hard negatives of all of the user's examples until the next epoch.
Items that the user will take only later cannot be distinguished from wrong answers; using few negatives per user limits
this error.

Hard negatives are kept in memory only: a training that is resumed within an epoch mines them anew, with the current
weights.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared
from shortlist.features import Queries
from shortlist.recipe import Index
from shortlist.retrieval.faiss_index import choose_factory, make_index
from shortlist.retrieval.negatives import drawable

_BLOCK = 1024
"""Users queried per block."""
_SPARE = 100
"""Number of additional results of a search, since a user's known positives are among the best."""


class HardNegatives:
    """`num` hard negatives for each user of the training."""

    def __init__(
        self, prepared: Prepared, examples: NDArray[np.int64], settings: Index, *, num: int, seed: int
    ) -> None:
        self._prepared, self._settings, self._num, self._seed = prepared, settings, num, seed
        user, item = prepared.samples.user[examples], prepared.samples.item[examples]
        self._last = examples[np.flatnonzero(np.append(user[1:] != user[:-1], True))]
        """The last example of each user; examples are ordered by user."""
        self._num_items = prepared.store.schema.num_item_rows
        self._known = np.unique(user.astype(np.int64) * self._num_items + item)
        self._drawable = np.flatnonzero(drawable(prepared, examples))
        self._place = np.full(prepared.store.schema.num_user_rows, -1)
        self._place[prepared.samples.user[self._last]] = np.arange(len(self._last))
        self.epoch = -1
        """The epoch of the current negatives."""
        self._found = np.zeros((0, num), np.int64)

    def of(self, user_E: NDArray[np.int64]) -> NDArray[np.int64]:
        """Item rows [E, num] for examples of these users; 0 is padding."""
        found: NDArray[np.int64] = self._found[self._place[user_E]]
        return found

    def mine(self, epoch: int, embed: Callable[[Queries], NDArray[np.float32]], vector_ND: NDArray[np.float32]) -> None:
        """Find the hard negatives of an epoch; `vector_ND` are the vectors of all item rows."""
        index = make_index(choose_factory(self._settings, len(self._drawable)), vector_ND[self._drawable], self._seed)
        parts = np.split(self._last, range(_BLOCK, len(self._last), _BLOCK))
        self._found = np.concatenate([self._wrong(part, embed, index) for part in parts])
        self.epoch = epoch

    def _wrong(
        self, at: NDArray[np.int64], embed: Callable[[Queries], NDArray[np.float32]], index: Any
    ) -> NDArray[np.int64]:
        """The best items for the examples `at` that are not known positives, [Q, num]."""
        samples, store = self._prepared.samples, self._prepared.store
        user = samples.user[at].astype(np.int64)
        queries = store.queries(user, store.history_items, samples.start[at], samples.end[at], samples.context.take(at))
        depth = min(self._num + _SPARE, index.ntotal)
        _, position = index.search(np.ascontiguousarray(embed(queries)), depth)
        row = np.where(position < 0, 0, self._drawable[position])  # fewer results than requested
        right = np.isin(user[:, None] * self._num_items + row, self._known)
        right |= ~store.available.among(row, samples.time[at][:, None])
        best = np.argsort(right, axis=1, kind="stable")[:, : self._num]
        found = np.where(np.take_along_axis(right, best, 1), 0, np.take_along_axis(row, best, 1))
        return np.pad(found, ((0, 0), (0, self._num - found.shape[1])))
