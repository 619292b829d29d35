"""What was guessed and why, in lines for a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass

from shortlist.propose.describe import Described
from shortlist.propose.proposal import Proposal
from shortlist.propose.sample import Sample
from shortlist.propose.sizes import buys_again, has_idle_items, told

_NAMES = {"\t": "tab", " ": "blank"}


@dataclass(frozen=True)
class Guess:
    """One line: what, the value, and why."""

    what: str
    value: str
    why: str
    sure: bool = True


def summary(proposal: Proposal) -> list[Guess]:
    """The guesses in the order of the recipe; those that are not `sure` are for the user to check."""
    return list(_guesses(proposal))


def _guesses(proposal: Proposal) -> Iterator[Guess]:
    roles, volume, split = proposal.roles, proposal.volume, proposal.split
    yield from _file("events", proposal.events)
    if proposal.lists is not None:
        yield Guess("lists", "explode", proposal.lists.why, sure=False)
    yield Guess("user", roles.user.column.name, roles.user.why, roles.user.sure)
    yield Guess("item", roles.item.column.name, roles.item.why, roles.item.sure)
    if roles.time is not None and roles.moment is not None:
        sure = roles.time.sure and not roles.moment.doubt
        yield Guess("time", roles.moment.expression, roles.moment.doubt or roles.time.why, sure)
    else:
        yield Guess("time", "none", "the order of the rows counts" if roles.ordered else "the order is unknown")
    yield Guess("positives", proposal.meaning.positive, proposal.meaning.why, proposal.meaning.sure)
    if proposal.where is not None:
        yield Guess("left out", f"not {proposal.where[0]}", proposal.where[1].rstrip("."))
    for what, table in (("items", proposal.items), ("users", proposal.users)):
        if table is not None:
            yield from _described(what, table, in_log=table.sample is proposal.events)
    length = f"{told(split.test)} test, {told(split.valid)} validation" if split.kind == "temporal" else split.kind
    yield Guess("split", length, split.why, split.sure)
    sizes = f"{proposal.sizes['id_dim']} wide"
    yield Guess("models", sizes, f"about {volume.rows:,} events, {volume.users:,} users and {volume.items:,} items")
    if has_idle_items(proposal.idle):
        yield Guess("negatives", "mixed", f"{proposal.idle:.0%} of the items of the table have no event")
    if buys_again(volume):
        yield Guess("repeats", "stay in lists", f"{volume.repeats:.0%} of the positives are of items had before")
    if volume.duplicates > 0:
        yield Guess("duplicates", f"{volume.duplicates:.1%}", "of the rows repeat user, item and time", sure=False)
    if proposal.unused:
        yield Guess("not used", ", ".join(proposal.unused[:12]), "columns of the events that no guess fits")


def _file(what: str, sample: Sample) -> Iterator[Guess]:
    dialect, about = sample.dialect, "" if sample.whole else "about "
    yield Guess(what, sample.path, f"{about}{sample.rows:,} rows, {sample.frame.width} columns, {dialect.format}")
    for name, why in (dialect.reasons or {}).items():
        value = str(getattr(dialect, name))
        shown = {"header": {"False": "none"}, "quote": {"None": "none"}}.get(name, _NAMES).get(value, value)
        yield Guess(name, shown, why, sure=name != "encoding")


def _described(what: str, table: Described, *, in_log: bool) -> Iterator[Guess]:
    if in_log:
        yield Guess(what, "from the events", table.why, sure=False)
    else:
        yield from _file(what, table.sample)
        yield Guess(f"{what} id", table.key.name, table.why)
    attributes = table.attributes
    if attributes.title is not None:
        yield Guess("  title", attributes.title, "shown in answers")
    if attributes.text:
        yield Guess("  text", ", ".join(attributes.text), "words")
    if attributes.categorical:
        yield Guess("  categorical", ", ".join(one.name for one in attributes.categorical), "values that come again")
    if attributes.numeric:
        yield Guess("  numeric", ", ".join(attributes.numeric), "numbers")
    for name, why in attributes.unused.items():
        yield Guess("  not used", name, why)
