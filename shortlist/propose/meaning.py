"""Which events are positives: a rating, a kind of event, a quantity, or all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from shortlist.propose.columns import Column, words

_RATINGS = words("rating ratings rate stars star score note grade bewertung overall reviewoverall")
_KINDS = words("event events action type behavior behaviour interaction activity feedback kind")
_AMOUNTS = words("quantity qty amount units menge anzahl")
_LABELS = words("label clicked click liked like purchased bought converted conversion positive")
_SHARES = words("ratio pct percent percentage progress completion fraction")
_STRENGTH = (
    "purchase buy bought transaction order checkout sale conversion payment rental booking apply subscribe",
    "cart addtocart basket wishlist wish like love favorite favourite fav save share follow rate review download",
    "play listen watch read complete click open clickout",
    "view detail pageview visit show browse pv impression",
)
_BAD = words("dislike skip remove removed delete return refund cancel unlike hide report unfollow negative")
_ENOUGH = 0.1


@dataclass(frozen=True)
class Meaning:
    """`interactions` of the recipe."""

    positive: str
    history: str | None
    why: str
    column: Column | None = None
    sure: bool = True


def guess_meaning(columns: Sequence[Column], *, named_columns: bool) -> Meaning:
    """The positives, from columns that are neither id nor time; without names a scale is taken for a rating."""
    for guess in (_by_rating, _by_kind, _by_label, _by_share, _by_amount):
        for column in columns:
            if (found := guess(column)) is not None:
                return found
    for column in [] if named_columns else columns:
        if (found := _by_scale(column)) is not None:
            return found
    return Meaning("TRUE", None, "no column looks like a rating, a kind of event or a quantity: every event counts")


def _by_rating(column: Column) -> Meaning | None:
    return _of_scale(column, most=101) if set(column.words) & _RATINGS else None


def _by_scale(column: Column) -> Meaning | None:
    """A column without a name whose numbers end at 5 or 10."""
    found, values = _of_scale(column, most=11), column.numbers
    return found if values is not None and values.max() in (5, 10) else None


def _of_scale(column: Column, most: int) -> Meaning | None:
    values = column.numbers
    if values is None or not 3 <= values.n_unique() <= most:
        return None
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    if low < 0 or high > 100:
        return None
    least = math.ceil(high - (high - low) / 4 - 1e-9)
    share = float((values >= least).mean())  # type: ignore[arg-type]
    why = f"a scale from {low:g} to {high:g}; {share:.0%} of the ratings are {least} or more"
    return Meaning(f"{column.number_sql} >= {least}", f"{column.sql} IS NOT NULL", why, column, sure=most > 11)


def _by_kind(column: Column) -> Meaning | None:
    if not set(column.words) & _KINDS or not column.is_text or not 2 <= column.distinct <= 30:
        return None
    counts = column.there.value_counts(sort=True, name="count").rows()
    total = sum(count for _, count in counts)
    levels: list[tuple[list[str], int]] = []
    for level in _STRENGTH:
        here = [(value, count) for value, count in counts if _means(value, level)]
        levels.append(([value for value, _ in here], sum(count for _, count in here)))
    if not any(values for values, _ in levels):
        return None
    chosen: list[str] = []
    reached = 0
    for values, count in levels:
        chosen += values
        reached += count
        if reached >= _ENOUGH * total:
            break
    shown = ", ".join(f"{value} {count / total:.1%}" for value, count in counts[:8])
    texts = ", ".join("'" + value.replace("'", "''") + "'" for value in chosen)
    why = f"its values are {shown}; the strongest that are at least {_ENOUGH:.0%} of the events together"
    return Meaning(f"{column.sql} IN ({texts})", None, why, column, sure=len(chosen) == len(counts))


def _means(value: str, level: str) -> bool:
    plain = "".join(letter for letter in value.lower() if letter.isalnum())
    if any(plain.startswith(bad) for bad in _BAD):
        return False
    return any(plain.startswith(word) or (len(word) > 3 and word in plain) for word in level.split())


def _by_label(column: Column) -> Meaning | None:
    if not set(column.words) & _LABELS or column.distinct != 2:
        return None
    if column.dtype == pl.Boolean:
        share = float(column.there.mean())  # type: ignore[arg-type]
        return Meaning(column.sql, None, f"true or false; {share:.0%} are true", column)
    if column.is_number and set(column.there.unique().to_list()) == {0, 1}:
        share = float(column.there.mean())  # type: ignore[arg-type]
        return Meaning(f"{column.sql} = 1", None, f"0 or 1; {share:.0%} are 1", column)
    return None


def _by_share(column: Column) -> Meaning | None:
    values = column.numbers
    if not set(column.words) & _SHARES or values is None or not len(values):
        return None
    least = 0.5 if float(values.quantile(0.9)) <= 1.5 else 50  # type: ignore[arg-type]
    return Meaning(f"{column.number_sql} >= {least}", None, "at least half", column, sure=False)


def _by_amount(column: Column) -> Meaning | None:
    values = column.numbers
    if not set(column.words) & _AMOUNTS or values is None or not len(values):
        return None
    below = int((values <= 0).sum())
    if not below:
        return None
    why = f"{below:,} rows of the sample have 0 or less, like returns: they are no positives"
    return Meaning(f"{column.number_sql} > 0", None, why, column)
