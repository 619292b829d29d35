"""Files as Hive, Spark, Arrow, spreadsheets and operators leave them."""

import bz2
import csv
import datetime as dt
import decimal
import gzip
import lzma
import uuid
from pathlib import Path

import boto3
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3_server import moto_endpoint

from shortlist.data.sources import SourceError
from shortlist.data.sources.files import scan_table
from shortlist.data.sources.locate import find, folder_holding
from shortlist.data.sources.partitions import partitions_of
from shortlist.recipe import TableFile

ODD = "we[1]rd *? dé {a} %20 #x"


def read(path: Path | str, scratch: Path, memory_gb: float = 1.0, **settings: object) -> pl.DataFrame:
    table = TableFile.model_validate({"path": str(path), **settings})
    return scan_table(find(table.path, scratch), table, scratch, memory_gb).collect()


def refusal(path: Path | str, scratch: Path, **settings: object) -> str:
    with pytest.raises(SourceError) as caught:
        read(path, scratch, **settings)
    return str(caught.value)


def write(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix[1:]
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[kind](path)


# Hive partitions


def test_columns_of_folder_names_are_columns_as_arrow_writes_them(tmp_path: Path) -> None:
    table = pa.table({"user": [1, 2, 3], "event": ["view", "buy", "view"], "shard": [7, 8, None]})
    pyarrow.dataset.write_dataset(
        table,
        tmp_path / "logs",
        format="parquet",
        partitioning=pyarrow.dataset.partitioning(table.select(["event", "shard"]).schema, flavor="hive"),
    )
    frame = read(tmp_path / "logs", tmp_path / "s").sort("user")
    assert dict(frame.schema) == {"user": pl.Int64, "event": pl.String, "shard": pl.Int64}
    assert frame.rows() == [(1, "view", 7), (2, "buy", 8), (3, "view", None)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_has_the_columns_of_its_folders(kind: str, tmp_path: Path) -> None:
    for user, day in ((1, "2024-01-01"), (2, "2024-01-02")):
        write(pl.DataFrame({"user": [user]}), tmp_path / f"event=a%2Fb/dt={day}/hour=0{user}/part.{kind}")
    expected = [(1, "a/b", "2024-01-01", "01"), (2, "a/b", "2024-01-02", "02")]
    for path in ("", "event=*", "event=*/dt=*/hour=*/*", f"**/*.{kind}"):
        assert read(f"{tmp_path}/{path}", tmp_path / "s").rows() == expected
    assert read(tmp_path / f"event=a%2Fb/dt=2024-01-01/hour=01/part.{kind}", tmp_path / "s").rows() == expected[:1]


def test_a_column_of_the_file_is_the_files(tmp_path: Path) -> None:
    write(pl.DataFrame({"day": [5], "user": [1]}), tmp_path / "day=1/a.parquet")
    assert read(tmp_path, tmp_path / "s").to_dicts() == [{"day": 5, "user": 1}]


@given(value=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8))
def test_a_value_comes_back_from_the_name_of_its_folder(value: str) -> None:
    from urllib.parse import quote

    assert partitions_of(f"s3://bucket/a/key={quote(value, safe='')}/x=/part=1.csv") == {"key": value, "x": None}


# Files without rows


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_empty_parts_and_markers_hold_no_rows(kind: str, tmp_path: Path) -> None:
    write(pl.DataFrame({"user": [1, 2]}), tmp_path / f"logs/part-1.{kind}")
    for name in ("_SUCCESS", "_committed_123", f"_temporary/0/part-9.{kind}", f".part-1.{kind}.crc", "x_$folder$"):
        (tmp_path / "logs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "logs" / name).write_bytes(b"" if name.startswith("_S") else b"\0")
    (tmp_path / f"logs/part-0.{kind}").touch()
    (tmp_path / f"logs/part-2.{kind}.gz").write_bytes(gzip.compress(b""))
    if kind == "parquet":
        pq.write_table(pa.table({"other": pa.nulls(0)}), tmp_path / "logs/part-3.parquet")
        pq.write_table(pa.table({"user": pa.array([], pa.int64())}), tmp_path / "logs/part-00.parquet")
    else:
        (tmp_path / f"logs/part-3.{kind}").write_text("\n \n")
        (tmp_path / f"logs/part-4.{kind}").write_bytes(b"\xef\xbb\xbf\r\n")
    for path in ("logs", "logs/*"):
        assert read(tmp_path / path, tmp_path / "s")["user"].to_list() == [1, 2]


def test_nothing_but_empty_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    assert "a.csv: all 2 files of the table are empty" in refusal(tmp_path, tmp_path / "s")


def test_parts_of_json_lines_may_leave_out_keys(tmp_path: Path) -> None:
    write(pl.DataFrame({"user": [1]}), tmp_path / "a.jsonl")
    write(pl.DataFrame({"user": [2], "rating": [5]}), tmp_path / "b.jsonl")
    assert read(tmp_path, tmp_path / "s").rows() == [(1, None), (2, 5)]


def test_parts_whose_types_do_not_meet_are_named(tmp_path: Path) -> None:
    write(pl.DataFrame({"user": [1], "tag": [1]}), tmp_path / "a.parquet")
    write(pl.DataFrame({"user": [2], "tag": [["x"]]}), tmp_path / "b.parquet")
    message = refusal(tmp_path, tmp_path / "s")
    assert "b.parquet: the column 'tag' has the type List(String), in " in message
    assert message.endswith("a.parquet Int64; use one type")


def test_large_groups_of_files_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    for day in (1, 2):
        write(pl.DataFrame({"user": [day] * 300_000}), tmp_path / f"logs/{day}/part.parquet")
    frame = read(tmp_path / "logs", tmp_path / "s", memory_gb=1e-3)
    assert frame["user"].value_counts().sort("user").rows() == [(1, 300_000), (2, 300_000)]


# Paths


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_path_that_exists_is_that_path_before_it_is_a_pattern(kind: str, tmp_path: Path) -> None:
    odd = tmp_path / ODD
    write(pl.DataFrame({"user": [1]}), odd / f"a[1].{kind}")
    write(pl.DataFrame({"user": [2]}), odd / f"b 2.{kind}")
    assert read(odd / f"a[1].{kind}", tmp_path / "s")["user"].to_list() == [1]
    assert read(odd, odd / "s[1]")["user"].to_list() == [1, 2]
    assert read(odd / f"b*.{kind}", odd / "s[1]")["user"].to_list() == [2]


def test_the_folder_that_holds_a_path_is_what_is_there(tmp_path: Path) -> None:
    odd = tmp_path / ODD
    odd.mkdir()
    (odd / "a[1].csv").touch()
    for path in (odd, odd / "a[1].csv", odd / "b*.csv", odd / "*/x/b.csv"):
        assert folder_holding(str(path)) == odd
    assert folder_holding(str(odd / "none/a.csv")) == odd / "none"


# S3


def test_keys_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with moto_endpoint() as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        client, bucket = boto3.client("s3"), endpoint.new_bucket()
        outside = str(tmp_path / "outside.csv")
        keys = {outside: 1, "../../up.csv": 2, "a//b.csv": 3, "a/b.csv": 4, "logs/x": 5, "logs/x/y.csv": 6}
        for key, user in keys.items():
            client.put_object(Bucket=bucket, Key=key, Body=f"user\n{user}\n".encode())
        client.put_object(Bucket=bucket, Key="logs/empty_$folder$", Body=b"")
        client.put_object(Bucket=bucket, Key="a", Body=b"")
        scratch = tmp_path / "run/scratch"
        url = f"s3://{bucket}/"
        for key, user in keys.items():
            if key != "logs/x":
                assert read(url + key, scratch)["user"].to_list() == [user], key
        assert read(f"{url}a", scratch)["user"].to_list() == [3, 4]
        assert read(f"{url}logs/", scratch, format="csv")["user"].to_list() == [5, 6]
        assert read(f"{url}logs/[x]", scratch, format="csv")["user"].to_list() == [5, 6]
        message = refusal(f"{url}logs/x", scratch)
        assert f"{url}logs/x: is an object and the folder of others, like logs/x/y.csv; write {url}logs/x/" in message
    assert [path for path in tmp_path.iterdir() if path.name != "run"] == []
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"scratch"}


# Types of Parquet


def test_types_of_parquet_are_what_they_mean(tmp_path: Path) -> None:
    ids = [uuid.UUID(int=1), uuid.UUID("1f5944d8-3b7c-4330-87dd-a8becadc9843"), None]
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    columns = {
        "uuid": pa.array([one and one.bytes for one in ids], pa.uuid()),
        "words": pa.array(["3", "1", None]).dictionary_encode(),
        "lists": pa.array([["3"], ["1"], None], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        "large": pa.array(["a", "é", None], pa.large_string()),
        "view": pa.array(["a", "é", None], pa.string_view()),
        "decimal": pa.array([decimal.Decimal("12345678901234567890"), None, decimal.Decimal(3)], pa.decimal128(20, 0)),
        "time": pa.array([moment, None, moment], pa.timestamp("ns", "Asia/Tokyo")),
        "nested": pa.array([[[1]], [[2], []], None]),
    }
    for schema in (True, False):
        pq.write_table(pa.table(columns), tmp_path / "a.parquet", store_schema=schema)
        frame = read(tmp_path / "a.parquet", tmp_path / "s")
        assert frame["uuid"].to_list() == [one and str(one) for one in ids]
        assert frame["words"].to_list() == ["3", "1", None]
        assert frame["words"].dtype == pl.String
        assert frame["lists"].dtype == pl.List(pl.String)
        assert frame["large"].to_list() == frame["view"].to_list() == ["a", "é", None]
        assert frame["decimal"].to_list() == columns["decimal"].to_pylist()
        assert frame["time"].dt.epoch("s").to_list() == [1704067200, None, 1704067200]
        assert frame["nested"].to_list() == [[[1]], [[2], []], None]


def test_a_decimal_that_is_too_long_is_named(tmp_path: Path) -> None:
    wide = pa.array([decimal.Decimal(1)], pa.decimal256(50, 0))
    pq.write_table(pa.table({"user": [1], "price": wide}), tmp_path / "a.parquet")
    assert "the column 'price' is decimal256(50, 0), but numbers have at most 38 digits" in refusal(
        tmp_path / "a.parquet", tmp_path / "s"
    )


# Text


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ""])
def test_packed_files_of_several_members_are_read_to_their_end(ending: str, tmp_path: Path) -> None:
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, "": gzip.compress}[ending]
    (tmp_path / f"a.csv{ending}").write_bytes(pack(b"user,note\n1,a\n2,") + pack(b"b\n") + pack(b"3,c\n"))
    assert read(tmp_path / f"a.csv{ending}", tmp_path / "s").rows() == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_spreadsheets_csv_is_read_with_its_mark_and_line_ends(encoding: str, end: str, tmp_path: Path) -> None:
    rows = [(1, 'é "x",\r\ny'), (2, "plain"), (3, "a\nb")]
    with (tmp_path / "a.csv").open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerow(["user", "note"])
        writer.writerows(rows)
    frame = read(tmp_path / "a.csv", tmp_path / "s")
    assert frame.columns == ["user", "note"]
    assert frame.rows() == rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_lines_may_begin_with_a_mark(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"user": "é"}\r\n\r\n{"user": "b"}\r\n'.encode(encoding))
    assert read(tmp_path / "a.jsonl", tmp_path / "s")["user"].drop_nulls().to_list() == ["é", "b"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.xlsx", b"PK\x03\x04....", "Excel files are not supported: .*; save the sheet as CSV"),
        ("a.XLS", b"\xd0\xcf\x11\xe0....", "save the sheet as CSV"),
        ("a.csv", b"PK\x03\x04....", "this is a zip archive or an Excel file"),
        ("b.csv", b"PAR1....PAR1", "this is Parquet; set `format: parquet`"),
        ("c.csv", "user,item\n1,2\n".encode("utf-16-le"), "set `encoding: utf-16-le`"),
        ("d.csv", b"user,item\r1,2\r3,4\r", "lines end with CR only"),
        ("e.jsonl", b"SQLite format 3\0....", "this is an SQLite database"),
    ],
)
def test_another_kind_of_file_is_refused_by_its_name_with_the_mend(
    name: str, data: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=f"{name}: .*{said}"):
        read(tmp_path / name, tmp_path / "s")
