"""An expression keeps the items that Python would keep, and says what is wrong with it."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.features import CategoricalField, FeatureSchema, FeatureStore, NumericField, TableSchema
from shortlist.features.encode import encode_numeric
from shortlist.features.item_mask import WhereError
from shortlist.features.vocabulary import Vocabulary
from shortlist.features.where import ItemFilter

ITEMS: list[dict[str, Any]] = [
    {"genre": ["jazz"], "label": 7, "year": 1959.0},
    {"genre": ["jazz", "rock"], "label": 8, "year": 1971.5},
    {"genre": ["rock"], "label": None, "year": None},
    {"genre": [], "label": 7, "year": -3.25},
    {"genre": ["o'clock"], "label": 9, "year": 123_456_789.0},
]
GENRES, LABELS = ["jazz", "o'clock", "rock"], [7, 8, 9]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> ItemFilter:
    folder = tmp_path_factory.mktemp("store")
    for name in ("vocabularies", "items", "users", "history"):
        (folder / name).mkdir()
    genres, labels = Vocabulary.of(np.array(GENRES)), Vocabulary.of(np.array(LABELS))
    Vocabulary.of(np.arange(1, len(ITEMS) + 1)).save(folder / "vocabularies/item.npy")
    Vocabulary.of(np.arange(1, 2)).save(folder / "vocabularies/user.npy")
    genres.save(folder / "vocabularies/item.genre.npy")
    labels.save(folder / "vocabularies/item.label.npy")
    year = NumericField(name="year", mean=1960.3, std=17.7)
    item = TableSchema(
        categorical=[
            CategoricalField(name="genre", num_rows=4, dim=4, max_values=2, kind="text"),
            CategoricalField(name="label", num_rows=4, dim=4, kind="integer"),
        ],
        numeric=[year],
    )
    genre_rows = np.zeros((len(ITEMS) + 1, 2), np.int32)
    for row, one in enumerate(ITEMS, 1):
        genre_rows[row, : len(one["genre"])] = genres.rows(one["genre"]) if one["genre"] else []
    years = [float("nan"), *(float("nan") if one["year"] is None else one["year"] for one in ITEMS)]
    arrays: dict[str, Any] = {
        "items/genre": genre_rows,
        "items/label": np.array([[0], *([0 if one["label"] is None else one["label"] - 6] for one in ITEMS)], np.int32),
        "items/numeric": encode_numeric([years], TableSchema(numeric=[year]), len(years)),
        "items/popularity": np.arange(len(years)),
        "items/popular": np.zeros(len(years), np.float32),
        "items/titles": np.zeros(0, np.uint8),
        "items/title_offsets": np.zeros(len(years) + 1, np.int64),
        "users/numeric": np.zeros((2, 0), np.float32),
        "history/offsets": np.zeros(3, np.int64),
        "history/items": np.zeros(0, np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    schema = FeatureSchema(
        num_item_rows=len(years),
        num_user_rows=2,
        history_length=4,
        item=item,
        user=TableSchema(),
        context=TableSchema(),
    )
    (folder / "schema.json").write_text(schema.model_dump_json())
    return ItemFilter(FeatureStore.open(folder))


def rows(kept: ItemFilter, text: str) -> list[int]:
    return np.flatnonzero(kept.mask(text).rows_N).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("genre = 'jazz'", [1, 2]),
        ("genre != 'jazz'", [3, 4, 5]),
        ("genre IN ('jazz', 'rock')", [1, 2, 3]),
        ("genre NOT IN ('jazz','rock')", [4, 5]),
        ("genre = 'o''clock'", [5]),
        ("genre IS NULL", [4]),
        ("label is not null", [1, 2, 4, 5]),
        ("label = 7", [1, 4]),
        ("label = '7'", [1, 4]),
        ("year >= 1959", [1, 2, 5]),
        ("year > 1959", [2, 5]),
        ("year = 1971.5 or year=123456789", [2, 5]),
        ("year != 1959", [2, 3, 4, 5]),
        ("year < 0", [4]),
        ("year IS NULL", [3]),
        ("NOT (genre = 'jazz' OR year IS NULL)", [4, 5]),
        ('"genre" = \'jazz\' AND NOT "label"=8', [1]),
        ("genre = 'rock' OR genre = 'jazz' AND year < 1960", [1, 2, 3]),
    ],
)
def test_it_keeps(kept: ItemFilter, text: str, expected: list[int]) -> None:
    assert rows(kept, text) == expected
    assert kept.mask(text).count == len(expected)


LEAVES = st.one_of(
    st.tuples(st.just("genre"), st.sampled_from(["=", "!="]), st.sampled_from(GENRES)),
    st.tuples(st.just("label"), st.sampled_from(["=", "<>"]), st.sampled_from(LABELS)),
    st.tuples(
        st.just("year"),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from([one["year"] for one in ITEMS if one["year"] is not None]) | st.integers(-5, 2000),
    ),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), inner, inner) | st.tuples(st.just("NOT"), inner),
    max_leaves=6,
)


def _written(expression: Any) -> str:
    if expression[0] in ("AND", "OR"):
        return f"({_written(expression[1])} {expression[0].lower()} {_written(expression[2])})"
    if expression[0] == "NOT":
        return f"NOT {_written(expression[1])}"
    name, sign, value = expression
    return f"{name} {sign} " + ("'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value))


def _holds(expression: Any, item: dict[str, Any]) -> bool:
    match expression:
        case ("AND", one, other):
            return _holds(one, item) and _holds(other, item)
        case ("OR", one, other):
            return _holds(one, item) or _holds(other, item)
        case ("NOT", one):
            return not _holds(one, item)
    name, sign, value = expression
    own = item[name] if isinstance(item[name], list) else [] if item[name] is None else [item[name]]
    if sign in ("=", "!=", "<>"):
        return (value in own) == (sign == "=")
    return any({"<": one < value, "<=": one <= value, ">": one > value, ">=": one >= value}[sign] for one in own)


@given(expression=EXPRESSIONS)
def test_it_is_what_python_says(kept: ItemFilter, expression: Any) -> None:
    expected = [row for row, item in enumerate(ITEMS, 1) if _holds(expression, item)]
    text = _written(expression)
    if expected:
        assert rows(kept, text) == expected
    else:
        with pytest.raises(WhereError, match="matches no item"):
            kept.mask(text)


def test_parentheses_may_be_deep(kept: ItemFilter) -> None:
    assert rows(kept, "(" * 900 + "label = 7" + ")" * 900) == [1, 4]
    assert rows(kept, "NOT " * 400 + "label = 7") == [1, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("genre = 'jaz'", r"genre has no value 'jaz' in this release; did you mean 'jazz'\?"),
        ("label = 10", "label has no value 10 in this release$"),
        ("label = 'x'", "label has no value 'x'"),
        ("gener = 'jazz'", r"no attribute 'gener'; did you mean 'genre'\? there are: genre, label, year"),
        ("genre > 'a'", "genre is a category and cannot be compared with >"),
        ("year = 'x'", "year is a number, but 'x' is text"),
        ("year > 1 AND year < 0", "matches no item"),
        ("year >", "is not a valid expression: it ends too early"),
        ("year = 1 genre", "'genre' at character 10"),
        ("", "it ends too early"),
        ("x" * 3_000, "3,000 characters"),
        ("genre = 'it", "at character 9"),
    ],
)
def test_it_says_what_is_wrong(kept: ItemFilter, text: str, message: str) -> None:
    with pytest.raises(WhereError, match=message):
        kept.mask(text)


def test_a_service_without_rules_does_not_import_the_parser() -> None:
    code = "import sys, shortlist.serving.transformer.service; print('lark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
