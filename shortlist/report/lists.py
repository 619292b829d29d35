"""What the lists hold: shares that should be small, the most recommended items, repeats, and some users' lists."""

from html import escape

from shortlist.report.charts import Bar, Whisker, bars, whiskers
from shortlist.report.pieces import card, folded, note, section, table
from shortlist.report.record import Evaluated, Item, Lists, ListStatistics, Repeats, RunRecord, SampleUser
from shortlist.report.systems import Systems, color_of, metric_name

_REPEATS = {
    "buy_again": ("Buy again", "buy_again"),
    "popularity": ("Popularity", "popularity"),
    "masked": ("Served: without what a user has", ""),
    "unmasked": ("The same, with repeats allowed", ""),
}


def lists(run: RunRecord, metric: str) -> str:
    """The section of lists; nothing where evaluate told nothing of them."""
    one = run.evaluation
    if one is None or one.lists is None:
        return ""
    systems = Systems(run, one)
    served = one.lists.systems.get(systems.served)
    parts = [_shares(systems, one.lists), _most(systems, one.lists)] if served is not None else []
    if one.repeats is not None:
        parts.append(_repeats(one.repeats, systems.served, metric))
    parts.append(_users(one.sample_users, systems.served))
    return section("Lists", _plainly(run, one.lists, served), "".join(parts))


def _plainly(run: RunRecord, told: Lists, served: ListStatistics | None) -> str:
    """The verdict in a sentence or two."""
    if served is None:
        return "Nothing was known of any user who was asked, so that all lists are of what is popular."
    asked = f"The first {told.k} items of {told.queries - told.by_popularity:,} lists"
    if told.by_popularity:
        asked += f" ({told.by_popularity:,} more are of what is popular, since nothing was known of the user)"
    problems = run.decision.verdict.list_problems if run.decision is not None else []
    if problems:
        return f"{asked} are not fit to be served: {' '.join(problems)}."
    most = served.most_recommended[:1]
    top = f", and the item in most of them is in {_percent(most[0].share or 0)}" if most else ""
    return (
        f"{asked}: {_percent(served.distinct)} of them are distinct{top}. Of what they hold, "
        f"{_percent(served.untrained)} was never trained on (of what users then took, "
        f"{_percent(told.untrained_targets)}), and {_percent(served.tied)} has the score of another item of the list."
    )


def _percent(share: float) -> str:
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.1f}%" if 0 < share < 0.1 else f"{100 * share:.0f}%"


def _shares(systems: Systems, told: Lists) -> str:
    shown = [name for name in systems.tables if name in told.systems]
    columns = [told.systems[name] for name in shown]
    rows = [
        ["Items never trained on", *(_percent(one.untrained) for one in columns), _percent(told.untrained_items)],
        ["Items of one vector", *(_percent(one.one_vector) for one in columns), _percent(told.one_vector_items)],
        ["Items that are both", *(_percent(one.indistinct) for one in columns), ""],
        ["Items of the same score as another of the list", *(_percent(one.tied) for one in columns), ""],
        ["Lists with such a tie", *(_percent(one.tied_lists) for one in columns), ""],
        ["Items in the longest tie of these", *(f"{one.longest_tie:.1f}" for one in columns), ""],
        ["Distinct lists", *(_percent(one.distinct) for one in columns), ""],
        ["Items of the catalogue in any list", *(_percent(one.coverage) for one in columns), ""],
        ["Lists that hold the most recommended item", *(_top(one) for one in columns), ""],
    ]
    titles = ["", *(systems.name(name) for name in shown), "Of the catalogue"]
    return card("What they hold", table(titles, rows, range(1, len(titles)), [3, 6]))


def _top(one: ListStatistics) -> str:
    return _percent(one.most_recommended[0].share or 0) if one.most_recommended else ""


def _most(systems: Systems, told: Lists) -> str:
    cards = []
    for name in dict.fromkeys((systems.served, "popularity")):
        most = told.systems[name].most_recommended if name in told.systems else []
        rows = [Bar(one.title or one.id, one.share or 0, f"{_percent(one.share or 0)} of lists") for one in most]
        if rows:
            cards.append(card("Most recommended", bars(rows, color_of(name)), systems.name(name)))
    return f'<div class="grid">{"".join(cards)}</div>' if cards else ""


def _repeats(told: Repeats, served: str, metric: str) -> str:
    said = (
        f"Of {told.positives:,} items that users took in the test, they had taken {told.repeats:,} "
        f"({_percent(told.share)}) before; lists {'leave out' if told.masked else 'may hold'} what a user has "
        "(evaluation.mask_seen)."
    )
    inner = note(said)
    rows = []
    for kind, (label, color) in _REPEATS.items():
        name = f"{served}_{kind}" if kind in ("masked", "unmasked") else kind
        value = told.systems.get(name, {}).get(metric)
        if value is not None:
            rows.append(Whisker(label, color_of(color or served), value.mean, value.low, value.high))
    if rows:
        asked = f"{metric_name(metric)} of {told.queries:,} users, where repeats count as well"
        inner += whiskers([(asked, rows)], zero=True)
    if told.advice is not None:
        inner += f'<p class="advice">{escape(told.advice[:1].upper() + told.advice[1:])}.</p>'
    return card("Repeats", inner)


def _users(users: list[SampleUser], served: str) -> str:
    """One table a user, folded but for the first two."""
    parts = []
    for one in users:
        given = one.lists.get(served, [])
        hits = sum(item.hit or False for item in given)
        kind = "what is popular, since nothing is known" if one.by_popularity else f"{hits} of {one.num_targets} found"
        title = f"User {one.user}: {one.history_length:,} events of history, {kind}"
        length = max(len(given), len(one.history))
        rows = [[str(i + 1), _item(one.history, i), _item(given, i)] for i in range(length)]
        parts.append(folded(title, table(("", "History, the latest first", "List"), rows)))
    if not parts:
        return ""
    said = "From the shortest to the longest history. What a user then took is bold."
    return card("Some users and their lists", note(said) + "".join(parts))


def _item(items: list[Item], at: int) -> str:
    if at >= len(items):
        return ""
    one = items[at]
    name = escape(one.title or one.id) + (f" <small>{escape(one.id)}</small>" if one.title else "")
    return f"<b>{name}</b>" if one.hit else name


def advice(one: Evaluated | None) -> list[str]:
    """What the evaluation recommends for the recipe."""
    return [one.repeats.advice] if one is not None and one.repeats is not None and one.repeats.advice else []
