"""The record and the comparison of trials."""

import json
import re
from pathlib import Path

from shortlist.progress import parse_epoch, say_epoch
from shortlist.recipe import Tune
from shortlist.tuning.page import parallel, write_comparison
from shortlist.tuning.trials import COMPLETE, INTERRUPTED, STOPPED, TrialFolder, read_trials

TUNE = Tune.model_validate(
    {
        "metric": "mrr_at_10",
        "fields": {
            "retrieval.dim": {"choice": [16, 32]},
            "retrieval.training.learning_rate": {"log_uniform": [1e-4, 1e-2]},
        },
    }
)


def study(folder: Path) -> Path:
    for name, dim, curve in (("a", 16, [0.1, 0.3]), ("b", 32, [0.2, 0.5, 0.4]), ("c", 32, [])):
        one = TrialFolder(folder / "trials" / name)
        one.open({"retrieval.dim": dim, "retrieval.training.learning_rate": 1e-3})
        for epoch, value in enumerate(curve, 1):
            one.add(epoch, value)
    TrialFolder(folder / "trials/a").end(STOPPED)
    TrialFolder(folder / "trials/b").end(COMPLETE)
    TrialFolder(folder / "trials/c").fail("<no memory>")
    return folder


def test_the_best_trial_is_that_with_the_best_epoch(tmp_path: Path) -> None:
    found = read_trials(study(tmp_path))
    assert [(one.name, one.best, one.state) for one in found] == [
        ("b", 0.5, "complete"),
        ("a", 0.3, "stopped early"),
        ("c", None, "failed: <no memory>"),
    ]


def test_a_line_that_a_kill_cut_off_is_left_out_and_a_repeated_epoch_counts_once(tmp_path: Path) -> None:
    folder = TrialFolder(study(tmp_path) / "trials/a")
    folder.add(2, 0.35)
    with (folder.path / "epochs.jsonl").open("a") as file:
        file.write("[3, 0.")
    assert folder.read().curve == [(1, 0.1), (2, 0.35)]


def test_a_trial_that_ended_stays_so_and_a_failed_one_starts_again(tmp_path: Path) -> None:
    folder = study(tmp_path) / "trials"
    values = TrialFolder(folder / "b").read().values
    assert TrialFolder(folder / "b").open(values).ended
    TrialFolder(folder / "b").end(STOPPED)
    assert TrialFolder(folder / "b").read().state == COMPLETE
    assert not TrialFolder(folder / "c").open(values).ended
    assert TrialFolder(folder / "c").read().state == INTERRUPTED


def test_a_trial_with_other_values_forgets_the_epochs(tmp_path: Path) -> None:
    folder = study(tmp_path) / "trials/b"
    assert TrialFolder(folder).open({"retrieval.dim": 16}).curve == []
    assert TrialFolder(folder).read().state == INTERRUPTED


def test_the_axis_of_a_choice_names_each_value_at_its_place(tmp_path: Path) -> None:
    found = [one for one in read_trials(study(tmp_path)) if one.best is not None]
    drawn = parallel(found, TUNE)
    assert re.search(r'bottom:25.00%">16<', drawn)
    assert re.search(r'bottom:75.00%">32<', drawn)
    # 0.001 is in the middle of 0.0001 and 0.01: the best trial goes from 32 through the middle.
    assert 'd="M16.67 25.00 L50.00 50.00 ' in drawn


def test_the_comparison_has_each_trial_and_no_script(tmp_path: Path) -> None:
    write_comparison(study(tmp_path), "shop", TUNE, read_trials(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert page.count('class="line c-path"') == 2  # the best one, in the curves and in the parallel coordinates
    assert page.count('class="line c-popularity"') == 2
    assert "b: retrieval.dim 32, retrieval.training.learning_rate 0.001; mrr_at_10 0.5000" in page
    assert "&lt;no memory&gt;" in page
    assert "<script" not in page
    assert [one["best"] for one in json.loads((tmp_path / "trials.json").read_text())] == [0.5, 0.3, None]


def test_an_epoch_is_read_as_it_was_said(capsys) -> None:
    say_epoch("train retrieval", 3, {"loss": 2.5, "mrr_at_10": 0.123456, "examples/s": 1e6}, best=True)
    line = capsys.readouterr().out
    assert parse_epoch(line, "train retrieval") == (3, {"loss": 2.5, "mrr_at_10": 0.123456, "examples/s": 1e6})
    assert parse_epoch(line, "refit retrieval") is None
    assert parse_epoch("train retrieval epoch 3 of 4 100% 5/5 15.95/s loss 4.2", "train retrieval") is None
