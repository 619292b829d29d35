"""What holds of every log: the columns that were written are those that are found, however the file is written."""

import datetime as dt
import random
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shortlist.data.sources import SourceError
from shortlist.data.sources.check_expressions import check_expressions
from shortlist.propose import Proposal, ProposalRequest, propose, recipe_text
from shortlist.propose.propose import name_of
from shortlist.recipe import parse_recipe

_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}
_TIMES = {
    **{unit: (lambda at, per=per: str(int(at.timestamp()) * per)) for unit, per in _UNITS.items()},
    "iso": lambda at: at.isoformat(),
    "iso day": lambda at: f"{at:%Y-%m-%d}",
    "american": lambda at: f"{at:%m/%d/%Y %H:%M}",
    "digits": lambda at: f"{at:%Y%m%d}",
}
_CONSTANTS = ("TRUE", "1.0")
"""What a recipe says by default, which a column of that name would replace."""
_IDS = {
    "integers": str,
    "long integers": lambda number: str(9_007_199_254_740_993 + number),
    "padded": lambda number: f"{number:07d}",
    "words": lambda number: f"id-{number}",
    "exponents": lambda number: f"{number}E4",
}


def _propose(text: str, encoding: str = "utf-8", **asked: str) -> tuple[Proposal, str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log.csv"
        file.write_bytes(text.encode(encoding))
        proposal = propose(ProposalRequest(str(file), **asked), Path(folder) / "scratch")
        return proposal, recipe_text(proposal, {"events": str(file)})


@given(
    separator=st.sampled_from([",", ";", "\t", "|", "::"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    names=st.sampled_from(
        [("user_id", "item_id", "timestamp"), ("customerId", "sku", "ts"), ("Kunde", "Artikel-Nr", "Datum")]
    ),
    time=st.sampled_from(sorted(_TIMES)),
    ids=st.tuples(st.sampled_from(sorted(_IDS)), st.sampled_from(sorted(_IDS))),
    order=st.permutations(range(4)),
    quoted=st.booleans(),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=40)
def test_the_columns_of_any_log_are_found(
    separator: str,
    encoding: str,
    names: tuple[str, str, str],
    time: str,
    ids: tuple[str, str],
    order: list[int],
    quoted: bool,
    seed: int,
) -> None:
    rng = random.Random(seed)
    start = dt.datetime(2023, 1, 1, tzinfo=dt.UTC)
    rows = [[*names, "Größe"]]
    for _ in range(200):
        at = start + dt.timedelta(seconds=rng.randrange(60 * 86_400))
        user, item = _IDS[ids[0]](100 + rng.randrange(15)), _IDS[ids[1]](5_000 + rng.randrange(30))
        rows.append([user, item, _TIMES[time](at), rng.choice(["groß", "klein"])])
    mark = '"' if quoted else ""
    text = "\n".join(separator.join(f"{mark}{row[at]}{mark}" for at in order) for row in rows) + "\n"
    proposal, recipe = _propose(text, encoding)
    roles = proposal.roles
    assert roles.time is not None
    assert (roles.user.column.name, roles.item.column.name, roles.time.column.name) == names
    assert proposal.events.dialect.separator == separator
    assert proposal.events.dialect.encoding == ("latin-1" if encoding == "latin-1" else "utf-8")
    assert roles.moment is not None
    assert roles.moment.unit == (time if time in _UNITS else "s")
    users = {row[0] for row in rows[1:]}
    assert set(roles.user.column.series.cast(pl.String)) == users  # digit for digit
    parse_recipe(recipe)


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20))
@example(name="\xa0\U00010000")
@settings(max_examples=60)
def test_any_name_of_a_column_gives_yaml_that_is_read_back(name: str) -> None:
    if (
        set(name) & set('",\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029')
        or "${" in name
        or name == "*"
        or (name.startswith("^") and name.endswith("$"))
        or name.strip() in ("", "item", "time", *_CONSTANTS)
    ):
        return
    lines = [f'"{name}",item,time'] + [f"u{at % 9},{at % 17},2024-01-{at % 28 + 1:02d}" for at in range(100)]
    _, text = _propose("\n".join(lines) + "\n", user=name, item="item", time="time")
    recipe = parse_recipe(text)
    check_expressions(recipe, "recipe.yaml", text)
    source = recipe.source
    assert source.kind == "files"
    assert source.events[0].columns["user_id"] in (name, f'"{name}"')


@given(path=st.text(max_size=100))
def test_a_name_is_one_that_a_recipe_may_have(path: str) -> None:
    parse_recipe(f"name: '{name_of(path)}'\nsource: {{kind: synthetic}}\nsplit: {{kind: leave_one_out}}")


def test_ids_are_never_guessed_from_floats() -> None:
    lines = ["CustomerID,StockCode,InvoiceDate"] + [
        f"{at % 9}.0,{at % 17},2024-01-{at % 28 + 1:02d}" for at in range(100)
    ]
    text = "\n".join(lines) + "\n"
    with pytest.raises(
        SourceError, match=r"cannot determine the user\. Pass --user COLUMN(.|\n)*CustomerID has the name of an id"
    ):
        _propose(text)
    proposal, _ = _propose(text, user="CustomerID")
    assert proposal.roles.user.column.name == "CustomerID"


def test_what_cannot_be_told_names_the_columns_and_the_options() -> None:
    lines = ["alpha,beta,gamma"] + [f"{at % 9},{at % 17},{at % 5}" for at in range(100)]
    with pytest.raises(SourceError) as caught:
        _propose("\n".join(lines) + "\n")
    message = str(caught.value)
    assert "cannot determine the user and the item and the time" in message
    assert all(word in message for word in ("alpha", "beta", "gamma", "--user COLUMN", "--item COLUMN", "--time row"))


def test_rows_in_order_and_rows_without_order() -> None:
    lines = ["user,item"] + [f"{at % 9},{at % 17}" for at in range(100)]
    text = "\n".join(lines) + "\n"
    _, ordered = _propose(text, time="row")
    assert parse_recipe(ordered).interactions.ordered
    _, unordered = _propose(text, time="none")
    assert not parse_recipe(unordered).interactions.ordered


def test_users_that_are_missing_in_many_rows_are_left_out_on_purpose() -> None:
    lines = ["user_id,item_id,time"] + [
        f"{'' if at % 4 == 0 else at % 9},{at % 17},2024-01-{at % 28 + 1:02d}" for at in range(200)
    ]
    _, text = _propose("\n".join(lines) + "\n")
    source = parse_recipe(text).source
    assert source.kind == "files"
    assert source.events[0].where == "user_id IS NOT NULL"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"", "the file is empty"),
        ("log.csv", b"\n \n", "the file is empty"),
        ("log.csv", b"user,item,time\n", "there is not a single row"),
        ("log.xlsx", b"PK\x03\x04....", "Excel files"),
        ("log.csv", b"PK\x03\x04....", "Excel"),
        ("log.csv", bytes(range(32)) * 40, "this is a binary file"),
        ("log.json", b'[{"user": 1}]', "this is one JSON array"),
        ("log.json", b'{"1": [2, 3]' + b', "22": [3]' * 9_000 + b"}", "this is one large JSON object"),
        ("log.csv", b"user\n1\n2\n", "no separator divides its lines"),
        ("log.csv", b"user,item,time\n1,2,3\n4,5\n" + b"6,7,8\n" * 200, "line 3 has 2 fields"),
        ("log.npy", b"\x93NUMPY\x01\0" + bytes(range(1, 32)) * 100, "this is a binary file"),
        ("log.csv.gz", b"user,item,time\n", "not a valid .gz file"),
    ],
)
def test_files_that_are_no_logs(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        propose(ProposalRequest(str(tmp_path / name)), tmp_path / "scratch")
    assert name in str(caught.value)


def test_a_long_file_is_looked_at_from_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shortlist.propose.sample._WHOLE", 20_000)
    monkeypatch.setattr("shortlist.propose.sample._END", 5_000)
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    lines = [f"{at % 50},{at % 70},{(start + dt.timedelta(minutes=5 * at)).isoformat()}" for at in range(20_000)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,time", *lines]) + "\n")
    proposal = propose(ProposalRequest(str(tmp_path / "log.csv")), tmp_path / "scratch")
    assert not proposal.events.whole
    assert proposal.events.rows == pytest.approx(20_000, rel=0.05)
    assert proposal.roles.moment is not None
    seconds = proposal.roles.moment.seconds
    assert seconds.max() == int((start + dt.timedelta(minutes=5 * 19_999)).timestamp())
    assert proposal.split.test == 3 * 86_400


def test_a_folder_of_parts(tmp_path: Path) -> None:
    for part in range(6):
        rows = [f"{at % 9},{at % 17},2024-0{part + 1}-{at % 28 + 1:02d}" for at in range(100)]
        (tmp_path / f"part-{part}.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    proposal = propose(ProposalRequest(str(tmp_path)), tmp_path / "scratch")
    assert proposal.events.rows == 600
    assert not proposal.events.whole


def test_an_item_key_of_floats_is_named_and_taken_when_given(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "\n".join(["user,item,time", *(f"{n % 9},{n % 17},2024-01-{n % 28 + 1:02d}" for n in range(99))])
    )
    (tmp_path / "items.csv").write_text("\n".join(["number,title", *(f"{n}.0,title of {n}" for n in range(17))]))
    asked = {"events": str(tmp_path / "log.csv"), "items": str(tmp_path / "items.csv")}
    with pytest.raises(SourceError, match=r"--item-key COLUMN.*'number' holds them with a fraction point"):
        propose(ProposalRequest(**asked), tmp_path / "scratch")
    proposal = propose(ProposalRequest(**asked, item_key="number"), tmp_path / "scratch")
    assert proposal.unreferenced == 0


def test_a_word_longer_than_a_vocabulary_takes_is_no_category(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "\n".join(["user,item,time", *(f"{n % 9},{n % 17},2024-01-{n % 28 + 1:02d}" for n in range(99))])
    )
    (tmp_path / "items.csv").write_text("\n".join(["item,maker", *(f"{n},{'x' * 300}{n % 3}" for n in range(17))]))
    proposal = propose(
        ProposalRequest(str(tmp_path / "log.csv"), items=str(tmp_path / "items.csv")), tmp_path / "scratch"
    )
    assert proposal.items is not None
    assert proposal.items.attributes.unused == {"maker": "its values are too long"}
