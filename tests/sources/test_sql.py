"""The SQL of recipes: what is said about a wrong expression, and where each expression stands."""

import polars as pl
import pytest

from shortlist.recipe import parse_recipe
from shortlist.sources.check_expressions import check_expressions, expressions_of
from shortlist.sources.errors import SourceError
from shortlist.sources.sql import FUNCTIONS, parse


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("quantity > 0 AND (", r"the \( at character 18 is not closed"),
        ("price) > 0", r"the \) at character 6 closes nothing"),
        ("name = 'abc", "text that begins with ' at character 8 does not end"),
        ("a SIMILAR TO 'x'", "SIMILAR TO is not supported; write REGEXP_LIKE"),
        ("lenght(a) > 3", "there is no function LENGHT; did you mean 'LENGTH'?"),
        ("nvl(a, b)", r"there is no function NVL; write COALESCE\(x, y\)"),
        ("CAST(a AS NUMBERS)", "there is no type NUMBERS; there are BIGINT"),
        ("a >", "it ends after '>'"),
        ("a = 1; b", "nothing may follow from ';' on"),
        ("order = 1", 'ORDER is a word of SQL; a column of that name goes in double quotes: "order"'),
        ("SELECT a FROM b", "is a query; write the expression alone"),
        ("EXISTS (SELECT 1)", "is a query; write the expression alone"),
        ("user IS NOT NULL", 'USER is a word of SQL; a column of that name goes in double quotes: "user"'),
        ("a + b c", "'c' after a value would be its name; an operator is missing"),
    ],
)
def test_a_wrong_expression_names_its_clause(sql: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        parse(sql, "interactions.positive")
    assert str(caught.value).startswith("interactions.positive: ")
    assert "Ident {" not in str(caught.value)


@pytest.mark.parametrize("sql", ["a = 'it''s ('", '"unit price" > 0', "note = '-- select'", "CASE WHEN a THEN 1 END"])
def test_quotes_and_words_inside_them_are_no_mistake(sql: str) -> None:
    parse(sql, "x")


def test_every_function_that_is_offered_is_there() -> None:
    def refused(name: str) -> str:
        try:
            pl.sql_expr(f"{name}(a, b)")
        except pl.exceptions.PolarsError as error:
            return str(error)
        return ""

    assert [name for name in FUNCTIONS if "unsupported function" in refused(name)] == []


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
    found = dict(expressions_of(parse_recipe(RECIPE)))
    assert found["source.events.0.where"] == "quantity > 0 AND ("
    assert found["source.events.0.columns.time"] == "STRPTIM(at)"
    assert found["source.events.0.join.columns.item_id"] == "id"
    assert found["split.part"] == "part = 'x'"
    assert {"interactions.positive", "interactions.weight", "interactions.history"} <= found.keys()


def test_all_wrong_expressions_are_told_at_once() -> None:
    with pytest.raises(SourceError) as caught:
        check_expressions(parse_recipe(RECIPE))
    lines = str(caught.value).splitlines()
    assert lines[0] == "4 SQL expressions cannot be used"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "source.events.0.where",
        "source.events.0.columns.time",
        "source.events.0.join.where",
        "interactions.positive",
    ]
