"""The section on the lists: their statistics, the most recommended items, repeats, and the lists of some users."""

from html import escape

from shortlist.report.charts import Bar, Whisker, bars, whiskers
from shortlist.report.pieces import card, folded, note, section, table
from shortlist.report.record import Evaluated, Item, Lists, ListStatistics, Repeats, RunRecord, SampleUser
from shortlist.report.rules import rules
from shortlist.report.sources import sources
from shortlist.report.systems import Systems, color_of, metric_name

_REPEATS = {
    "buy_again": ("Buy again", "buy_again"),
    "popularity": ("Popularity", "popularity"),
    "masked": ("Served: without seen items", ""),
    "unmasked": ("The same, with repeats allowed", ""),
}


def lists(run: RunRecord, metric: str) -> str:
    """The section on the lists; empty if the evaluation has no list statistics."""
    one = run.evaluation
    if one is None or one.lists is None:
        return ""
    systems = Systems(run, one)
    served = one.lists.systems.get(systems.served)
    parts = [_shares(systems, one.lists), _most(systems, one.lists)] if served is not None else []
    if one.repeats is not None:
        parts.append(_repeats(one.repeats, systems.served, metric))
    if one.sources is not None:
        parts.append(sources(one.sources))
    if one.rules is not None:
        parts.append(rules(one.rules))
    parts.append(_users(one.sample_users, systems.served))
    return section("Lists", _summary(run, one.lists, served), "".join(parts))


def _summary(run: RunRecord, lists: Lists, served: ListStatistics | None) -> str:
    """One or two sentences on the quality of the lists."""
    if served is None:
        return "All users of the test queries are unknown, so that all lists are the cold-start fallback (popularity)."
    counted = f"The first {lists.k} items of {lists.queries - lists.by_popularity:,} lists"
    if lists.by_popularity:
        counted += f" ({lists.by_popularity:,} more lists are the cold-start fallback for unknown users)"
    problems = run.decision.verdict.list_problems if run.decision is not None else []
    if problems:
        return f"{counted} must not be served: {' '.join(problems)}."
    most = served.most_recommended[:1]
    top = f", and the most recommended item is in {_percent(most[0].share or 0)}" if most else ""
    return (
        f"{counted}: {_percent(served.distinct)} of the lists are distinct{top}. Of the recommended items, "
        f"{_percent(served.untrained)} were never trained on (of the test targets, "
        f"{_percent(lists.untrained_targets)}), and {_percent(served.tied)} have the score of another item of their "
        "list."
    )


def _percent(share: float) -> str:
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.1f}%" if 0 < share < 0.1 else f"{100 * share:.0f}%"


def _shares(systems: Systems, lists: Lists) -> str:
    shown = [name for name in systems.tables if name in lists.systems]
    columns = [lists.systems[name] for name in shown]
    rows = [
        ["Items never trained on", *(_percent(one.untrained) for one in columns), _percent(lists.untrained_items)],
        [
            "Items that share their vector",
            *(_percent(one.one_vector) for one in columns),
            _percent(lists.one_vector_items),
        ],
        ["Items that are both", *(_percent(one.indistinct) for one in columns), ""],
        ["Items with the score of another item of their list", *(_percent(one.tied) for one in columns), ""],
        ["Lists with such a tie", *(_percent(one.tied_lists) for one in columns), ""],
        ["Items in the longest tie of such a list", *(f"{one.longest_tie:.1f}" for one in columns), ""],
        ["Distinct lists", *(_percent(one.distinct) for one in columns), ""],
        ["Coverage of the catalogue", *(_percent(one.coverage) for one in columns), ""],
        ["Lists with the most recommended item", *(_top(one) for one in columns), ""],
    ]
    titles = ["", *(systems.name(name) for name in shown), "Of the catalogue"]
    return card("Statistics", table(titles, rows, range(1, len(titles)), [3, 6]))


def _top(one: ListStatistics) -> str:
    return _percent(one.most_recommended[0].share or 0) if one.most_recommended else ""


def _most(systems: Systems, lists: Lists) -> str:
    cards = []
    for name in dict.fromkeys((systems.served, "popularity")):
        most = lists.systems[name].most_recommended if name in lists.systems else []
        rows = [Bar(one.title or one.id, one.share or 0, f"{_percent(one.share or 0)} of lists") for one in most]
        if rows:
            cards.append(card("Most recommended", bars(rows, color_of(name)), systems.name(name)))
    return f'<div class="grid">{"".join(cards)}</div>' if cards else ""


def _repeats(repeats: Repeats, served: str, metric: str) -> str:
    text = (
        f"Of {repeats.positives:,} test positives, {repeats.repeats:,} ({_percent(repeats.share)}) are items that the "
        f"user already had; lists {'leave out' if repeats.masked else 'may contain'} seen items (evaluation.mask_seen)."
    )
    inner = note(text)
    rows = []
    for kind, (label, color) in _REPEATS.items():
        name = f"{served}_{kind}" if kind in ("masked", "unmasked") else kind
        value = repeats.systems.get(name, {}).get(metric)
        if value is not None:
            rows.append(Whisker(label, color_of(color or served), value.mean, value.low, value.high))
    if rows:
        title = f"{metric_name(metric)} of {repeats.queries:,} users, with repeats as targets"
        inner += whiskers([(title, rows)], zero=True)
    if repeats.advice is not None:
        inner += f'<p class="advice">{escape(repeats.advice[:1].upper() + repeats.advice[1:])}.</p>'
    return card("Repeats", inner)


def _users(users: list[SampleUser], served: str) -> str:
    """One folded table per user."""
    parts = []
    for one in users:
        listed = one.lists.get(served, [])
        hits = sum(item.hit or False for item in listed)
        kind = "cold-start fallback" if one.by_popularity else f"{hits} of {one.num_targets} targets found"
        title = f"User {one.user}: {one.history_length:,} events of history, {kind}"
        length = max(len(listed), len(one.history))
        rows = [[str(i + 1), _item(one.history, i), _item(listed, i)] for i in range(length)]
        parts.append(folded(title, table(("", "History, latest first", "List"), rows)))
    if not parts:
        return ""
    text = "From the shortest to the longest history. Hits are bold."
    return card("Some users and their lists", note(text) + "".join(parts))


def _item(items: list[Item], at: int) -> str:
    if at >= len(items):
        return ""
    one = items[at]
    name = escape(one.title or one.id) + (f" <small>{escape(one.id)}</small>" if one.title else "")
    return f"<b>{name}</b>" if one.hit else name


def advice(one: Evaluated | None) -> list[str]:
    """The changes of the recipe that the evaluation recommends."""
    return [one.repeats.advice] if one is not None and one.repeats is not None and one.repeats.advice else []
