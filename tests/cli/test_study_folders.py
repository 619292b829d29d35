"""Which study is resumed, and when that is refused."""

from pathlib import Path

import pytest

from shortlist.cli.study_folders import new_study, resume_study
from shortlist.recipe import Recipe, parse_recipe
from shortlist.tuning.trials import TrialFolder

TEXT = """
name: shop
source: {kind: synthetic}
split: {kind: leave_one_out}
tune: {trials: 4, fields: {retrieval.dim: {choice: [16, 32]}}}
"""


def recipe(old: str = "", new: str = "") -> Recipe:
    return parse_recipe(TEXT.replace(old, new))


def start(studies: Path, trials: int | None = None, ended: bool = True) -> Path:
    folder, _, lock = new_study(studies, recipe(), trials)
    if ended:
        lock.close()
    return folder


def test_the_last_study_is_resumed_with_its_number_of_trials(tmp_path: Path) -> None:
    start(tmp_path)
    last = start(tmp_path, trials=7)
    folder, tune, lock = resume_study(tmp_path, recipe(), None)
    lock.close()
    assert (folder, tune.trials) == (last, 7)


def test_a_study_can_be_made_larger_and_stays_so(tmp_path: Path) -> None:
    start(tmp_path)
    for given, found in ((9, 9), (None, 9)):
        _, tune, lock = resume_study(tmp_path, recipe(), given)
        lock.close()
        assert tune.trials == found


def test_fewer_trials_than_were_started_are_refused(tmp_path: Path) -> None:
    folder = start(tmp_path)
    for number in range(3):
        TrialFolder(folder / f"trials/{number}").open({"retrieval.dim": 16})
    with pytest.raises(ValueError, match=r"--trials is 2, but .* has started 3 trials"):
        resume_study(tmp_path, recipe(), 2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("split:", "retrieval: {dropout: 0.5}\nsplit:", r"retrieval.dropout: 0.1 in the study, now 0.5"),
        ("32", "64", r"tune.fields: .*32.* in the study, now .*64"),
        ("trials: 4", "trials: 5", r"(?s)tune.trials: 4 in the study, now 5.*for more trials, give --trials"),
    ],
)
def test_another_recipe_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    start(tmp_path)
    with pytest.raises(ValueError, match=said):
        resume_study(tmp_path, recipe(old, new), None)


def test_what_no_trial_reads_may_differ(tmp_path: Path) -> None:
    folder = start(tmp_path)
    changed = recipe("split:", "gate: {confidence: 0.9}\nresources: {memory_gb: 8}\nsplit:")
    found, _, lock = resume_study(tmp_path, changed, None)
    lock.close()
    assert found == folder


def test_an_active_study_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no study to resume; start one without --resume"):
        resume_study(tmp_path, recipe(), None)
    start(tmp_path, ended=False)
    with pytest.raises(ValueError, match="is running; end it first"):
        resume_study(tmp_path, recipe(), None)
