"""Every example of docs/expressions.md gives what the page says."""

import ast
import re
from pathlib import Path

import polars as pl
import pytest

from shortlist.data.sources.check_expressions import check_expressions
from shortlist.data.sources.expressions import bind
from shortlist.data.sources.sql_names import FUNCTIONS_OF
from shortlist.recipe import parse_recipe

PAGE = (Path(__file__).parents[2] / "docs/expressions.md").read_text()


def examples() -> list[tuple[str, str, str]]:
    """Expression, row and result of each line of the table."""
    found = []
    for line in PAGE.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[1].startswith("`"):
            found.append(tuple(cell.strip("`") for cell in cells[1:]))
    assert len(found) == 28
    return found


def row_of(written: str) -> pl.DataFrame:
    values = re.findall(r"(\w+) = ('[^']*'|[^,]+)", written)
    row = {name: None if value == "null" else ast.literal_eval(value) for name, value in values}
    return pl.DataFrame({name: [value] for name, value in row.items()}).with_columns(pl.col(pl.Null).cast(pl.String))


@pytest.mark.parametrize(("sql", "row", "gives"), examples(), ids=lambda text: text[:40])
def test_an_example(sql: str, row: str, gives: str) -> None:
    frame = row_of(row)
    found = frame.select(bind(sql, frame.schema, where="x", file="f").alias("found"))["found"][0]
    found = found.to_list() if isinstance(found, pl.Series) else found
    shown = str(found).lower() if isinstance(found, bool) else "null" if found is None else str(found)
    assert shown == gives


def test_the_recipes_of_the_page_are_sound() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        text = f"name: page\nsplit: {{kind: leave_one_out}}\n{block}"
        check_expressions(parse_recipe(text), "page", text)


def test_all_functions_are_listed() -> None:
    listed = " ".join(PAGE.partition("## Functions")[2].split())
    assert [kind for kind, names in FUNCTIONS_OF.items() if f"{kind}: {names}." not in listed] == []
