"""What is proposed of a data set, before it is written down."""

from dataclasses import dataclass

from shortlist.propose.describe import Described
from shortlist.propose.lists import Lists
from shortlist.propose.meaning import Meaning
from shortlist.propose.roles import Roles
from shortlist.propose.sample import Sample
from shortlist.propose.sizes import SplitGuess, Volume


@dataclass(frozen=True)
class Proposal:
    name: str
    events: Sample
    """Of a log with lists, one row per item."""
    roles: Roles
    meaning: Meaning
    split: SplitGuess
    volume: Volume
    sizes: dict[str, object]
    items: Described | None
    users: Described | None
    where: tuple[str, str] | None
    """The condition under which rows are read, and why."""
    earliest: str | None
    unreferenced: float
    """Share of the events whose item the items table does not have."""
    idle: float
    """Share of the items of the items table that have no event; 0 if only a part of the events was read."""
    clock: bool
    """Whether the hour is a feature."""
    unused: list[str]
    """Columns of the events."""
    lists: Lists | None = None
    """How a log with lists is unfolded."""
