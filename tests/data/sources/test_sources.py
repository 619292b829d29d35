"""Raw files of every kind and place, and one clear message for each thing that can be wrong with them."""

import gzip
import http.server
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from s3_server import Endpoint, moto_endpoint

from shortlist.data.sources import MissingSourceError, SourceError, bind
from shortlist.data.sources.files import scan_table
from shortlist.data.sources.locate import Found, choose, find
from shortlist.data.sources.parquet import broken_file, scan_parquet
from shortlist.recipe import TableFile

ROWS = "user,item,note\n1,10,a\n2,20,é\n"


def read(path: Path | str, scratch: Path, **settings: object) -> pl.DataFrame:
    table = TableFile.model_validate({"path": str(path), **settings})
    return scan_table(find(table.path, scratch), table, scratch, 1.0).collect()


def refusal(path: Path | str, scratch: Path, **settings: object) -> str:
    with pytest.raises(SourceError) as caught:
        read(path, scratch, **settings)
    return str(caught.value)


def zipped(data: bytes, name: str, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, data)
        archive.writestr(f"__MACOSX/._{name}", b"x")


# Formats and packings


@pytest.mark.parametrize("packing", ["", ".gz", ".zst", ".zip"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_in_every_packing_gives_the_same_rows(kind: str, packing: str, tmp_path: Path) -> None:
    expected = pl.DataFrame({"user": [1, 2], "item": [10, 20], "note": ["a", "é"]})
    plain = tmp_path / f"plain.{kind}"
    {"csv": expected.write_csv, "jsonl": expected.write_ndjson, "parquet": expected.write_parquet}[kind](plain)
    path = tmp_path / f"events.{kind}{packing}"
    data = plain.read_bytes()
    if packing == ".zip":
        zipped(data, f"events.{kind}", path)
    else:
        path.write_bytes({"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[packing](data))
    assert read(path, tmp_path / "s").equals(expected)


def test_latin_1_a_long_separator_no_header_and_ordinary_quotes(tmp_path: Path) -> None:
    path = tmp_path / "movies.dat.gz"
    path.write_bytes(gzip.compress('1::Léon: "The: Professional::A|B\n2::Heat::C\n'.encode("latin-1")))
    frame = read(path, tmp_path / "s", format="csv", separator="::", header=False, quote=None, encoding="latin-1")
    assert frame.columns == ["column_1", "column_2", "column_3"]
    assert frame.rows() == [(1, 'Léon: "The: Professional', "A|B"), (2, "Heat", "C")]


@given(
    rows=st.lists(st.tuples(*[st.text("ab:é ", min_size=1, max_size=8)] * 2), min_size=1, max_size=30),
    block=st.integers(1, 7),
)
def test_a_long_separator_is_found_wherever_the_blocks_are_cut(
    rows: list[tuple[str, str]], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("separator")
    rows = [(re.sub(":+", ":", a).strip(":") or "x", re.sub(":+", ":", b).strip(":") or "x") for a, b in rows]
    (folder / "a.csv").write_text("one::two\n" + "".join(f"{a}::{b}\n" for a, b in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shortlist.data.sources.plain._BLOCK", block)
        assert read(folder / "a.csv", folder / "s", separator="::", quote=None).rows() == rows


def test_quoted_separators_and_line_breaks_are_part_of_the_value(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('user,note\n1,"a,b"\n2,"say ""hi""\nthere"\n')
    assert read(tmp_path / "a.csv", tmp_path).rows() == [(1, "a,b"), (2, 'say "hi"\nthere')]
    (tmp_path / "b.csv").write_text('user::note\n1::"a::b"\n')
    assert read(tmp_path / "b.csv", tmp_path / "s", separator="::").rows() == [(1, "a::b")]


def test_a_column_has_the_type_of_all_its_values(tmp_path: Path) -> None:
    number, late, code, share, flag = range(1000), ["1"] * 900 + ["b"] * 100, "007", 0.5, "true"
    rows = [f"{n},{w},{code},{share},{flag}\n" for n, w in zip(number, late, strict=True)]
    rows[500] = "oops,1,007,,TRUE\n"
    (tmp_path / "a.csv").write_text("number,late,code,share,flag\n" + "".join(rows))
    frame = read(tmp_path / "a.csv", tmp_path)
    assert dict(frame.schema) == {
        "number": pl.String,
        "late": pl.String,
        "code": pl.String,
        "share": pl.Float64,
        "flag": pl.Boolean,
    }
    assert frame["number"][500] == "oops"
    assert frame["flag"].all()


def test_json_lines_take_late_columns_and_mixed_types(tmp_path: Path) -> None:
    lines = [{"user": 1}] * 500 + [{"user": "x", "late": [1, 2]}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    frame = read(tmp_path / "a.jsonl", tmp_path)
    assert frame.row(500) == ("x", [1, 2])


def test_a_huge_row_group_is_cut_before_it_is_read(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": range(300_000)})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=1_000_000)
    found = Found(tmp_path / "a.parquet", "a.parquet")
    assert scan_parquet(found, tmp_path / "s", memory_gb=1e-3).collect().equals(frame)
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["a.grouped.parquet"]
    scan_parquet(found, tmp_path / "t", memory_gb=1.0).collect()
    assert not (tmp_path / "t").exists()


# Places


def test_a_folder_and_a_glob_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "day=2").mkdir(parents=True)
    for name, user in (("b.csv", 2), ("a.csv.gz", 1), ("day=2/c.csv", 3), ("_SUCCESS", 9), (".hidden.csv", 9)):
        text = f"user\n{user}\n".encode()
        (logs / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read(logs, tmp_path / "s")["user"].to_list() == [1, 2, 3]
    assert read(f"{logs}/*.csv", tmp_path / "s")["user"].to_list() == [2]
    assert read(f"{logs}/**/*.csv", tmp_path / "s")["user"].to_list() == [2, 3]
    assert read(f"file://{logs}/b.csv", tmp_path / "s")["user"].to_list() == [2]


def test_files_of_one_table_agree_on_their_columns_and_may_differ_in_types(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,rating\n1,4\n")
    (tmp_path / "b.csv").write_text("rating,user\n3.5,2\n")
    assert read(f"{tmp_path}/*.csv", tmp_path / "s").rows() == [(1, 4.0), (2, 3.5)]
    (tmp_path / "c.csv").write_text("user,ratings\n1,4\n")
    message = refusal(f"{tmp_path}/*.csv", tmp_path / "s")
    assert "c.csv has no column 'rating'; did you mean 'ratings'? It has: user, ratings" in message


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("logs/a.csv", ["logs/a.csv"]),
        ("logs", ["logs/a.csv", "logs/b.csv", "logs/x/c.csv"]),
        ("logs/", ["logs/a.csv", "logs/b.csv", "logs/x/c.csv"]),
        ("logs/*.csv", ["logs/a.csv", "logs/b.csv"]),
        ("logs/**/*.csv", ["logs/a.csv", "logs/b.csv", "logs/x/c.csv"]),
        ("logs/_t*/*.csv", ["logs/_tmp/d.csv"]),
        ("logs*/x", ["logs/x/c.csv"]),
        ("logs/[!a].csv", ["logs/b.csv"]),
        ("logs/?.csv", ["logs/a.csv", "logs/b.csv"]),
    ],
)
def test_patterns_in_a_store_mean_what_they_mean_on_disk(pattern: str, chosen: list[str]) -> None:
    names = ["logs/b.csv", "logs/a.csv", "logs/x/c.csv", "logs/_tmp/d.csv", "logs2/e.csv"]
    assert choose(pattern, names, pattern) == chosen


# What can be wrong with a file


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(ROWS)
    assert "evnts.csv: there is no such file; did you mean 'events.csv'?" in refusal(tmp_path / "evnts.csv", tmp_path)
    assert "no file matches" in refusal(f"{tmp_path}/*.parquet", tmp_path)
    (tmp_path / "none").mkdir()
    assert "the folder has no files" in refusal(tmp_path / "none", tmp_path)
    assert "cannot read ftp://" in refusal("ftp://a/b.csv", tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz"])
def test_an_empty_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    assert refusal(tmp_path / name, tmp_path / "s").endswith(f"{name}: the file is empty")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b""))
    assert refusal(tmp_path / "b.csv.gz", tmp_path / "s").endswith("b.csv.gz: the file is empty")


@pytest.mark.parametrize(
    ("packing", "said"), [(".gz", "the file is truncated"), (".zst", "copy it again"), (".zip", "not a valid")]
)
def test_a_truncated_archive(packing: str, said: str, tmp_path: Path) -> None:
    data = "".join(f"{n},{n * 7919 % 1000}\n" for n in range(50_000)).encode()
    path = tmp_path / f"a.csv{packing}"
    if packing == ".zip":
        zipped(data, "a.csv", path)
    else:
        path.write_bytes({".gz": gzip.compress, ".zst": zstandard.compress}[packing](data))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = refusal(path, tmp_path / "s")
    assert path.name in message
    assert said in message


def test_an_archive_with_several_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("one.csv", "a\n1\n")
        archive.writestr("two.csv", "a\n1\n")
    assert "the archive must contain one file, it has: one.csv, two.csv" in refusal(tmp_path / "a.csv.zip", tmp_path)


def test_a_truncated_and_a_damaged_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"user": range(100_000)}).write_parquet(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    message = refusal(path, tmp_path)
    assert message.startswith(f"{path}: truncated, or not a Parquet file")
    path.write_bytes(data[:1000] + bytes(len(data) // 2) + data[1000 + len(data) // 2 :])
    error = broken_file([Found(path, "s3://logs/a.parquet")])
    assert str(error).startswith("s3://logs/a.parquet: its data is damaged")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 fields, the first line has 2"),
        ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 field, the first line has 2"),
        ("a,b\n1,2\n\n4,5\n", "line 3 has 1 field, the first line has 2"),
        ('a,b\n1,"x\ny"\n2,"u\nv"\n3\n', "line 6 has 1 field, the first line has 2"),
        ('a,b\n1,2\n3,"x\n4,5\n', "line 3: unexpected end of data; fix the quotes"),
    ],
)
def test_a_broken_csv_row_names_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    message = refusal(tmp_path / "a.csv", tmp_path)
    assert message.startswith(f"{tmp_path}/a.csv: {said}")


def test_a_broken_json_line_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": 2,\n{"a": 3}\n')
    assert "a.jsonl: line 2 is not JSON" in refusal(tmp_path / "a.jsonl", tmp_path)
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n[1, 2]\n')
    assert "a.jsonl: line 2 is a list; write one JSON object per line" in refusal(tmp_path / "a.jsonl", tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_text_that_is_not_utf_8_names_line_and_byte(name: str, tmp_path: Path) -> None:
    rows = ["user,note", "1,a", "2,é"] if name == "a.csv" else ['{"n": "a"}', '{"n": "a"}', '{"n": "é"}']
    data = "\n".join([*rows, ""]).encode("latin-1")
    (tmp_path / name).write_bytes(data)
    message = refusal(tmp_path / name, tmp_path)
    at = data.index(b"\xe9")
    assert f"{name}: line 3, byte {at} (0xe9) is not UTF-8; " in message
    assert message.endswith("like `encoding: latin-1`")
    assert read(tmp_path / name, tmp_path / "s", encoding="latin-1").row(-1)[-1] == "é"


def test_an_encoding_that_is_unknown_or_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a\né\n".encode("latin-1"))
    assert "encoding 'latn' is unknown" in refusal(tmp_path / "a.csv", tmp_path / "s", encoding="latn")
    assert "byte 2 is not ascii" in refusal(tmp_path / "a.csv", tmp_path / "s", encoding="ascii")


def test_an_unknown_ending_asks_for_the_format(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text(ROWS)
    assert "the extension '.data' is unknown; set `format: parquet`, `csv` or `jsonl`" in refusal(
        tmp_path / "u.data", tmp_path
    )
    assert len(read(tmp_path / "u.data", tmp_path, format="csv")) == 2


# Expressions


SCHEMA = pl.Schema({"user": pl.Int64, "genres": pl.String, "rating": pl.Int64, "code": pl.String})


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("user", [1, 2]),
        ("rating >= 4", [True, False]),
        ("SPLIT_PART(genres, '|', 1)", ["A", "C"]),
        ("STRING_TO_ARRAY(genres, '|')", [["A", "B"], ["C"]]),
        ("CASE WHEN rating > 3 THEN 2 ELSE 1 END", [2, 1]),
        ("TRY_CAST(code AS BIGINT)", [None, 7]),
    ],
)
def test_expressions(sql: str, expected: list[object]) -> None:
    rows = {"user": [1, 2], "genres": ["A|B", "C"], "rating": [5, 3], "code": ["x", "7"]}
    frame = pl.DataFrame(rows, schema=SCHEMA)
    assert frame.select(value=bind(sql, SCHEMA, where="w", file="f"))["value"].to_list() == expected


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "raitng >= 4",
            "interactions.positive: u.csv has no column 'raitng'; did you mean 'rating'? It has: user, genres",
        ),
        ("rating >=", "interactions.positive: 'rating >=' is not a valid SQL expression: "),
        (
            "rating >= 4; DROP TABLE x",
            "interactions.positive: 'rating >= 4; DROP TABLE x' is not a valid SQL expression: ",
        ),
        ("NOSUCH(rating)", "there is no function NOSUCH"),
        ("genres + 1 > 'x'", "does not work on u.csv: "),
        ("SUM(rating) > 3", "SUM at character 1 aggregates rows"),
    ],
)
def test_expressions_that_cannot_be(sql: str, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        bind(sql, SCHEMA, where="interactions.positive", file="u.csv")
    assert said in str(caught.value)


# S3


@pytest.fixture(scope="module")
def s3() -> Iterator[Endpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3: Endpoint, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.new_bucket()


def test_s3_files_folders_and_patterns(bucket: str, tmp_path: Path) -> None:
    client = boto3.client("s3")
    for name, user in (("logs/b.csv", 2), ("logs/a.csv.gz", 1), ("other/c.csv", 3), ("logs/", 0)):
        body = f"user\n{user}\n".encode()
        client.put_object(Bucket=bucket, Key=name, Body=gzip.compress(body) if name.endswith("gz") else body)
    assert read(f"s3://{bucket}/logs/b.csv", tmp_path)["user"].to_list() == [2]
    assert read(f"s3://{bucket}/logs", tmp_path)["user"].to_list() == [1, 2]
    assert read(f"s3://{bucket}/*/*.csv", tmp_path)["user"].to_list() == [2, 3]
    assert [file.name for file in find(f"s3://{bucket}/other/", tmp_path)] == [f"s3://{bucket}/other/c.csv"]
    with pytest.raises(MissingSourceError, match=r"there is no such file; did you mean 'logs/b\.csv'\?"):
        find(f"s3://{bucket}/logs/d.csv", tmp_path)


def test_s3_without_the_bucket(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(MissingSourceError, match=r"s3://no-such-bucket-here/.*: there is no such bucket"):
        find("s3://no-such-bucket-here/a.csv", tmp_path)


def test_s3_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, bucket: str, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)
    message = refusal(f"s3://{bucket}/a.csv", tmp_path)
    assert message.startswith(f"s3://{bucket}/a.csv: the storage cannot be reached")
    assert message.endswith("check AWS_ENDPOINT_URL and the network")


def test_s3_without_credentials(monkeypatch: pytest.MonkeyPatch, bucket: str, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert "no AWS credentials; set AWS_ACCESS_KEY_ID" in refusal(f"s3://{bucket}/a.csv", tmp_path)


class _Answer(http.server.BaseHTTPRequestHandler):
    """A store of fixed answers; each server class has its own."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def serve() -> Iterator[object]:
    servers = []

    def start(handler: type[_Answer]) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_s3_that_denies_access(serve: object, monkeypatch: pytest.MonkeyPatch, bucket: str, tmp_path: Path) -> None:
    class Denying(_Answer):
        def do_GET(self) -> None:
            self.reply(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")

    monkeypatch.setenv("AWS_ENDPOINT_URL", serve(Denying))  # type: ignore[operator] # a fixture's function
    message = refusal(f"s3://{bucket}/a.csv", tmp_path)
    assert message.startswith(f"s3://{bucket}/a.csv: access denied (AccessDenied); check the AWS credentials")


# The hub


class Hub(_Answer):
    """What the hub's client asks for: the files of a revision, a file's address, a file."""

    files = {"flat/50m/listens.parquet": b"PAR1", "flat/50m/likes.parquet": b"", "README.md": b"x"}

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        name = path.partition("/resolve/main/")[2]
        if path == "/api/datasets/some/music/tree/main":
            listed = [{"type": "file", "path": k, "size": len(v), "oid": "0" * 40} for k, v in self.files.items()]
            self.reply(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})
        elif path.startswith("/datasets/some/music/") and name in self.files:
            self.reply(200, self.files[name], {"ETag": f'"{"a" * 40}"', "X-Repo-Commit": "b" * 40})
        else:
            self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET


def test_the_hub(serve: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", serve(Hub))  # type: ignore[operator] # a fixture's function
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    found = find("hf://datasets/some/music/flat/50m/listens.parquet", tmp_path)
    assert [file.name for file in found] == ["hf://datasets/some/music/flat/50m/listens.parquet"]
    assert found[0].path.read_bytes() == b"PAR1"
    names = [file.name.rpartition("/")[2] for file in find("hf://datasets/some/music/flat/*/l*.parquet", tmp_path)]
    assert names == ["likes.parquet", "listens.parquet"]
    with pytest.raises(MissingSourceError, match=r"did you mean 'flat/50m/listens\.parquet'\?"):
        find("hf://datasets/some/music/flat/50m/lisens.parquet", tmp_path)
    with pytest.raises(MissingSourceError, match="there is no such repository, or it is private: set HF_TOKEN"):
        find("hf://datasets/some/other/a.parquet", tmp_path)
    with pytest.raises(SourceError, match="write hf://datasets/<owner>/<name>/<path>"):
        find("hf://datasets/some", tmp_path)
