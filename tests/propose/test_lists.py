"""Logs whose rows hold several items: every item is read as an event, in the order of its list."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.ingest import ingest
from shortlist.data.sources import SourceError
from shortlist.data.tables import scan
from shortlist.propose import Proposal, ProposalRequest, propose, recipe_text, summary
from shortlist.recipe import parse_recipe

HISTORIES = [(user, [(user * 7 + at * at) % 40 for at in range(3 + user % 5)]) for user in range(1, 40)]
EVENTS = [(user, item) for user, items in HISTORIES for item in items]


def proposed(folder: Path, file: Path, **asked: str) -> tuple[Proposal, list[tuple[object, object]]]:
    """What is proposed for a file, and the events that its recipe reads."""
    proposal = propose(ProposalRequest(str(file), **asked), folder / "scratch")
    recipe = parse_recipe(recipe_text(proposal, {"events": str(file)}))
    ingest(recipe, folder / "tables")
    return proposal, scan(folder / "tables", "events").select("user_id", "item_id").collect().rows()


def written(file: Path, lines: list[str]) -> Path:
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize("separator", [" ", "\t", ",", "|", "::"])
def test_lines_of_a_user_and_items(separator: str, tmp_path: Path) -> None:
    lines = [separator.join(map(str, [user, *items])) for user, items in HISTORIES]
    proposal, found = proposed(tmp_path, written(tmp_path / "log.txt", lines), time="row")
    assert found == EVENTS
    assert proposal.volume.rows == len(EVENTS)
    assert {guess.what for guess in summary(proposal) if not guess.sure} >= {"lists", "user", "item"}


def test_users_without_items_and_blanks_at_the_end_of_a_line(tmp_path: Path) -> None:
    lines = ["900", "901 ", *(f"{user} {' '.join(map(str, items))} " for user, items in HISTORIES)]
    _, found = proposed(tmp_path, written(tmp_path / "log.txt", lines), time="none")
    assert found == EVENTS


@given(
    st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=20, max_size=40).filter(
        lambda lists: len({len(items) for items in lists}) > 4 and sum(map(len, lists)) > 2 * len(lists)
    ),
    st.sampled_from(["{}", "{:04d}", "B{:05d}X"]),
)
def test_ids_in_lists_are_read_digit_for_digit(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[int]], spelling: str
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    events = [(f"{at:03d}u", spelling.format(item)) for at, items in enumerate(lists) for item in items]
    lines = [" ".join([f"{at:03d}u", *map(spelling.format, items)]) for at, items in enumerate(lists)]
    proposal = propose(ProposalRequest(str(written(folder / "log.txt", lines)), time="row"), folder / "scratch")
    recipe = parse_recipe(recipe_text(proposal, {"events": str(folder / "log.txt")}))
    ingest(recipe, folder / "tables")
    read = scan(folder / "tables", "events").select(pl.col("user_id", "item_id").cast(pl.String)).collect()
    assert read.rows() == events


def test_a_column_of_lists_in_json_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"customer": user, "items": items}) for user, items in HISTORIES]
    _, found = proposed(tmp_path, written(tmp_path / "log.jsonl", lines), time="row")
    assert found == EVENTS


def test_a_column_of_text_with_lists_has_the_time_of_its_row(tmp_path: Path) -> None:
    lines = ["customer;products;bought_at"]
    lines += [f"{user};{','.join(map(str, items))};2024-01-{user % 28 + 1:02d}" for user, items in HISTORIES]
    proposal, found = proposed(tmp_path, written(tmp_path / "baskets.csv", lines))
    assert found == EVENTS
    assert proposal.roles.moment is not None


def test_a_list_and_the_item_after_it(tmp_path: Path) -> None:
    lines = ["user_id:token\titem_id_list:token_seq\titem_id:token"]
    lines += [f"{user}\t{' '.join(map(str, items[:-1]))}\t{100 + items[-1]}" for user, items in HISTORIES]
    _, found = proposed(tmp_path, written(tmp_path / "valid.inter", lines), time="row")
    expected = [[*items[:-1], 100 + items[-1]] for _, items in HISTORIES]
    assert found == [(user, item) for (user, _), items in zip(HISTORIES, expected, strict=True) for item in items]


def test_lists_that_repeat_other_rows_are_not_read(tmp_path: Path) -> None:
    lines = ["user_id:token\titem_id_list:token_seq\titem_id:token"]
    for user, items in HISTORIES:
        lines += [f"{user}\t{' '.join(map(str, items[:at]))}\t{items[at]}" for at in range(1, len(items))]
    proposal, found = proposed(tmp_path, written(tmp_path / "train.inter", lines), time="row")
    assert found == [(user, item) for user, items in HISTORIES for item in items[1:]]
    assert proposal.unused == ["item_id_list:token_seq"]


def test_lists_without_a_time_need_one_option(tmp_path: Path) -> None:
    lines = [" ".join(map(str, [user, *items])) for user, items in HISTORIES]
    with pytest.raises(SourceError, match=r"Pass --time COLUMN \(or --time row"):
        propose(ProposalRequest(str(written(tmp_path / "log.txt", lines))), tmp_path / "scratch")


@pytest.mark.parametrize(
    "line",
    ["a sentence with 1 number", "title: 2001 a film of 3 parts"],
)
def test_prose_is_no_list(line: str, tmp_path: Path) -> None:
    lines = [f"{at} {line} {'word ' * (at % 5)}" for at in range(50)]
    with pytest.raises(SourceError, match="no separator divides its lines"):
        propose(ProposalRequest(str(written(tmp_path / "log.txt", lines))), tmp_path / "scratch")
