"""The canonical form of categorical values, shared by training and serving.

The type of a column determines how its values are read (its `Kind`); a request may write them in several forms:

    integer   3, 3.0, "3", "3.0"              -> 3
    number    3, 3.0, "3", "3.00", Decimal(3) -> "3";   2.5, "2.50" -> "2.5"
    boolean   true, "True", 1, "1"            -> 1
    text      "x" -> "x", also "3.0" -> "3.0";   3, 3.0 -> "3";   true -> "true"

NaN and infinities are missing values. A value that is not of the kind is unchanged, has no key, and is unknown.
"""

import math
import re
from decimal import Decimal
from typing import Any, Literal

Kind = Literal["integer", "number", "boolean", "text"]

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?")
_WIDEST = 40
_TRUTHS = {"true": 1, "false": 0, "1": 1, "0": 0}


def canonical(value: Any, kind: Kind) -> int | str | None:
    """The key of a value in the vocabulary of a column; None if it is missing."""
    if value is None or (type(value) is int and kind == "integer"):
        return value
    if isinstance(value, str):
        spelt: str | None = value if kind == "text" else _number_of(value)
    else:
        spelt = _spelt(value)
    return _TRUTHS.get(spelt.lower(), spelt) if spelt is not None and kind == "boolean" else spelt


def _spelt(value: Any) -> str | None:
    """A value as text: a number as its shortest decimal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number_of(repr(value)) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _number_of(str(value)) if value.is_finite() else None
    return str(value)


def _number_of(text: str) -> str:
    """The shortest decimal of a number, without `+`, redundant zeros or exponent; any other text unchanged.

    A number that would need more than `_WIDEST` zeros keeps an exponent.
    """
    if not _NUMBER.fullmatch(text):
        return text
    sign, all_digits, exponent = Decimal(text).as_tuple()
    digits = "".join(map(str, all_digits)).lstrip("0")
    stripped = digits.rstrip("0")
    if not stripped:
        return "0"
    assert isinstance(exponent, int)
    exponent += len(digits) - len(stripped)
    minus = "-" if sign else ""
    if abs(exponent) > _WIDEST:
        return f"{minus}{stripped}e{exponent}"
    return f"{minus}{Decimal(f'{stripped}e{exponent}'):f}"
