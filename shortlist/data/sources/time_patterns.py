"""Guesses the STRPTIME pattern of times that are not in ISO 8601 from examples."""

from collections.abc import Sequence
from itertools import product

import polars as pl

_DATES = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d"),
    *("%d.%m.%Y", "%d.%m.%y", "%Y.%m.%d", "%d-%m-%Y", "%m-%d-%Y", "%Y-%m-%d", "%Y%m%d"),
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
_TIMES = ("", *(f"{gap}{clock}" for gap in (" ", ", ", "T") for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S%.f")))
_HALF_DAYS = (" %I:%M %p", " %I:%M:%S %p", " %I:%M%p", ", %I:%M %p", ", %I:%M:%S %p")
_WHOLE = (
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y%m%dT%H%M%SZ",
    "%Y%m%dT%H%M%S",
    "%Y%m%d%H%M%S",
)
_MOSTLY = 0.9
_YEARS = (1980, 2100)


def patterns(texts: Sequence[str]) -> list[str]:
    """The patterns that parse nearly all of `texts` to a plausible year.

    There are several if day and month are ambiguous, and none if no common pattern matches.
    """
    values = pl.Series("text", texts, dtype=pl.String)
    found = []
    for pattern in (*(f"{date}{time}" for date, time in product(_DATES, (*_TIMES, *_HALF_DAYS))), *_WHOLE):
        years = values.str.to_datetime(pattern, strict=False, time_zone="UTC" if "%z" in pattern else None).dt.year()
        if len(values) and years.is_between(*_YEARS).sum() >= _MOSTLY * len(values):
            found.append(pattern)
    return found


def strptime_hint(texts: Sequence[str], expression: str) -> str:
    """The expression for `time` that parses `texts`, now `expression`; empty if no pattern is found."""
    found = patterns(texts)
    if not found:
        return ""
    other = found[0].replace("%m", "%?").replace("%d", "%m").replace("%?", "%d")
    doubt = f", or '{other}' if the day comes first" if other != found[0] and other in found else ""
    return f"time: STRPTIME({expression}, '{found[0]}'){doubt}"
