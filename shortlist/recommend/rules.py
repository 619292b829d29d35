"""Business rules of a list: those of the recipe, and those that a query adds or replaces.

| rule | what it does |
|---|---|
| `where` | only items that match an expression over their attributes |
| `only` | only these items |
| `boost` | adds to the score of some items |
| `at_most` | at most n items of one value of an attribute |
| `diversity` | trades score for distance between the items of a list |
| `pin` | these items first |

Shapes: N item rows, W values of a categorical field.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shortlist.features import FeatureStore
from shortlist.features.item_mask import ItemMask, WhereError
from shortlist.recipe import Recipe
from shortlist.recipe import Rules as RecipeRules
from shortlist.recommend.limits import Limit, within_limits

if TYPE_CHECKING:
    from shortlist.features.where import ItemFilter

_NO_ROWS = np.zeros(0, np.int64)
_KEPT = 16


class RuleError(ValueError):
    """A rule that cannot be applied; `where` is its location in the query or the recipe."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where, self.message = where, message


@dataclass(frozen=True)
class Boost:
    """`by` times the standard deviation of a query's scores, added to the scores of some items."""

    mask: ItemMask
    by: float


@dataclass(frozen=True)
class Rules:
    """The rules of one query."""

    mask: ItemMask | None = None
    boosts: tuple[Boost, ...] = ()
    limits: tuple[Limit, ...] = ()
    diversity: float = 0.0
    pins: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)
    """Item rows, in the order of the list."""

    def fitting(self, rows: NDArray[np.int64], num_rows: int) -> ItemMask:
        """The mask restricted to other items that still fit into a list of `rows`, which are taken in their order."""
        rows_N = np.ones(num_rows, np.bool_) if self.mask is None else self.mask.rows_N.copy()
        listed = rows[within_limits(rows, self.limits, len(rows), forced=len(self.pins))]
        for limit in self.limits:
            rows_N &= ~limit.full(listed)
        rows_N[rows] = False
        return ItemMask(rows_N)

    @property
    def reorders(self) -> bool:
        """Whether lower-scored items may move up."""
        return bool(self.boosts) or self.diversity > 0

    @property
    def shapes_lists(self) -> bool:
        """Whether the list differs from the order by score."""
        return bool(self.limits) or self.diversity > 0 or len(self.pins) > 0


@dataclass(frozen=True)
class QueryRules:
    """The rules that a query sets; None keeps the rule of the recipe."""

    where: str | None = None
    only: NDArray[np.int64] | None = None
    """Item rows, 0 for an unknown id."""
    boost: Sequence[tuple[str, float]] = ()
    at_most: dict[str, int] | None = None
    diversity: float | None = None
    pin: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)


class RuleBook:
    """The rules of one recipe over the items of one store. Safe to use from several threads."""

    def __init__(self, store: FeatureStore, rules: RecipeRules) -> None:
        """Raises RuleError when a rule of the recipe does not fit the items."""
        self._store = store
        self._items, self._values = store.items, store.item_categorical
        self._num_rows = store.schema.num_item_rows
        self._both = lru_cache(_KEPT)(_intersection)
        self._of_recipe = Rules(
            mask=None if rules.where is None else self._mask("rules.where", rules.where),
            boosts=tuple(
                Boost(self._mask(f"rules.boost.{i}.where", one.where), one.by) for i, one in enumerate(rules.boost)
            ),
            limits=self._limits("rules.at_most", rules.at_most),
            diversity=rules.diversity,
        )

    @cached_property
    def _filter(self) -> "ItemFilter":
        from shortlist.features.where import ItemFilter  # noqa: PLC0415 - a parser that few services need

        return ItemFilter(self._store)

    def of(self, query: QueryRules | None, excluded: NDArray[np.int64] = _NO_ROWS) -> Rules:
        """The recipe's rules combined with those of a query: both masks apply, boosts add up, other rules are replaced.

        Raises RuleError for a rule that does not fit the items, and for a pin that is `excluded` or left out by a mask.
        """
        mine = self._of_recipe
        if query is None:
            return mine
        masks = [] if mine.mask is None else [mine.mask]
        if query.where is not None:
            masks.append(self._mask("where", query.where))
        if query.only is not None:
            masks.append(self._only(query.only))
        mask, pins = self._all(masks), query.pin[query.pin > 0]
        for row in pins.tolist():
            if mask is not None and not mask.rows_N[row]:
                raise RuleError("pin", f"{self._id(row)} is pinned, but {mask.text} leaves it out")
            if row in excluded:
                raise RuleError("pin", f"{self._id(row)} is pinned and excluded; remove it from one of them")
        if len(set(pins.tolist())) < len(pins):
            raise RuleError("pin", "an item is pinned twice")
        boosts = (Boost(self._mask(f"boost[{i}].where", where), by) for i, (where, by) in enumerate(query.boost))
        return Rules(
            mask=mask,
            boosts=(*mine.boosts, *boosts),
            limits=mine.limits if query.at_most is None else self._limits("at_most", query.at_most),
            diversity=mine.diversity if query.diversity is None else query.diversity,
            pins=pins,
        )

    def _id(self, row: int) -> str:
        return repr(self._items.values(np.array([row]))[0])

    def _all(self, masks: list[ItemMask]) -> ItemMask | None:
        if not masks:
            return None
        mask = masks[0]
        for other in masks[1:]:
            mask = self._both(mask, other)
            if not mask.count:
                raise RuleError("where", f"no item matches {mask.text}")
        return mask

    def _only(self, rows: NDArray[np.int64]) -> ItemMask:
        rows_N = np.zeros(self._num_rows, np.bool_)
        rows_N[rows] = True
        rows_N[0] = False
        if not rows_N.any():
            raise RuleError("only", "the release knows none of these items")
        return ItemMask(rows_N, "`only`")

    def _mask(self, where: str, text: str) -> ItemMask:
        try:
            return self._filter.mask(text)
        except WhereError as error:
            raise RuleError(where, str(error)) from None

    def _limits(self, where: str, at_most: dict[str, int]) -> tuple[Limit, ...]:
        for name in at_most:
            if name not in self._values:
                there = ", ".join(self._values) or "none"
                raise RuleError(f"{where}.{name}", f"items have no category {name!r}; there are: {there}")
        return tuple(Limit(name, most, self._values[name]) for name, most in at_most.items())


def check_rules(recipe: Recipe, store: FeatureStore) -> None:
    """Check the rules of a recipe. Raises RuleError when a rule does not fit the items of a store."""
    RuleBook(store, recipe.rules)


def _intersection(one: ItemMask, other: ItemMask) -> ItemMask:
    return ItemMask(one.rows_N & other.rows_N, f"{one.text} and {other.text}")
