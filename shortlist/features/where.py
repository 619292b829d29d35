"""Item filters: the items that match an expression over their attributes, like `genre = 'jazz' AND year >= 1990`.

Attributes are the categorical and numeric columns of `features.item`, as stored in the release. An item without a
value, or with a value too rare for the vocabulary, equals nothing: `=`, `IN` and comparisons are false for it, `!=` and
`NOT IN` are true, and `IS NULL` is true. There is no third truth value as in SQL.

Shapes: N item rows, W values of a categorical field.
"""

import difflib
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from lark import Lark, Token, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError
from lark.visitors import Transformer_NonRecursive

from shortlist.features.encode import encode_numeric, key_of
from shortlist.features.item_mask import MAX_LENGTH, ItemMask, Mask, WhereError
from shortlist.features.schema import NumericField, TableSchema
from shortlist.features.store import FeatureStore
from shortlist.features.vocabulary import UNKNOWN, Vocabulary

_KEPT = 64
_SUGGESTED_FROM = 10_000
"""Largest vocabulary that is searched for a suggestion."""
_GRAMMAR = Lark(
    r"""
    ?expression: conjunction | conjunction ("OR"i conjunction)+ -> any
    ?conjunction: condition | condition ("AND"i condition)+   -> all
    ?condition: "NOT"i condition                              -> negated
              | "(" expression ")"
              | column COMPARISON value                       -> compared
              | column "IN"i "(" value ("," value)* ")"       -> among
              | column "NOT"i "IN"i "(" value ("," value)* ")" -> not_among
              | column "IS"i "NULL"i                          -> missing
              | column "IS"i "NOT"i "NULL"i                   -> present
    column: NAME | QUOTED
    value: TEXT | NUMBER | TRUE | FALSE
    COMPARISON: "<=" | ">=" | "!=" | "<>" | "=" | "<" | ">"
    TRUE.2: /true\b/i
    FALSE.2: /false\b/i
    NAME: /(?!(and|or|not|in|is|null|true|false)\b)[^\W\d][\w.]*/i
    QUOTED: /"([^"]|"")+"/
    TEXT: /'([^']|'')*'/
    NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?/i
    %ignore /\s+/
    """,
    parser="lalr",
    start="expression",
)
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class ItemFilter:
    """Expressions over the items of one store, each evaluated once. Safe to use from several threads."""

    def __init__(self, store: FeatureStore) -> None:
        self._columns = _Columns(store)
        self.mask = lru_cache(_KEPT)(self._mask)
        """The items that match an expression. Raises WhereError."""

    def _mask(self, text: str) -> ItemMask:
        if len(text) > MAX_LENGTH:
            raise WhereError(f"the expression has {len(text):,} characters; at most {MAX_LENGTH:,} are allowed")
        try:
            kept: Mask = _Evaluated(self._columns).transform(_GRAMMAR.parse(text))
        except UnexpectedInput as error:
            raise WhereError(_syntax(text, error)) from None
        except VisitError as error:
            if isinstance(error.orig_exc, WhereError):
                raise error.orig_exc from None
            raise
        kept = kept.copy()
        kept[0] = False
        if not kept.any():
            raise WhereError(f"{text!r} matches no item of this release")
        return ItemMask(kept, text)


