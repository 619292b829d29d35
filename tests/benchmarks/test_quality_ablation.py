"""What a change does is told against the recipe as it stands, query by query."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.ablation import (
    CHANGES,
    ablation_jobs,
    ablation_of,
    ablation_rows,
    ablation_table,
    all_ablations,
)
from benchmarks.quality.jobs import data_folder
from benchmarks.quality.protocol import load_protocol, recipe_of

DATA = "ml-100k"


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHORTLIST_DATA", "/nowhere")
    monkeypatch.setenv("SHORTLIST_WORK", str(tmp_path))


@pytest.mark.parametrize("data", list(all_ablations()))
def test_every_change_is_one_that_the_recipe_knows_and_does_not_have(data: str) -> None:
    stands = recipe_of(data)
    for change in ablation_of(data).changes:
        assert recipe_of(data, change.settings) != stands, change.told


def test_a_data_set_that_the_file_does_not_name_is_told() -> None:
    with pytest.raises(ValueError, match=r"ablation\.yaml: says nothing of gowalla; it has ml-100k"):
        ablation_of("gowalla", CHANGES)


def test_what_was_never_prepared_is_a_run_that_is_missing() -> None:
    with pytest.raises(ValueError, match="7 of 7 runs are missing"):
        ablation_rows("lastfm-2k")


def test_rows_tell_the_difference_and_what_the_ranker_adds() -> None:
    metric = load_protocol(DATA).pick_by
    values = np.random.default_rng(0).random(200)
    seeds = ablation_of(DATA).seeds
    assert len(seeds) == 3
    for place, job in enumerate(ablation_jobs(DATA)):
        number, turn = divmod(place, len(seeds))
        data_folder(job).mkdir(parents=True, exist_ok=True)
        (data_folder(job) / "data.json").write_text('{"digest": "d", "commit": "c"}')
        with pytest.raises(ValueError, match=r"the first: .*ml-100k valid shortlist"):
            ablation_rows(DATA)
        job.folder.mkdir(parents=True)
        np.savez(job.folder / "values.npz", **{f"shortlist-retrieval/{metric}": values - 0.01 * number})
        gain = 0.01 * (turn + 1)
        metrics = {
            "heldout_difference": gain,
            "heldout_difference_low": gain - 0.03,
            "heldout_difference_high": gain + 0.03,
        }
        result = {"details": {"train_ranking": {"metrics": metrics}} if number else {}}
        (job.folder / "result.json").write_text(json.dumps(result))
    rows = ablation_rows(DATA)
    assert [row["difference"] for row in rows] == pytest.approx([-0.01 * n for n in range(len(rows))], abs=1e-6)
    assert rows[2]["low"] == pytest.approx(rows[2]["high"]), "the same for every query, so without doubt"
    lines = ablation_table(rows)
    assert lines[4].startswith("| as it stands |")
    assert lines[4].endswith("|  | no ranker |")
    assert lines[6].endswith("| -0.0200 (-0.0200 to -0.0200) | +0.0200 (+0.0027 to +0.0373) |")
