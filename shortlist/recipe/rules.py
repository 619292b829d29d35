"""Business rules: which items a list may hold, and in which order."""

from typing import Annotated

from pydantic import Field

from shortlist.recipe.fields import Section

AtMost = dict[str, Annotated[int, Field(ge=1)]]


class Boost(Section):
    """Raises or lowers the scores of some items."""

    where: str
    """The items: those for which this expression over their attributes is true, like `label = 'own'`."""
    by: float = Field(ge=-100, le=100)
    """How much to add to the score, in standard deviations of the scores of a query's candidates."""


class Rules(Section):
    """Rules of every list, in the candidates of training, in evaluation and in the service. A query may add to them."""

    where: str | None = None
    """Only items for which this expression over their attributes is true, like `NOT category IN ('adult')`."""
    boost: list[Boost] = []
    """Items whose scores are raised or lowered."""
    at_most: AtMost = {}
    """The largest number of items with the same value of a category of `features.item`, like `{artist: 2}`."""
    diversity: float = Field(0.0, ge=0.0, le=1.0)
    """Weight of the dissimilarity of the listed items against their scores (maximal marginal relevance, Carbonell and
    Goldstein 1998)."""
