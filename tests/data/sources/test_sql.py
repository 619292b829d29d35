"""The SQL of recipes: what is said about a wrong expression, and where each expression stands."""

import polars as pl
import pytest

from shortlist.data.sources.check_expressions import check_expressions, expressions_of
from shortlist.data.sources.errors import SourceError
from shortlist.data.sources.expressions import bind
from shortlist.data.sources.sql import parse
from shortlist.data.sources.sql_names import AGGREGATES, FUNCTIONS, OF_OTHER_SHAPE
from shortlist.recipe import RecipeError, parse_recipe


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("quantity > 0 AND (", r"the \( at character 18 is not closed"),
        ("price) > 0", r"the \) at character 6 has no matching \("),
        ("name = 'abc", "text that begins with ' at character 8 is not closed"),
        ("a >", "at the end, after '>', an expression is expected"),
        ("quantity AND", "at the end, after 'AND', an expression is expected"),
        ("a > 0 AND\nb IN 3", r"at character 16, '3', \( is expected"),
        ("a = 1; b", "at character 6, ';', an operator or the end is expected"),
        ("a + b c", "at character 7, 'c', an operator or the end is expected"),
        ("CASE WHEN a THEN 1", "CASE ... needs an END"),
        ("a ** 2", r"at character 4, .* a power is POW\(x, 2\)"),
        ("b > 1 AND a SIMILAR TO 'x'", r"SIMILAR TO is not supported; write REGEXP_LIKE.* \(near character 11\)"),
        ("a > 1 AND lenght(a) > 3", r"no function LENGHT \(character 11\); did you mean 'LENGTH'\?"),
        ("nvl(a, b)", r"no function NVL .*; write COALESCE\(x, y\)"),
        ("md5(a)", r"no function MD5 .*; docs/expressions.md lists"),
        ("a.str.len() > 2", r"'a.str.len' is not SQL; write a function like LOWER\(a\)"),
        ("CAST(a AS NUMBERS)", "there is no type NUMBERS; there are BIGINT"),
        ("DATE_TRUNC('day', a)", r"a day is CAST\(x AS DATE\)"),
        ("a = ?", "placeholders such as .* are not supported"),
        ("GREATEST()", "too few arguments"),
        ("order = 1", 'ORDER is an SQL keyword; write a column of that name in double quotes: "order"'),
        ("user IS NOT NULL", 'USER is an SQL keyword; write a column of that name in double quotes: "user"'),
        ("SELECT a FROM b", "at character 1, 'SELECT'|is a query"),
        ("EXISTS (SELECT 1)", "it is a query, from character 9; write the expression alone"),
        ("a > 0 AND b <> NULL", "'<> NULL' at character 13 is never true; write IS NOT NULL"),
        ("COUNT(*) > 3", "COUNT at character 1 aggregates rows"),
        ("a > 0 AND MAX(b, 1) > 3", r"MAX at character 11 aggregates rows.* GREATEST\(x, y\)"),
        ("UNNEST(a)", "UNNEST at character 1 makes rows; name the column of lists in `explode`"),
    ],
)
def test_a_wrong_expression_names_its_clause(sql: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        parse(sql, "interactions.positive")
    assert str(caught.value).startswith("interactions.positive: ")
    assert "Ident {" not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "a = 'it''s ('",
        '"unit price" > 0',
        "note = '-- select SUM(x) = NULL'",
        "CASE WHEN a THEN 1 END",
        "SUM(a * (b + 1)) OVER (PARTITION BY c) > 3",
        "ARRAY_CONTAINS(ARRAY['x', 'y'], a)",
        "a -- a comment",
        "a IS NOT DISTINCT FROM NULL",
    ],
)
def test_quotes_and_words_inside_them_are_no_mistake(sql: str) -> None:
    parse(sql, "x")


