"""Negatives from our own index: what the towers, as they are now, would wrongly answer a user with.

Once an epoch the catalogue is embedded and indexed as for serving, and every user of the training is asked once, with
the history before the last train positive (ANCE, Xiong et al. 2021, with users for queries). What is found and no known
positive of the user is a hard negative of all of the user's examples until the next epoch. An item that a user will
take only later cannot be told from a wrong answer; few negatives a user keep that harm small.

They are kept in memory alone: a training that goes on in the middle of an epoch mines anew, with the weights it has.
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

_ASKED = 1024
"""Users asked at a time."""
_SPARE = 100
"""Answers beyond those wanted that a search asks for, since a user's known positives are among the best of them."""


class HardNegatives:
    """`num` wrong answers for each user that trains."""

    def __init__(
        self, prepared: Prepared, examples: NDArray[np.int64], settings: Index, *, num: int, seed: int
    ) -> None:
        self._prepared, self._settings, self._num, self._seed = prepared, settings, num, seed
        user, item = prepared.samples.user[examples], prepared.samples.item[examples]
        self._last = examples[np.flatnonzero(np.append(user[1:] != user[:-1], True))]
        """The last example of each user; they are in the order of the users."""
        self._num_items = prepared.store.schema.num_item_rows
        self._known = np.unique(user.astype(np.int64) * self._num_items + item)
        self._drawable = np.flatnonzero(drawable(prepared, examples))
        self._place = np.full(prepared.store.schema.num_user_rows, -1)
        self._place[prepared.samples.user[self._last]] = np.arange(len(self._last))
        self.epoch = -1
        """Whose negatives these are."""
        self._found = np.zeros((0, num), np.int64)

    def of(self, user_E: NDArray[np.int64]) -> NDArray[np.int64]:
        """Item rows [E, num] for examples of these users; 0 is none."""
        found: NDArray[np.int64] = self._found[self._place[user_E]]
        return found

    def mine(self, epoch: int, embed: Callable[[Queries], NDArray[np.float32]], vector_ND: NDArray[np.float32]) -> None:
        """Find those of an epoch; `vector_ND` are the vectors of all item rows."""
        index = make_index(choose_factory(self._settings, len(self._drawable)), vector_ND[self._drawable], self._seed)
        parts = np.split(self._last, range(_ASKED, len(self._last), _ASKED))
        self._found = np.concatenate([self._wrong(part, embed, index) for part in parts])
        self.epoch = epoch

    def _wrong(
        self, at: NDArray[np.int64], embed: Callable[[Queries], NDArray[np.float32]], index: Any
    ) -> NDArray[np.int64]:
        """The best answers to the examples `at` that are no known positives, [Q, num]."""
        samples, store = self._prepared.samples, self._prepared.store
        user = samples.user[at].astype(np.int64)
        queries = store.queries(user, store.history_items, samples.start[at], samples.end[at], samples.context.take(at))
        depth = min(self._num + _SPARE, index.ntotal)
        _, position = index.search(np.ascontiguousarray(embed(queries)), depth)
        row = np.where(position < 0, 0, self._drawable[position])  # fewer answers than asked for
        right = np.isin(user[:, None] * self._num_items + row, self._known)
        right |= ~store.available.among(row, samples.time[at][:, None])
        best = np.argsort(right, axis=1, kind="stable")[:, : self._num]
        found = np.where(np.take_along_axis(right, best, 1), 0, np.take_along_axis(row, best, 1))
        return np.pad(found, ((0, 0), (0, self._num - found.shape[1])))
