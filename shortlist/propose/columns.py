"""What a sample tells of one column, and of its name."""

import re
from dataclasses import dataclass
from functools import cached_property

import polars as pl


def words(text: str) -> frozenset[str]:
    """`id code` -> {id, code}."""
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_URL = r"^(?:https?://|www\.)"
_DECIMAL_COMMA = r"^-?\d{1,3}(?:\.\d{3})*,\d+$|^-?\d+,\d+$"
_DECIMAL_POINT = r"^-?\d*\.\d+(?:[eE][-+]?\d+)?$"
_WHOLE_NUMBER = r"^-?\d+$"


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a sample; two are equal only when they are one."""

    series: pl.Series

    @property
    def name(self) -> str:
        return self.series.name

    @property
    def dtype(self) -> pl.DataType:
        return self.series.dtype

    @cached_property
    def there(self) -> pl.Series:
        """The values that are not missing."""
        return self.series.drop_nulls()

    @cached_property
    def distinct(self) -> int:
        return self.there.n_unique() if len(self.there) else 0

    @property
    def null_share(self) -> float:
        return self.series.null_count() / max(len(self.series), 1)

    @cached_property
    def words(self) -> list[str]:
        """`userId:token` -> user, id, token."""
        return [word.lower() for word in _WORD.findall(self.name)]

    @property
    def is_text(self) -> bool:
        return self.dtype == pl.String

    @property
    def is_number(self) -> bool:
        return self.dtype.is_numeric()

    @cached_property
    def can_be_id(self) -> bool:
        """Integers, or text of up to 64 characters that is no fraction, with two values at least; never floats."""
        if self.distinct < 2:
            return False
        if self.dtype.is_integer():
            return True
        if not self.is_text:
            return False
        lengths = self.there.str.len_chars()
        if self.has_decimal_points:
            return False
        return bool(lengths.mean() <= 64) and self.num_decimals < 0.5 * len(self.there)  # type: ignore[operator]

    @cached_property
    def num_decimals(self) -> int:
        """Values with a decimal comma, like `3,5` and `1.234,50`."""
        return int(self.there.str.contains(_DECIMAL_COMMA).sum()) if self.is_text else 0

    @cached_property
    def has_decimal_points(self) -> bool:
        """Whether this is a column of numbers with a point that is read as text, since a double loses digits of it."""
        if not self.is_text or not len(self.there):
            return False
        points = int(self.there.str.contains(_DECIMAL_POINT).sum())
        whole = int(self.there.str.contains(_WHOLE_NUMBER).sum())
        return points >= 0.5 * len(self.there) and points + whole >= 0.95 * len(self.there)

    @cached_property
    def counts_rows(self) -> bool:
        """Whether the values are those of an index, like the nameless first column that pandas writes."""
        if not self.dtype.is_integer() or self.null_share or len(self.series) < 3:
            return False
        return self.series[0] in (0, 1) and bool((self.series.diff().drop_nulls() == 1).all())

    @cached_property
    def has_decimal_commas(self) -> bool:
        """Whether this is a column of numbers that are written with a comma."""
        if not self.num_decimals:
            return False
        whole = int(self.there.str.contains(_WHOLE_NUMBER).sum())
        return self.num_decimals + whole >= 0.95 * len(self.there)

    @cached_property
    def is_url(self) -> bool:
        return self.is_text and len(self.there) > 0 and bool(self.there.str.contains(_URL).mean() > 0.5)  # type: ignore[operator]

    @cached_property
    def mean_words(self) -> float:
        if not self.is_text or not len(self.there):
            return 0.0
        return float(self.there.head(5_000).str.count_matches(r"\S+").mean() or 0.0)  # type: ignore[arg-type]

    @cached_property
    def ids(self) -> pl.Series:
        """The values as the text of ids: 874.0 is 874."""
        if self.dtype.is_float():
            return self.there.filter(self.there == self.there.floor()).cast(pl.Int64, strict=False).cast(pl.String)
        return self.there.cast(pl.String)

    @property
    def sql(self) -> str:
        """The column in an expression."""
        return quoted(self.name)

    @property
    def number_sql(self) -> str:
        """The column as numbers."""
        if self.has_decimal_points:
            return f"TRY_CAST({self.sql} AS DOUBLE)"
        if not self.has_decimal_commas:
            return self.sql
        dots = bool(self.there.str.contains(r"\d\.\d{3},").any())
        inner = f"REPLACE({self.sql}, '.', '')" if dots else self.sql
        return f"TRY_CAST(REPLACE({inner}, ',', '.') AS DOUBLE)"

    @cached_property
    def numbers(self) -> pl.Series | None:
        """The values as Float64; None where they are no numbers."""
        if self.is_number:
            return self.there.cast(pl.Float64)
        if self.has_decimal_points:
            return self.there.cast(pl.Float64, strict=False).drop_nulls()
        if not self.has_decimal_commas:
            return None
        plain = self.there.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        return plain.cast(pl.Float64, strict=False).drop_nulls()


def quoted(name: str) -> str:
    """A name in SQL."""
    return (
        name
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _RESERVED
        else '"' + name.replace('"', '""') + '"'
    )


_RESERVED = words(
    "all and any as asc between by case cast cross date day desc distinct else end exists extract false from full "
    "group having hour if in inner interval is join left like limit minute month not null offset on or order outer "
    "right second select set some table then time timestamp to true union unique unnest user using value values when "
    "where window with year"
)


def columns_of(frame: pl.DataFrame) -> list[Column]:
    return [Column(series) for series in frame.get_columns()]
