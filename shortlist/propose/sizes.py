"""A split that fits the span of the events, and models that fit their number."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.propose.columns import Column

_HOUR, _DAY = 3_600, 86_400
_LADDER = [
    *(_HOUR * hours for hours in (1, 3, 6, 12)),
    *(_DAY * days for days in (1, 2, 3, 7, 14, 28, 56, 91, 182, 365, 730)),
]
"""Lengths of a test window; the shortest that holds enough is taken: a release serves days, not years."""
_MOST_OF_SPAN = 0.2
_ENOUGH, _SHARE = 1_000, 0.02
_RETURNING = 0.1
_REPEATS = 0.3
_IDLE = 0.2
_WINDOWS_FROM = 300_000
"""Events from which on a sample is a window of a history, not an event."""
_STEPS = 16
"""At least so many steps an epoch, where a step is a batch of users."""
_QUERIES = 200
_ASKED_SHARES = (0.15, 0.08, 0.04, 0.0)
"""Of the users that come back in a window: as many as there can be, since they are the queries."""
_KNOWN = 0.02
"""With a smaller share of known items in a window there is nothing to recommend."""
_MIN_ASKED = 10
"""With fewer users to ask, leaving out their last positives tells nothing."""


@dataclass(frozen=True)
class SplitGuess:
    """`split` of the recipe."""

    kind: str
    why: str
    test: int = 0
    valid: int = 0
    """Seconds."""
    sure: bool = True


@dataclass(frozen=True)
class Volume:
    """How much there is; of a part sample, estimated."""

    rows: int
    users: int
    items: int
    events_per_user: float
    """The median."""
    long_history: float
    """Events of the user at 90 %."""
    repeats: float
    """Share of the positives whose user had the item before."""
    duplicates: float
    """Share of the rows that repeat user, item and time."""


def measure(user: Column, item: Column, time: pl.Series | None, positive: pl.Series, rows: int) -> Volume:
    """The volume of all events from those of the sample."""
    frame = pl.DataFrame({"user": user.series, "item": item.series, "positive": positive}).drop_nulls()
    per_user = frame.group_by("user").len()["len"]
    kept = frame.filter("positive")
    repeats = 1 - kept.select("user", "item").unique().height / max(kept.height, 1)
    duplicates = 0.0
    if time is not None:
        events = pl.DataFrame({"user": user.series, "item": item.series, "time": time}).drop_nulls()
        duplicates = 1 - events.unique().height / max(events.height, 1)
    return Volume(
        rows=rows,
        users=frame["user"].n_unique(),
        items=frame["item"].n_unique(),
        events_per_user=float(per_user.median() or 0),  # type: ignore[arg-type]
        long_history=float(per_user.quantile(0.9) or 0),
        repeats=repeats,
        duplicates=duplicates,
    )


def guess_split(
    user: Column, item: Column, time: pl.Series | None, positive: pl.Series, *, whole: bool, ordered: bool = True
) -> SplitGuess:
    """By time where the positives reach over it and users come back, else each user's last ones."""
    if time is None and not ordered:
        return SplitGuess(
            "leave_one_out", "the order is unknown: the test is one positive of each user, drawn at random"
        )
    if time is None:
        return SplitGuess("leave_one_out", "there are no times: the test is each user's last positive")
    events = {"user": user.series, "item": item.series, "time": time, "positive": positive}
    frame = pl.DataFrame(events).drop_nulls().filter("positive")
    moments = np.sort(frame["time"].to_numpy())
    if not len(moments):
        return SplitGuess("leave_one_out", "no positive event has a time")
    first, last = int(moments[0]), int(moments[-1])
    span = last - first
    users = frame["user"].n_unique()
    length = _of_span(span)
    if whole:
        found = (_window(frame, moments, min(_QUERIES, share * users)) for share in _ASKED_SHARES)
        length = next((one for one in found if one), None) or _by_rows(moments)
    if length is None:
        return SplitGuess("leave_one_out", f"the events span only {told(span)}: the test is each user's last positive")
    unfit = _unfit(frame, last, length, users_of=user.name, items_of=item.name, whole=whole)
    if unfit is not None:
        return unfit
    share = float((moments > last - length).mean())
    why = f"the events span {told(span)}; the last {told(length)} hold {share:.1%} of the positives"
    return SplitGuess("temporal", why, length, length)


def _unfit(
    frame: pl.DataFrame, last: int, length: int, *, users_of: str, items_of: str, whole: bool
) -> SplitGuess | None:
    """What else to do where windows of a length have too few users, or too few items, of before."""
    late = frame.filter(pl.col("time") > last - length)["user"].unique()
    early = frame.filter(pl.col("time") <= last - length)["user"].unique()
    back = float(late.is_in(early.implode()).mean() or 0.0)  # type: ignore[arg-type]
    queries = _fewest_queries(frame, last, length) if whole else _MIN_ASKED
    if back < _RETURNING or queries < _MIN_ASKED:
        few = f"only {back:.0%} of the users of the last {told(length)} were there before"
        if back >= _RETURNING:
            few = f"a window of {told(length)} has only {queries} users who were there before"
        if _can_leave_out(frame) >= _MIN_ASKED:
            return SplitGuess("leave_one_out", f"{few}: the test is each user's last positive")
        return SplitGuess("temporal", f"{few}, and few have an order", length, length, sure=False)
    if whole and _known_items(frame, last, length) < _KNOWN:
        why = (
            f"nearly all positives of a window of {told(length)} are of items that have no event before it, which no "
            "list made before it can contain: the test is each user's last positive. If the items are known earlier, "
            "write available_from into source.items and make the split temporal; if each new item is to find "
            f"its users, pass --user {items_of} --item {users_of}"
        )
        return SplitGuess("leave_one_out", why, sure=False)
    return None


