"""Several candidate sources as one.

Shapes: as in `sources`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.query import Rows
from shortlist.recommend.sources import Encoded, Found, Source
from shortlist.recommend.sources.blend import Blend, blend_lists
from shortlist.retrieval.retrieve import Retriever


@dataclass(frozen=True)
class Member:
    """A source of a blend."""

    source: Source
    weight: float
    """Its weight for queries that select no sources; 0 for a source that these queries do not use."""
    masks_seen: bool
    """Whether it leaves out items that the user has seen."""


class BlendedSource:
    """The candidates of its members in one list, without duplicates (`blend.blend_lists`).

    The candidates get inner products as retrieval scores, also those that the towers did not find, so that a ranker can
    compare all of them.
    """

    searches = True

    def __init__(
        self,
        name: str,
        members: Sequence[Member],
        retriever: Retriever,
        *,
        blend: Blend,
        for_known: bool,
        masks_seen: bool,
    ) -> None:
        """For queries that the towers answer, or for the others; `masks_seen`: the dropped rows include seen items."""
        self.name, self.ranked = name, for_known
        self.members = members
        self._retriever, self._blend, self._masks_seen = retriever, blend, masks_seen

    def answers(self, encoded: Encoded) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = encoded.known_E == self.ranked
        anchored_E = encoded.batch.anchored_E
        return found & ~anchored_E if len(anchored_E) else found

    def _used(self, member: Member, encoded: Encoded) -> NDArray[np.bool_]:
        answers_E, selected = member.source.answers(encoded), encoded.batch.sources
        if member.weight > 0:
            return answers_E
        return answers_E & np.array([one is not None for one in selected] or [False], np.bool_)

    def find(self, encoded: Encoded, at_A: NDArray[np.int64], depth_A: NDArray[np.int64], dropped: list[Rows]) -> Found:
        width = int(depth_A.max(initial=0))
        shape = len(at_A), len(self.members), width
        rows_ASK, scores_ASK = np.zeros(shape, np.int64), np.full(shape, -np.inf, np.float32)
        for s, member in enumerate(self.members):
            of = np.flatnonzero(self._used(member, encoded)[at_A])
            if not len(of):
                continue
            without = [self._dropped(member, encoded, int(at_A[a]), dropped[a]) for a in of.tolist()]
            found = member.source.find(encoded, at_A[of], depth_A[of], without)
            rows_ASK[of, s, : found.rows_AK.shape[1]] = found.rows_AK
            scores_ASK[of, s, : found.rows_AK.shape[1]] = found.scores_AK
        weight_S = np.array([member.weight or 1.0 for member in self.members])
        found = blend_lists(rows_ASK, scores_ASK, weight_S, self._blend, depth_A)
        return found._replace(inner_AK=self._inner(encoded, at_A, found)) if self.ranked else found

    def _dropped(self, member: Member, encoded: Encoded, e: int, dropped: Rows) -> Rows:
        """The rows that a member must not return, if it treats seen items unlike the other stages."""
        if member.masks_seen == self._masks_seen:
            return dropped
        batch = encoded.batch
        seen = batch.seen[e] if len(batch.seen) else np.zeros(0, np.int64)
        if member.masks_seen:
            return np.concatenate([dropped, seen])
        excluded = batch.excluded[e] if len(batch.excluded) else np.zeros(0, np.int64)
        return np.concatenate([np.setdiff1d(dropped, seen), excluded, encoded.rules[e].pins])

    def _inner(self, encoded: Encoded, at_A: NDArray[np.int64], found: Found) -> NDArray[np.float32]:
        """Inner products of the query vectors and all candidates, [A, K]."""
        inner_AK = np.full(found.rows_AK.shape, -np.inf, np.float32)
        for a, e in enumerate(at_A.tolist()):
            count = np.count_nonzero(found.rows_AK[a])
            vectors_KD = self._retriever.item_vectors(found.rows_AK[a, :count])
            inner_AK[a, :count] = vectors_KD @ encoded.vector_ED[e]
        return inner_AK


def labels_of(source: Source) -> list[str]:
    """The names by which the items of a source are labelled: those of the members of a blend, otherwise its own."""
    return [member.source.name for member in source.members] if isinstance(source, BlendedSource) else [source.name]
