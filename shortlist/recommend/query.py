"""Queries as all stages read them.

Shapes: E queries, L history length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features import FeatureSchema, Queries
from shortlist.features.vocabulary import UNKNOWN
from shortlist.recipe import Recipe
from shortlist.recommend.rules import Rules

Rows = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class QueryBatch:
    """E encoded queries, and what the filters have to know of them."""

    queries: Queries
    time_E: NDArray[np.int64]
    """When each is asked, seconds since the epoch: what is not available then is no candidate."""
    seen: Sequence[Rows]
    """Item rows of the whole history of each user, in any order; 0 for an item that is not known."""
    excluded: Sequence[Rows] = ()
    """Item rows that must not come back, whatever the recipe says; none where it is empty."""
    described_E: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Whether a query tells of its user; of none where it is empty."""
    item_E: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Item rows whose neighbours are wanted instead of what suits the user, 0 for none; empty where no query does."""
    anchored_E: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Which queries name such an item, also one that is not known; empty where none does."""
    rules: Sequence[Rules] = ()
    """What each list must keep to; where it is empty, what the recipe says."""

    def __len__(self) -> int:
        return len(self.time_E)

    def known(self, *, reads_profiles: bool) -> NDArray[np.bool_]:
        """Which queries the towers answer, [E]."""
        found = is_known(self.queries.prefix_E, self.queries.user_E, reads_profiles=reads_profiles)
        return found | self.described_E if len(self.described_E) else found


def is_known(
    length_E: NDArray[np.integer[Any]], user_E: NDArray[np.integer[Any]], *, reads_profiles: bool
) -> NDArray[np.bool_]:
    """Whether the towers have something to go by, [E]: a history, or a user whom they know something of."""
    found: NDArray[np.bool_] = length_E > 0
    return found | (user_E != UNKNOWN) if reads_profiles else found


def reads_profiles(recipe: Recipe, schema: FeatureSchema) -> bool:
    """Whether the query tower reads anything of a user beside the history."""
    user = schema.user
    return bool(user.categorical or user.numeric or user.text or recipe.features.user.id_dim)