def _can_leave_out(positives: pl.DataFrame) -> int:
    """Users with a positive that is older than the last two."""
    times = positives.group_by("user").agg(pl.col("time").sort())
    asked = times.filter(pl.col("time").list.len() >= 3)
    return asked.filter(pl.col("time").list.first() < pl.col("time").list.get(-2)).height


def _window(frame: pl.DataFrame, moments: NDArray[np.int64], askable: float) -> int | None:
    """The shortest usual length that holds enough positives, of at least `askable` users who were there before."""
    last, count = int(moments[-1]), len(moments)
    need = max(_SHARE * count, min(_ENOUGH, 0.1 * count))
    span = last - int(moments[0])
    for length in _LADDER:
        if length > _MOST_OF_SPAN * span + 1:
            break
        test = count - np.searchsorted(moments, last - length, side="right")
        both = count - np.searchsorted(moments, last - 2 * length, side="right")
        if test < need or both - test < need / 2:
            continue
        if askable and _fewest_queries(frame, last, length) < askable:
            continue
        return length
    return None


def _known_items(frame: pl.DataFrame, last: int, length: int) -> float:
    """Share of the positives of a window whose items have an event before it, of the two windows the smaller one."""
    shares = []
    for after, until in ((last - length, last), (last - 2 * length, last - length)):
        inside = frame.filter(pl.col("time").is_between(after, until, closed="right"))["item"]
        before = frame.filter(pl.col("time") <= after)["item"].unique()
        shares.append(float(inside.is_in(before.implode()).mean() or 0.0))  # type: ignore[arg-type]
    return min(shares)


def _fewest_queries(frame: pl.DataFrame, last: int, length: int) -> int:
    """Users with a query in the test window or in the validation window, whichever has fewer."""
    return min(_returning(frame, last - length, last), _returning(frame, last - 2 * length, last - length))


def _returning(frame: pl.DataFrame, after: int, until: int) -> int:
    """Users with a positive in the window `after` < time <= `until` and one before it."""
    inside = frame.filter(pl.col("time").is_between(after, until, closed="right"))["user"].unique()
    before = frame.filter(pl.col("time") <= after)["user"].unique()
    return int(inside.is_in(before.implode()).sum())


def _by_rows(moments: NDArray[np.int64]) -> int | None:
    """For logs that thin out towards the end, or are short: what holds the last tenth."""
    last, span = int(moments[-1]), int(moments[-1] - moments[0])
    tenth = last - int(moments[int(0.9 * len(moments))]) + 1
    for unit in (_DAY, _HOUR, 60):
        length = -(-tenth // unit) * unit
        if unit <= tenth and 2 * length < 0.6 * span:
            return length
    return None


def _of_span(span: int) -> int | None:
    """Of a log of which only parts were seen: about a twentieth, at most four weeks."""
    fitting = [length for length in _LADDER if length <= min(span / 20, 28 * _DAY)]
    return fitting[-1] if fitting else None


def told(length: int) -> str:
    """A duration as a recipe has it: 28d, 12h, 90s."""
    for unit, letter in ((_DAY, "d"), (_HOUR, "h"), (60, "m")):
        if length >= unit and (length % unit == 0 or length >= 10 * unit):
            return f"{round(length / unit):,}{letter}".replace(",", "")
    return f"{length}s"


def has_idle_items(idle: float) -> bool:
    """Whether so many items have no event that the towers must see them as negatives."""
    return idle > _IDLE


def model_sizes(volume: Volume, split: SplitGuess, *, ordered: bool, idle: float = 0.0) -> dict[str, object]:
    """`features.history_length`, `retrieval` and `ranking`, by how many events, users and items there are."""
    width = 32 if volume.items < 1_000 or volume.rows < 20_000 else 64 if volume.rows < 5_000_000 else 128
    history = next((length for length in (10, 20, 50) if volume.long_history <= length), 100)
    small, huge = volume.rows < 100_000, volume.rows > 5_000_000
    retrieval: dict[str, object] = {"encoder": "attention", "positions": "last", "dim": width, "hidden": [2 * width]}
    if has_idle_items(idle):
        retrieval["negatives"] = {"kind": "mixed"}
    batch, rate = (64 if volume.rows < 20_000 else 256), 0.002
    if not ordered:
        retrieval |= {"encoder": "mean", "positions": "leave_one_out"}
    elif volume.rows > _WINDOWS_FROM and volume.events_per_user >= 3:
        retrieval["positions"] = "every"  # a step learns from whole histories, where a sample an event takes too long
    if retrieval["positions"] != "last":
        batch = next((size for size in (256, 64, 32, 16) if size * _STEPS <= volume.users), 8)
        rate = 0.001 if huge else 0.003
    if volume.rows <= _WINDOWS_FROM:
        retrieval["dropout"] = 0.2
    epochs = 20 if volume.rows < 20_000 else 10 if small else 5 if not huge else 3
    if split.kind == "temporal":
        retrieval["half_life"] = told(2 * split.valid)
    retrieval["training"] = {"batch_size": batch, "epochs": epochs, "learning_rate": rate}
    if split.kind == "temporal":
        retrieval["refit"] = {"epochs": 2 if volume.rows <= _WINDOWS_FROM else 1}
    ranking: dict[str, object] = {"candidates": max(2, min(200, volume.items // 2)), "negatives": 30}
    if split.kind == "temporal":
        ranking["recent"] = [0.25, 1.0]
    return {"id_dim": width, "history_length": history, "retrieval": retrieval, "ranking": ranking}


def buys_again(volume: Volume) -> bool:
    return volume.repeats >= _REPEATS
