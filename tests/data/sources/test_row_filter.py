"""`where`: what is left out on purpose is counted, and is no quarantine."""

from pathlib import Path

import polars as pl
import pytest

from shortlist.data.ingest import ingest
from shortlist.data.sources.errors import SourceError
from shortlist.recipe import Recipe, parse_recipe

LOG = "user,item,at,quantity\n1,10,100,2\n2,11,200,-1\n,12,300,1\n3,10,400,\n1,POST,500,1\n"


def recipe(folder: Path, where: str, more: str = "") -> Recipe:
    (folder / "log.csv").write_text(LOG)
    columns = "{user_id: user, item_id: item, time: at}"
    events = f"{{path: '{folder}/log.csv', where: \"{where}\", columns: {columns}{more}}}"
    return parse_recipe(f"name: a\nsource: {{kind: files, events: [{events}]}}\nsplit: {{kind: leave_one_out}}\n")


def test_other_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    result = ingest(recipe(tmp_path, "quantity > 0 AND at < 500 AND item <> 'POST'"), tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out/events.parquet")["item_id"].to_list() == ["10", "12"]
    assert result.details["left_out"] == {"source.events.0": 3}  # a missing quantity is not above 0
    assert result.rows_out["events"] == 2


def test_of_a_joined_file(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("item,name,current\n10,old,false\n10,new,true\n11,x,true\n")
    join = (
        f", join: {{path: '{tmp_path}/names.csv', by: item_id, where: current, columns: {{item_id: item, name: name}}}}"
    )
    text = recipe(tmp_path, "item <> 'POST'", join).model_dump()
    made = Recipe.model_validate(text | {"features": {"context": {"categorical": [{"name": "name", "dim": 4}]}}})
    result = ingest(made, tmp_path / "out")
    assert result.details["left_out"] == {"source.events.0": 1, "source.events.0.join": 1}
    assert pl.read_parquet(tmp_path / "out/events.parquet")["name"].to_list() == ["new", "x", None, "new"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("quantity", r"source.events.0.where: 'quantity' gives Int64, not TRUE or FALSE"),
        ("quantty > 0", r"source.events.0.where: .* has no column 'quantty'; did you mean 'quantity'"),
        ("quantity > 0 AND (", r"source.events.0.where: .*the \( at character 18 is not closed"),
        ("quantity > 99", "there are no rows; the `where` of the source drops all rows"),
    ],
)
def test_a_wrong_filter_names_its_place(tmp_path: Path, where: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        ingest(recipe(tmp_path, where), tmp_path / "out")
