"""Which columns describe an item or a user, and as what: categorical, numeric, text, title."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from shortlist.data.keys import MAX_KEY_BYTES
from shortlist.propose.columns import Column, words
from shortlist.propose.moments import read_moment

_TITLES = (
    "title",
    "name",
    "titel",
    "nombre",
    "nom",
    "naam",
    "titre",
    "bezeichnung",
    "label",
    "headline",
    "description",
)
_ENDINGS = words("title titel")
"""Of longer words, like `projecttitle`."""
_CLASSES = words("id ids code category class type kind group zip genre brand cluster")
_PRIVATE = words("email mail phone address password firstname lastname surname")
_DATES = words("date datum fecha timestamp datetime")
_RESERVED = words("row reason item_id user_id available_from available_until")
_NO_NAME = re.compile(r"column_\d+")
"""Of a file without a header."""
_LIST_MARKS = ("|", ", ", ";", ",")
_MIN_FLAGS = 3
_MOST_TEXTS = 4
_MOST_WORDS = 5_000
"""A column with more different values is no category."""
_FEW_NUMBERS = 12
_LONG = 2.0
"""Mean words from which on a text is read as text."""


@dataclass(frozen=True)
class Category:
    name: str
    dim: int
    max_values: int = 1


@dataclass
class Attributes:
    """The features of one table, and what was left out with the reason."""

    categorical: list[Category] = field(default_factory=list)
    numeric: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    title: str | None = None
    expressions: dict[str, str] = field(default_factory=dict)
    """Column of ours -> SQL, for those that are not taken as they are."""
    unused: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.categorical or self.numeric or self.text or self.title)


def guess_attributes(columns: Sequence[Column], *, titled: bool, described: bool) -> Attributes:
    """The features of a table without its id. Only a `titled` table has a title, only a `described` one text."""
    found = Attributes()
    rest = list(columns)
    if titled and (title := _title(rest)) is not None:
        found.title = title.name
        if described and title.mean_words >= _LONG:
            found.text.append(title.name)
        elif title.distinct < 0.5 * len(title.there):
            found.categorical.append(_category(title))
        rest.remove(title)
    flags = [column for column in rest if _is_flag(column)]
    if len(flags) >= _MIN_FLAGS:
        _fold(flags, found, {column.name for column in columns})
        rest = [column for column in rest if column not in flags]
    for column in rest:
        _place(column, found, described=described)
    return found


def _title(columns: Sequence[Column]) -> Column | None:
    texts = [column for column in columns if column.is_text and not column.is_url and column.distinct > 1]
    for word in _TITLES:
        for column in texts:
            if _has(column, word) and column.mean_words <= 20 and not _PRIVATE & set(column.words):
                return column
    if all(_NO_NAME.fullmatch(column.name) for column in columns):
        return next((one for one in texts if one.distinct > 0.5 * len(one.there) and one.mean_words >= _LONG), None)
    return None


def _has(column: Column, word: str) -> bool:
    return word in column.words or (word in _ENDINGS and any(one.endswith(word) for one in column.words))


def _place(column: Column, found: Attributes, *, described: bool) -> None:
    why = _unusable(column)
    if why:
        pass
    elif isinstance(column.dtype, pl.List):
        why = _place_list(column, found)
    elif column.dtype.is_nested():
        why = "it is nested; make plain columns of its parts"
    elif column.dtype.is_temporal() or _DATES & set(column.words) or (column.is_text and read_moment(column)):
        why = "it holds times"
    elif (numbers := column.numbers) is not None:
        _place_number(column, numbers, found)
    else:
        why = _place_text(column, found, described=described)
    if why:
        found.unused[column.name] = why


def _unusable(column: Column) -> str:
    """Why a column of any type is no feature; empty where it may be one."""
    name = column.name
    reasons = (
        (not len(column.there), "it is empty"),
        (column.distinct < 2, "it has one value"),
        (column.counts_rows, "it counts the rows"),
        (bool(_PRIVATE & set(column.words)), "it is personal"),
        (column.is_url, "it holds addresses"),
        (
            not name.strip() or "/" in name or name.startswith(".") or name in _RESERVED,
            "its name cannot be that of a feature; give it another one in `columns`",
        ),
    )
    return next((why for holds, why in reasons if holds), "")


def _place_list(column: Column, found: Attributes) -> str:
    inner = column.series.explode().drop_nulls()
    if inner.dtype.is_nested() or inner.dtype.is_float() or not len(inner):
        return "it holds lists of numbers or of lists"
    if not 2 <= inner.n_unique() <= _MOST_WORDS:
        return f"its lists have {inner.n_unique():,} different words"
    found.categorical.append(Category(column.name, dim_of(inner.n_unique()), _most(column.there.list.len())))
    return ""


def _place_number(column: Column, numbers: pl.Series, found: Attributes) -> None:
    whole = column.dtype.is_integer()
    is_class = whole and (bool(_CLASSES & set(column.words)) or column.name.lower().endswith("id"))
    if is_class or (whole and column.distinct <= _FEW_NUMBERS):
        if column.distinct <= max(_FEW_NUMBERS, min(_MOST_WORDS, len(column.there) // 2)):
            found.categorical.append(_category(column))
        else:
            found.unused[column.name] = f"nearly every row has its own ({column.distinct:,} values)"
        return
    if column.is_text:
        found.expressions[column.name] = column.number_sql
    if numbers.n_unique() > 1:
        found.numeric.append(column.name)


def _place_text(column: Column, found: Attributes, *, described: bool) -> str:
    if column.dtype == pl.Boolean:
        found.categorical.append(_category(column))
        return ""
    if not column.is_text:
        return f"it is of the type {column.dtype}"
    mark = _mark(column)
    longest = column.there if mark is None else column.there.str.split(mark).explode()
    too_long = int(longest.str.len_bytes().max() or 0) > MAX_KEY_BYTES  # type: ignore[arg-type]
    if mark is not None and not too_long:
        parts = column.series.str.split(mark)
        words = parts.explode().drop_nulls()
        found.expressions[column.name] = f"STRING_TO_ARRAY({column.sql}, '{mark}')"
        found.categorical.append(Category(column.name, dim_of(words.n_unique()), _most(parts.drop_nulls().list.len())))
        return ""
    repeats = column.distinct <= max(_FEW_NUMBERS, 0.5 * len(column.there))
    if repeats and column.distinct <= _MOST_WORDS and not too_long:
        found.categorical.append(_category(column))
    elif column.mean_words >= _LONG and described and len(found.text) < _MOST_TEXTS:
        found.text.append(column.name)
    else:
        return "its values are too long" if too_long else f"nearly every row has its own ({column.distinct:,} values)"
    return ""


def _mark(column: Column) -> str | None:
    """What separates the words of a list, like `Action|Comedy`; None of plain texts."""
    texts = column.there
    for mark in _LIST_MARKS:
        if float(texts.str.contains(mark, literal=True).mean()) < 0.2:  # type: ignore[arg-type]
            continue
        words = texts.str.split(mark).explode()
        short = float(words.str.count_matches(r"\S+").mean()) <= 2  # type: ignore[arg-type]
        if short and words.n_unique() <= min(_MOST_WORDS, max(20, 0.2 * len(words))):
            return mark
    return None


def _is_flag(column: Column) -> bool:
    return column.dtype.is_integer() and set(column.there.unique().to_list()) <= {0, 1} and len(column.there) > 0


def _fold(flags: Sequence[Column], found: Attributes, taken: set[str]) -> None:
    """Columns of 0 and 1 become one column of lists."""
    name = next(word for word in ("flags", "kinds", "flag_list") if word not in taken)
    cases = [f"CASE WHEN {column.sql} = 1 THEN '{column.name.replace(chr(39), chr(39) * 2)}' END" for column in flags]
    found.expressions[name] = "STRING_TO_ARRAY(CONCAT_WS('|', " + ", ".join(cases) + "), '|')"
    total = pl.sum_horizontal([column.series.fill_null(0).cast(pl.Int64) for column in flags])
    counts = pl.DataFrame([column.series for column in flags]).select(total).to_series()
    found.categorical.append(Category(name, 16, _most(counts)))


def _category(column: Column) -> Category:
    return Category(column.name, dim_of(column.distinct))


def dim_of(values: int) -> int:
    """Width of the embedding of so many words."""
    return 4 if values <= 8 else 8 if values <= 64 else 16 if values <= 2_000 else 32


def _most(lengths: pl.Series) -> int:
    return max(1, min(8, int(lengths.quantile(0.95) or 1)))