class _Columns:
    """The attributes of the items, by name."""

    def __init__(self, store: FeatureStore) -> None:
        schema = store.schema.item
        self._numbers_NF = store.item_numeric
        self._rows = store.item_categorical
        self._numeric = {one.name: (i, one) for i, one in enumerate(schema.numeric)}
        self._categorical = {one.name: one for one in schema.categorical}
        self._words = lru_cache(None)(lambda name: Vocabulary.open(store.folder / f"vocabularies/item.{name}.npy"))
        self.names = list(dict.fromkeys([*self._categorical, *self._numeric]))

    def compared(self, name: str, sign: str, value: Any) -> Mask:
        self._check(name)
        if sign in ("=", "!=", "<>") and name in self._categorical:
            equal = self._is_one_of(name, [value])
            return equal if sign == "=" else ~equal
        if name not in self._numeric:
            raise WhereError(f"{name} is a category and cannot be compared with {sign}; use =, !=, IN or NOT IN")
        if isinstance(value, str):
            raise WhereError(f"{name} is a number, but {value!r} is text; write a number without quotes")
        at, of = self._numeric[name]
        there = self._numbers_NF[:, 2 * at + 1] == 0  # the flag of a missing number
        holds: Mask = _COMPARISONS[sign](self._numbers_NF[:, 2 * at], _standardised(float(value), of))
        return np.asarray(holds & there if sign not in ("!=", "<>") else holds | ~there)

    def among(self, name: str, values: Sequence[Any]) -> Mask:
        self._check(name)
        if name in self._categorical:
            return self._is_one_of(name, values)
        return np.asarray(np.logical_or.reduce([self.compared(name, "=", value) for value in values]))

    def missing(self, name: str) -> Mask:
        self._check(name)
        if name in self._categorical:
            return np.asarray(~(self._rows[name] != UNKNOWN).any(axis=1))
        return np.asarray(self._numbers_NF[:, 2 * self._numeric[name][0] + 1] != 0)

    def _is_one_of(self, name: str, values: Sequence[Any]) -> Mask:
        words = self._words(name)
        keys = [key_of(value, words, self._categorical[name].kind) for value in values]
        rows = words.rows([key for key in keys if key is not None])
        if len(rows) < len(values) or (rows == UNKNOWN).any():
            unknown = next(
                value for value, key in zip(values, keys, strict=True) if key is None or not words.rows([key])
            )
            raise WhereError(f"{name} has no value {unknown!r} in this release{_meant(unknown, words)}")
        return np.asarray(np.isin(self._rows[name], rows).any(axis=1))

    def _check(self, name: str) -> None:
        if name not in self.names:
            near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise WhereError(f"items have no attribute {name!r}; {hint}there are: {', '.join(self.names) or 'none'}")


class _Evaluated(Transformer_NonRecursive[Token, Mask]):
    """Evaluates a parsed expression to a mask from the leaves up, for parentheses of any depth."""

    def __init__(self, columns: _Columns) -> None:
        super().__init__()
        self._columns = columns

    def column(self, children: list[Token]) -> str:
        name = str(children[0])
        return name[1:-1].replace('""', '"') if name.startswith('"') else name

    def value(self, children: list[Token]) -> Any:
        token = children[0]
        if token.type == "TEXT":
            return token[1:-1].replace("''", "'")
        if token.type in ("TRUE", "FALSE"):
            return token.type == "TRUE"
        return int(token) if token.lstrip("+-").isdecimal() else float(token)

    def compared(self, children: list[Any]) -> Mask:
        name, sign, value = children
        return self._columns.compared(name, str(sign), value)

    def among(self, children: list[Any]) -> Mask:
        return self._columns.among(children[0], children[1:])

    def not_among(self, children: list[Any]) -> Mask:
        return ~self._columns.among(children[0], children[1:])

    def missing(self, children: list[Any]) -> Mask:
        return self._columns.missing(children[0])

    def present(self, children: list[Any]) -> Mask:
        return ~self._columns.missing(children[0])

    def negated(self, children: list[Any]) -> Mask:
        mask: Mask = ~children[0]
        return mask

    def all(self, children: list[Any]) -> Mask:
        return np.asarray(np.logical_and.reduce(children))

    def any(self, children: list[Any]) -> Mask:
        return np.asarray(np.logical_or.reduce(children))


def _standardised(value: float, of: NumericField) -> np.float32:
    """The value as the store holds it, so that equal numbers stay equal."""
    return np.float32(encode_numeric([[value]], TableSchema(numeric=[of]), 1)[0, 0])


def _meant(value: Any, words: Vocabulary) -> str:
    """`; did you mean 'jazz'?` where a word of the vocabulary is similar."""
    if not isinstance(value, str) or words.integers or words.num_rows > _SUGGESTED_FROM:
        return ""
    known = words.values(np.arange(1, words.num_rows))
    near = difflib.get_close_matches(value, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _syntax(text: str, error: UnexpectedInput) -> str:
    at = error.pos_in_stream or 0
    ends = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    wrong = "it ends too early" if ends else f"{text[at : at + 20]!r} at character {at + 1} is unexpected"
    return f"{text!r} is not a valid expression: {wrong}; write it like genre = 'jazz' AND year >= 1990"