def test_every_function_that_is_offered_is_there() -> None:
    def refused(name: str) -> str:
        try:
            pl.sql_expr(f"{name}(a, b)")
        except pl.exceptions.PolarsError as error:
            return str(error)
        return ""

    assert [
        name for name in (*FUNCTIONS, *AGGREGATES, *OF_OTHER_SHAPE) if "unsupported function" in refused(name)
    ] == []


RECIPE = """
name: shop
source:
  kind: files
  events:
    - path: e.csv
      where: quantity > 0 AND (
      columns: {user_id: user, item_id: Stock Code, time: STRPTIM(at)}
      join: {path: j.csv, by: item_id, where: kept = , columns: {item_id: id}}
split: {kind: given, part: part = 'x'}
interactions: {positive: rating >=, history: rating > 1}
"""


def test_every_expression_of_a_recipe_is_found() -> None:
    found = {".".join(map(str, path)): sql for path, sql in expressions_of(parse_recipe(RECIPE))}
    assert found["source.events.0.where"] == "quantity > 0 AND ("
    assert found["source.events.0.columns.time"] == "STRPTIM(at)"
    assert found["source.events.0.join.columns.item_id"] == "id"
    assert found["split.part"] == "part = 'x'"
    assert {"interactions.positive", "interactions.weight", "interactions.history"} <= found.keys()


def test_all_wrong_expressions_are_told_at_once_with_their_lines() -> None:
    with pytest.raises(RecipeError) as caught:
        check_expressions(parse_recipe(RECIPE), "shop.yaml", RECIPE)
    first, *lines = str(caught.value).splitlines()
    assert first == "shop.yaml: 4 errors"
    assert [": ".join(line.split(": ")[:2]).strip() for line in lines] == [
        "line 7: source.events.0.where",
        "line 8: source.events.0.columns.time",
        "line 9: source.events.0.join.where",
        "line 11: interactions.positive",
    ]


@pytest.mark.parametrize(("sql", "sound"), [("user", True), ("Unit Price", True), ("quantity AND", False)])
def test_a_word_may_be_a_column_which_only_the_data_tell(sql: str, sound: bool) -> None:
    recipe = parse_recipe(RECIPE)
    made = recipe.model_copy(update={"interactions": recipe.interactions.model_copy(update={"positive": sql})})
    with pytest.raises(RecipeError) as caught:
        check_expressions(made, "shop.yaml", RECIPE)
    assert ("interactions.positive" not in str(caught.value)) == sound


def test_text_in_double_quotes_is_a_column_and_the_error_says_so() -> None:
    with pytest.raises(SourceError, match=r"has no column 'paid'.* is it text\? Then write 'paid' in single quotes"):
        bind('status = "paid"', pl.Schema({"status": pl.String}), where="x", file="f")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CAST(at AS DATE)", r"CAST cannot convert text to date; write DATE\(x\)"),
        (
            "TRY_CAST(at AS TIMESTAMP) > DATE '2024-01-31'",
            r"CAST cannot convert text to datetime; write TIMESTAMP\(x\)",
        ),
        ("CAST(at AS BOOLEAN)", "CAST cannot convert text to boolean; write a comparison"),
        ("CAST(number AS BIGINT[])", "CAST cannot convert a number to list"),
    ],
)
def test_a_cast_that_never_works_is_told_before_the_rows_are_read(sql: str, said: str) -> None:
    with pytest.raises(SourceError, match=rf"x: .* does not work on f: {said}"):
        bind(sql, pl.Schema({"at": pl.String, "number": pl.Int64}), where="x", file="f")


@pytest.mark.parametrize("sql", ["CAST(at AS BIGINT)", "STRPTIME(at, '%d.%m.%Y')", "CAST(number AS VARCHAR)"])
def test_a_cast_that_may_work_is_left_to_the_rows(sql: str) -> None:
    bind(sql, pl.Schema({"at": pl.String, "number": pl.Int64}), where="x", file="f")
