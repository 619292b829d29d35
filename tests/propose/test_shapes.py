"""Five shapes of files: what is proposed of them is a sound recipe, and every row is read as it was meant."""

from pathlib import Path

import log_shapes as shapes
import polars as pl
import pytest

from shortlist.data.ingest import ingest
from shortlist.data.tables import scan
from shortlist.data.validate import validate
from shortlist.propose import Proposal, ProposalRequest, propose, recipe_text
from shortlist.recipe import Recipe, parse_recipe


def proposed(tmp_path: Path, **asked: str) -> tuple[Proposal, Recipe]:
    proposal = propose(ProposalRequest(**asked), tmp_path / "scratch")
    written = {name: asked[name] for name in ("events", "items", "users") if name in asked}
    return proposal, parse_recipe(recipe_text(proposal, written))


def read(recipe: Recipe, tmp_path: Path) -> pl.DataFrame:
    """The clean events; every row passes the contract."""
    ingest(recipe, tmp_path / "tables")
    validate(recipe, tmp_path / "tables", tmp_path / "clean", tmp_path / "quarantine", tmp_path / "docs.html")
    return scan(tmp_path / "clean", "events").collect()


def test_semicolons_with_decimal_commas(tmp_path: Path) -> None:
    proposal, recipe = proposed(tmp_path, events=str(shapes.semicolons(tmp_path)))
    assert proposal.events.dialect.separator == ";"
    found = read(recipe, tmp_path)
    expected = shapes.events()
    assert found["user_id"].to_list() == [user for user, *_ in expected]
    assert found["item_id"].to_list() == [item for _, item, *_ in expected]
    assert found["time"].to_list() == [int(at.timestamp()) // 60 * 60 for _, _, at, _ in expected]
    assert recipe.interactions.positive == "Menge > 0"
    assert 0 < found["positive"].mean() < 1  # type: ignore[operator]
    items = scan(tmp_path / "tables", "items").collect().sort("item_id")
    assert items["Preis"].to_list() == [item % 7 + 1 + (item % 90 + 10) / 100 for item in items["item_id"].to_list()]


def test_latin_1_with_a_table_of_items(tmp_path: Path) -> None:
    ratings, products = shapes.latin1(tmp_path)
    proposal, recipe = proposed(tmp_path, events=str(ratings), items=str(products))
    assert proposal.events.dialect.encoding == "utf-8"  # its bytes are ASCII
    assert proposal.items is not None
    assert proposal.items.sample.dialect.encoding == "latin-1"
    assert recipe.interactions.time_unit == "ms"
    assert recipe.interactions.positive == "rating >= 4"
    assert recipe.features.item.title == "title"
    assert [one.name for one in recipe.features.item.categorical] == ["group"]
    found = read(recipe, tmp_path)
    assert found["time"].to_list() == [int(at.timestamp()) for _, _, at, _ in shapes.events()]
    titles = scan(tmp_path / "tables", "items").collect()["title"].to_list()
    assert "Käse Nr. 0 frisch" in titles


def test_iso_times_with_offsets(tmp_path: Path) -> None:
    proposal, recipe = proposed(tmp_path, events=str(shapes.iso_times(tmp_path)))
    assert (proposal.roles.user.column.name, proposal.roles.item.column.name) == ("visitorId", "sku")
    assert recipe.interactions.positive == "event_type IN ('purchase')"
    found = read(recipe, tmp_path)
    assert found["user_id"][0] == f"{shapes.events()[0][0]:06d}x"
    assert found["time"].to_list() == [int(at.timestamp()) for _, _, at, _ in shapes.events()]


def test_json_lines(tmp_path: Path) -> None:
    _, recipe = proposed(tmp_path, events=str(shapes.json_lines(tmp_path)))
    found = read(recipe, tmp_path)
    assert found["user_id"].to_list() == [f"u-{user}" for user, *_ in shapes.events()]
    assert found["item_id"].to_list() == [item for _, item, *_ in shapes.events()]


def test_no_header(tmp_path: Path) -> None:
    proposal, recipe = proposed(tmp_path, events=str(shapes.no_header(tmp_path)))
    assert proposal.events.dialect.header is False
    assert not proposal.roles.user.sure
    found = read(recipe, tmp_path)
    assert found["user_id"].to_list() == [user for user, *_ in shapes.events()]
    assert found["item_id"].to_list() == [item for _, item, *_ in shapes.events()]
    assert found["time"].to_list() == [int(at.timestamp()) for _, _, at, _ in shapes.events()]


@pytest.mark.parametrize("shape", ["semicolons", "iso_times", "json_lines", "no_header"])
def test_the_split_leaves_both_windows_users_who_were_there_before(shape: str, tmp_path: Path) -> None:
    proposal, _ = proposed(tmp_path, events=str(getattr(shapes, shape)(tmp_path)))
    assert proposal.split.kind == "temporal"
    assert proposal.split.test + proposal.split.valid < shapes.DAYS * 86_400 / 2


def _times(count: int, days: int) -> list[str]:
    return [f"2024-{1 + at * days // count // 28:02d}-{at * days // count % 28 + 1:02d}" for at in range(count)]


def test_a_window_without_returning_users_gives_way_to_the_last_positives(tmp_path: Path) -> None:
    # Twenty users of whom each is there for some days only; two are there all the time.
    lines = ["user,item,time"] + [
        f"{at % 2 if at % 10 == 0 else 2 + at // 50},{at % 17},{day}" for at, day in enumerate(_times(900, 270))
    ]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    proposal, _ = proposed(tmp_path, events=str(tmp_path / "log.csv"))
    assert proposal.split.kind == "leave_one_out"
    assert "were there before" in proposal.split.why


def test_items_that_come_and_go_are_said_to_be_unknown_beforehand(tmp_path: Path) -> None:
    lines = ["bidder,tender,day"] + [f"b{(at * 7) % 23},{at // 4},{day}" for at, day in enumerate(_times(900, 270))]
    (tmp_path / "bids.csv").write_text("\n".join(lines) + "\n")
    proposal, _ = proposed(tmp_path, events=str(tmp_path / "bids.csv"))
    assert proposal.split.kind == "leave_one_out"
    assert not proposal.split.sure
    assert "--user tender --item bidder" in proposal.split.why


def test_an_index_column_is_no_feature_and_long_decimals_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "\n".join(["user,item,time", *(f"{n % 9},{n % 17},2024-01-{n % 28 + 1:02d}" for n in range(99))])
    )
    rows = [f"{n},{n * 3 % 17},{n / 7 - 1:.19f}" for n in range(17)]
    (tmp_path / "items.csv").write_text("\n".join([",item,post_energy", *rows]))
    proposal, recipe = proposed(tmp_path, events=str(tmp_path / "log.csv"), items=str(tmp_path / "items.csv"))
    assert proposal.items is not None
    assert proposal.items.attributes.numeric == ["post_energy"]
    assert proposal.items.attributes.unused == {"": "it counts the rows"}
    read(recipe, tmp_path)
    energy = scan(tmp_path / "tables", "items").collect().sort("item_id")["post_energy"]
    assert energy.is_between(-1, 16 / 7).all()


def test_a_table_without_names_has_a_title(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("\n".join(f"{n % 19},{n % 17},2024-01-{n % 28 + 1:02d}" for n in range(400)))
    (tmp_path / "items.dat").write_text("\n".join(f"{n}::Film no. {n}::{'a|b' if n % 2 else 'b'}" for n in range(17)))
    _, recipe = proposed(tmp_path, events=str(tmp_path / "log.csv"), items=str(tmp_path / "items.dat"))
    assert recipe.features.item.title == "column_2"


def test_items_without_events_are_among_the_negatives(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "\n".join(["user,item,time", *(f"{n % 19},{n % 17},2024-01-{n % 28 + 1:02d}" for n in range(400))])
    )
    asked = {"events": str(tmp_path / "log.csv"), "items": str(tmp_path / "items.csv")}
    for count, kind in ((17, "in_batch"), (40, "mixed")):
        rows = [f"{n},title of {n},group {n % 3}" for n in range(count)]
        (tmp_path / "items.csv").write_text("\n".join(["item,title,group", *rows]) + "\n")
        _, recipe = proposed(tmp_path, **asked)
        assert recipe.retrieval.negatives.kind == kind
