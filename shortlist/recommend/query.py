"""The batch of queries that all stages read.

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
    """E encoded queries with the data that the filters need."""

    queries: Queries
    time_E: NDArray[np.int64]
    """Time of each query, seconds since the epoch: items that are not available at that time are not candidates."""
    seen: Sequence[Rows]
    """Item rows of the whole history of each user, in any order; 0 for an unknown item."""
    excluded: Sequence[Rows] = ()
    """Item rows to leave out, whatever the recipe says; empty if no query excludes items."""
    described_E: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Whether a query describes its user; empty if none does."""
    item_E: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Item rows for which similar items are requested instead of items for the user, 0 for none; empty if no query
    requests them."""
    anchored_E: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Which queries name such an item, including unknown ones; empty if none does."""
    rules: Sequence[Rules] = ()
    """The rules of each list; if empty, those of the recipe."""
    sources: Sequence[frozenset[str] | None] = ()
    """The names of the candidate sources that each query selects, None for all; if empty, no query selects any."""
    objective_EO: NDArray[np.float32] | None = None
    """The weights of the objectives of each query; None for those of the recipe."""

    def __len__(self) -> int:
        return len(self.time_E)

    def known(self, *, reads_profiles: bool) -> NDArray[np.bool_]:
        """Which queries the towers can answer, [E]."""
        found = is_known(self.queries.prefix_E, self.queries.user_E, reads_profiles=reads_profiles)
        return found | self.described_E if len(self.described_E) else found


def is_known(
    length_E: NDArray[np.integer[Any]], user_E: NDArray[np.integer[Any]], *, reads_profiles: bool
) -> NDArray[np.bool_]:
    """Whether the towers have input to use, [E]: a history, or a known user."""
    found: NDArray[np.bool_] = length_E > 0
    return found | (user_E != UNKNOWN) if reads_profiles else found


def reads_profiles(recipe: Recipe, schema: FeatureSchema) -> bool:
    """Whether the query tower reads user features besides the history."""
    user = schema.user
    return bool(user.categorical or user.numeric or user.text or recipe.features.user.id_dim)
