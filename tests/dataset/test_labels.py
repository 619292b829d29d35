"""Labels of events, from files in which a like is a row of its own beside the listen."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shortlist.data.ingest import ingest
from shortlist.data.validate import DataError, validate
from shortlist.dataset.leakage import LeakageError
from shortlist.dataset.leakage.histories_and_queries import prove_queries
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe, RecipeError, parse_recipe

DAY = 86_400
START = 1_735_689_600

RECIPE = """
name: events
source:
  kind: files
  events: [{{path: {path}, columns: {{user_id: uid, item_id: item, time: timestamp}}}}]
interactions:
  positive: event_type = 'listen'
{labels}
split: {{kind: temporal, test: 1d, valid: 1d}}
contract: {{max_quarantined: 0.1}}
evaluation: {{mask_seen: {mask_seen}}}
"""
LIKED = "  labels: {liked: event_type = 'like', disliked: event_type = 'dislike'}"


def rows() -> list[tuple[int, int, int, str]]:
    """User, item, day and kind: everybody listens for two days; in validation and test some like what they hear."""
    found = [(user, item, 0, "listen") for user in range(1, 6) for item in range(1, 5)]
    found += [(user, 10 + user, 1, "listen") for user in range(1, 6)]
    found += [(1, 11, 1, "like"), (2, 3, 1, "dislike")]  # the like is in the very second of its listen
    found += [(user, item, 2, "listen") for user in range(1, 6) for item in (20, 21)]
    # Of user 1 what it heard; of 2 what it never heard; of 3 what is in its history; 9 has no positive in the test.
    found += [(1, 21, 2, "like"), (2, 22, 2, "like"), (3, 1, 2, "like"), (9, 20, 2, "like"), (1, 20, 2, "dislike")]
    return found + [(6, item, 0, "listen") for item in (*range(11, 16), 20, 21, 22)]  # all are there from the first day


def write(folder: Path, labels: str = LIKED, mask_seen: str = "true") -> Recipe:
    user, item, day, kind = zip(*rows(), strict=True)
    times = START + np.array(day) * DAY
    frame = pl.DataFrame({"uid": user, "item": item, "timestamp": times, "event_type": kind})
    frame.write_parquet(folder / "events.parquet")
    text = RECIPE.format(path=folder / "events.parquet", labels=labels, mask_seen=mask_seen)
    return parse_recipe(text)


def steps(folder: Path, recipe: Recipe) -> Prepared:
    ingest(recipe, folder / "tables")
    validate(recipe, folder / "tables", folder / "clean", folder / "bad", folder / "docs.html")
    prepare(recipe, folder / "clean", folder / "prepared")
    return Prepared.open(folder / "prepared")


def targets(prepared: Prepared, label: str) -> dict[int, list[int]]:
    """User -> the items with this label among the targets of the test."""
    one, store = prepared.test.targets(label), prepared.store
    users = store.users.values(prepared.test.user)
    return {
        user: sorted(store.items.values(one.items[start:end].astype(np.int64)))
        for user, start, end in zip(users, one.offsets[:-1].tolist(), one.offsets[1:].tolist(), strict=True)
    }


def test_the_targets_of_a_label_are_the_items_with_such_an_event_in_the_window(tmp_path: Path) -> None:
    prepared = steps(tmp_path, write(tmp_path))
    assert targets(prepared, "positive") == {user: [20, 21] for user in range(1, 6)}
    assert targets(prepared, "liked") == {1: [21], 2: [22], 3: [], 4: [], 5: []}
    assert targets(prepared, "disliked") == {1: [20], 2: [], 3: [], 4: [], 5: []}
    some = prepared.test.take(np.array([1, 0]))
    assert some.targets("liked").counts.tolist() == [1, 1]
    assert some.draw(1, 0).labels.keys() == {"liked", "disliked"}


def test_items_of_the_history_are_targets_of_labels_only_without_the_mask(tmp_path: Path) -> None:
    prepared = steps(tmp_path, write(tmp_path, mask_seen="false"))
    assert targets(prepared, "liked")[3] == [1]


def test_a_like_is_neither_a_positive_nor_in_a_history(tmp_path: Path) -> None:
    prepared = steps(tmp_path, write(tmp_path))
    samples = prepared.samples
    assert not (samples.label & samples.labels["liked"]).any()
    assert int(samples.labels["liked"].sum()) == 5, "the one in the second of its listen is no duplicate"
    assert len(prepared.store.history_items) == int(samples.label.sum())


def test_without_labels_nothing_is_written_for_them(tmp_path: Path) -> None:
    prepared = steps(tmp_path, write(tmp_path, labels=""))
    assert prepared.samples.labels == prepared.test.labels == {}
    assert not list((tmp_path / "prepared").rglob("labels"))
    assert not [name for name in pl.read_parquet(tmp_path / "clean/events.parquet").columns if "label" in name]


def test_a_target_that_lacks_its_label_is_leakage(tmp_path: Path) -> None:
    prepared = steps(tmp_path, write(tmp_path))
    items = tmp_path / "prepared/queries/test/labels/liked/items.npy"
    wrong = np.load(items)
    wrong[0] = prepared.test.target_items[0]
    np.save(items, wrong)
    with pytest.raises(LeakageError, match=r"test query 0: item row .* is no test liked of its user"):
        prove_queries(Prepared.open(tmp_path / "prepared"), prepared.store.available)


def test_a_label_without_an_event_is_refused(tmp_path: Path) -> None:
    recipe = write(tmp_path, labels="  labels: {shared: event_type = 'share'}")
    ingest(recipe, tmp_path / "tables")
    with pytest.raises(DataError, match=r"interactions\.labels\.shared: .*no event satisfies \"event_type = 'share'\""):
        validate(recipe, tmp_path / "tables", tmp_path / "clean", tmp_path / "bad", tmp_path / "docs.html")
    with pytest.raises(ValueError, match=r"interactions\.labels\.shared: .* is true for none of the 50 events"):
        prepare(recipe, tmp_path / "tables", tmp_path / "prepared")


@pytest.mark.parametrize(
    ("interactions", "objective", "message"),
    [
        ("labels: {Liked: liked}", "{positive: 1}", "'Liked': a label is up to 40 lower-case letters"),
        ("labels: {positive: liked}", "{positive: 1}", "'positive' is the name of interactions.positive"),
        ("labels: {liked: liked}", "{likes: 1}", "ranking.objective.likes is not one of positive, liked"),
        ("labels: {liked: liked}", "{positive: 0}", "ranking.objective: all weights are 0"),
        ("labels: {liked: liked}", "{liked: .inf}", "ranking.objective.liked"),
        ("weight: 1", "{liked: 1}", "ranking.objective.liked is not one of positive; add it to interactions.labels"),
    ],
)
def test_a_recipe_whose_objective_makes_no_sense(interactions: str, objective: str, message: str) -> None:
    text = (
        f"name: x\nsource: {{kind: synthetic}}\ninteractions: {{{interactions}}}\n"
        f"split: {{kind: leave_one_out}}\nranking: {{objective: {objective}}}\n"
    )
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text)
    assert message in str(caught.value)
