"""A first line that holds data is not taken for names."""

import json
from pathlib import Path

import pytest

from shortlist.data.sources.delimited import scan_csv
from shortlist.data.sources.errors import SourceError
from shortlist.data.sources.files import scan_table
from shortlist.data.sources.locate import Found
from shortlist.recipe import DataFile


def names(folder: Path, text: str, **given: object) -> list[str]:
    path = folder / "log.csv"
    path.write_text(text)
    table = DataFile.model_validate({"path": str(path), **given})
    return scan_csv(Found(path, "log.csv"), table).collect_schema().names()


@pytest.mark.parametrize(
    "text",
    [
        "196,242,3,881250949\n186,302,3,891717742\n",
        "u1,2024-01-01 10:00,5\nu2,2024-01-02 11:00,4\n",
        "alice,book,5\nbob,book,4\nalice,pen,5\n",
        "1,Toy Story (1995),Comedy\n2,Heat (1995),Action\n",
        "u1,i1,2024-01-31\nu2,i2,2024-02-01\n",
        "u1,i1,view\nu2,i1,view\nu1,i3,buy\n",
        "a@b.se,x\nc@d.se,y\n",
        "1,2,3\n4,5,6\n",
        "u1,i1,1700000000\nu2,i2,\n",
    ],
)
def test_data_are_not_taken_for_names(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match=r"log.csv: line 1 looks like data, .*write `header: false`"):
        names(tmp_path, text)
    assert names(tmp_path, text, header=False)[0] == "column_1"
    assert names(tmp_path, text, header=True)[0] == text.split(",", maxsplit=1)[0]


@pytest.mark.parametrize(
    "text",
    [
        "user,item,at\n1,2,3\n",
        "country,2019,2020\nSE,1,2\n",
        "item\nitem\nother\n",
        "user,item\n",
        "user,item,rating\nuser,item,3\n",
        "user,item,at\nu1,i1,2024-01-01\nuser,item,2024-01-02\n",
        "track,0,1,2\nt1,3,4,5\n",
        "name,2020-01-01\na,5\nb,\n",
        "quantile,0.25\n1,2\n",
    ],
)
def test_names_are_names(tmp_path: Path, text: str) -> None:
    assert names(tmp_path, text) == text.split("\n", maxsplit=1)[0].split(",")


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 1: the column item occurs twice"):
        names(tmp_path, "user,item,item\n1,2,3\n")


@pytest.mark.parametrize("name", ["*", "^.*_id$"])
def test_a_name_that_stands_for_several_columns(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="means several columns to the reader"):
        names(tmp_path, f"user,item,{name}\n1,2,3\n", header=True)
    (tmp_path / "log.jsonl").write_text(json.dumps({"user": 1, name: 2}) + "\n")
    table = DataFile.model_validate({"path": "log.jsonl"})
    with pytest.raises(SourceError, match="means several columns to the reader"):
        scan_table([Found(tmp_path / "log.jsonl", "log.jsonl")], table, tmp_path / "scratch", memory_gb=1)


def test_a_name_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 1: the column at position 3 has no name"):
        names(tmp_path, "user,item,\n1,2,3\n")


def test_the_row_numbers_that_pandas_writes_need_no_name(tmp_path: Path) -> None:
    assert names(tmp_path, ",user,item\n0,a,b\n1,c,d\n") == ["", "user", "item"]
    assert names(tmp_path, "user,,item\na,1,b\n", header=True) == ["user", "", "item"]


def test_a_tab_may_be_written_in_any_quotes(tmp_path: Path) -> None:
    assert names(tmp_path, "user\titem\n1\t2\n", separator="\\t") == ["user", "item"]
