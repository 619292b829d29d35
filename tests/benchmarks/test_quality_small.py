"""The bench on a small invented log: ours beat popularity and item-kNN on the very same queries."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.judge import Values, judge
from benchmarks.quality.ours import PATH, RETRIEVAL, trained
from benchmarks.quality.peers import make_peer
from benchmarks.quality.protocol import Protocol
from benchmarks.quality.rows import Rows, read_rows
from shortlist.data.ingest import ingest
from shortlist.dataset.prepare import prepare
from shortlist.metrics.bootstrap import intervals
from shortlist.recipe import Recipe, parse_recipe

RECIPE = """
name: small
source: {kind: synthetic, users: 800, items: 3000, events: 100000, days: 60, dirty: 0}
interactions: {positive: played_ratio_pct >= 50}
split: {kind: temporal, test: 6d, valid: 6d}
features:
  history_length: 50
  item: {id_dim: 32, categorical: [{name: artist_id, dim: 32, max_values: 2}, {name: album_id, dim: 16}]}
retrieval:
  encoder: attention
  positions: every
  hidden: []
  training: {batch_size: 64, epochs: 4, learning_rate: 0.003, device: cpu}
ranking: {candidates: 100, negatives: 20, training: {batch_size: 64, epochs: 2, device: cpu}}
"""
PROTOCOL = Protocol.model_validate(
    {
        "data": "small",
        "title": "an invented log",
        "source": "our own",
        "split": "by time",
        "metrics": ["recall@10", "ndcg@10"],
        "pick_by": "ndcg@10",
    }
)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return parse_recipe(RECIPE)


@pytest.fixture(scope="module")
def prepared(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality")
    ingest(recipe, folder / "tables")
    prepare(recipe, folder / "tables", folder / "prepared")
    return folder / "prepared"


@pytest.fixture(scope="module")
def rows(prepared: Path) -> Rows:
    return read_rows(prepared, PROTOCOL, "test")


@pytest.fixture(scope="module")
def ours(recipe: Recipe, prepared: Path, rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Values]:
    with trained(recipe, prepared, "test", tmp_path_factory.mktemp("checkpoints")) as (rank, result):
        assert "train_ranking" in result
        return judge(rows, rank, PROTOCOL.metrics)


@pytest.mark.parametrize("name", ["popularity", "item-knn"])
def test_ours_beat_a_peer_by_more_than_chance(name: str, rows: Rows, ours: dict[str, Values]) -> None:
    peer = make_peer(name, {}, seed=1)
    peer.fit(rows)
    theirs = judge(rows, lambda at, k: {name: peer.rank(at, k)}, PROTOCOL.metrics)[name]
    for system in (RETRIEVAL, PATH):
        difference_Q1 = (ours[system]["ndcg@10"] - theirs["ndcg@10"])[:, None]
        mean, low, _ = intervals(difference_Q1, resamples=500, confidence=0.95, seed=0)
        assert low[0] > 0, f"{system} minus {name}: {mean[0]:.4f}, from {low[0]:.4f}"


def test_the_test_part_trains_on_validation_too_and_its_queries_know_it(prepared: Path, rows: Rows) -> None:
    valid = read_rows(prepared, PROTOCOL, "valid")
    assert len(rows.item_I) > len(valid.item_I)
    latest = rows.time_I.max()
    assert latest > valid.time_I.max()
    assert (rows.asked_Q > latest).all()
    # Nothing that is right is left out of the lists, so that a perfect one exists.
    for q, history in enumerate(rows.histories):
        targets = rows.target_items[rows.target_offsets[q] : rows.target_offsets[q + 1]]
        assert not np.isin(targets, history).any()


def test_other_rows_than_the_protocol_expects_are_refused(prepared: Path) -> None:
    locked = PROTOCOL.model_copy(update={"expected": {"users": 801}})
    with pytest.raises(ValueError, match="users 800, expected 801"):
        read_rows(prepared, locked, "test")
