"""The rows that the models see are those of the raw files, read here by plain Python."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.jobs import Job
from benchmarks.quality.prepared import prepare_data
from benchmarks.quality.protocol import load_protocol
from benchmarks.quality.rows import read_rows
from shortlist.features.vocabulary import Vocabulary


def test_beauty_is_each_users_last_product_with_all_before_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORTLIST_DATA", str(data))
    monkeypatch.setenv("SHORTLIST_WORK", str(tmp_path))
    folder = prepare_data(Job("beauty", "popularity", 1, "test"))
    with gzip.open(data / "beauty/Beauty.txt.gz", "rt") as file:
        lines = [[int(word) for word in line.split()] for line in file]
    bought = {user: items for user, *items in lines}
    items, users = (Vocabulary.open(folder / f"features/vocabularies/{kind}.npy") for kind in ("item", "user"))
    for part, left in (("test", 1), ("valid", 2)):
        rows = read_rows(folder, load_protocol("beauty"), part)  # type: ignore[arg-type]  # both are parts
        asked = users.values(rows.user_Q)
        assert sorted(asked) == sorted(bought)
        for q, user in enumerate(asked):
            assert items.values(rows.target_items[q : q + 1]) == [bought[user][-left]]
            assert items.values(rows.histories[q]) == bought[user][:-left]
        assert len(rows.item_I) == sum(len(one) - left for one in bought.values())
    attributes = np.load(folder / "features/items/attributes.npy")
    assert (attributes[1:, 0] > 0).mean() > 0.99
