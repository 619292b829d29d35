"""What the training of the towers cuts and draws is proven before it begins."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from clean_tables import LEAVE_ONE_OUT, TEMPORAL, random_events, recipe, write_clean
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shortlist.dataset.leakage import LeakageError, check
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import Recipe
from shortlist.retrieval.batches import RetrievalBatches
from shortlist.retrieval.leakage import TrainingProof, prove_training
from shortlist.retrieval.train_retrieval import train_retrieval
from shortlist.training.processes import Processes

TRAINING = "training: {batch_size: 4, epochs: 1, device: cpu}"
EVENTS = {
    "user_id": [1, 2, 1, 2, 1, 2, 1, 2, 1],
    "item_id": [10, 20, 20, 10, 30, 30, 40, 50, 30],
    "time": [0, 1, 2, 3, 85, 86, 95, 96, 99],
}
# Item 30 is met in the validation window for the first time, so that nobody could know it before it began.
ITEMS = {"item_id": [10, 20, 30, 40, 50, 60], "available_from": [None, None, 7, None, None, None]}


def made_for(split: str = TEMPORAL, positions: str = "every", refit: int = 0) -> Recipe:
    return recipe(
        split,
        features="{history_length: 4}",
        evaluation="{mask_seen: false}",
        retrieval=f"{{dim: 8, hidden: [], positions: {positions}, {TRAINING}, refit: {{epochs: {refit}}}}}",
    )


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(
    st.builds(random_events, st.integers(0, 10_000), users=st.integers(1, 20), count=st.integers(120, 300)),
    st.sampled_from(["{kind: temporal, test: 5s, valid: 8s, gap: 2s}", TEMPORAL, LEAVE_ONE_OUT]),
)
def test_no_random_log_leaks(tmp_path, events, split):
    asked = made_for(split)
    try:
        write_clean(tmp_path / "clean", events)
        shutil.rmtree(tmp_path / "prepared", ignore_errors=True)
        prepare(asked, tmp_path / "clean", tmp_path / "prepared")
    except LeakageError:
        raise
    except ValueError:  # too few events for this split
        assume(False)
    batches = RetrievalBatches(Prepared.open(tmp_path / "prepared"), asked)
    assert prove_training(batches, asked).windows == batches.num_samples


@pytest.fixture(scope="module", params=[TEMPORAL, LEAVE_ONE_OUT], ids=["temporal", "leave one out"])
def sound(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    asked = made_for(request.param)
    prepare(asked, write_clean(folder / "clean", random_events(11)), folder / "prepared")
    return Prepared.open(folder / "prepared"), asked


@pytest.fixture
def batches(sound, monkeypatch):
    # Blocks smaller than the data, so that their borders are crossed.
    monkeypatch.setattr(check, "_BLOCK", 50)
    return RetrievalBatches(*sound)


def test_windows_that_reach_behind_their_last_example(batches, sound):
    batches.windows.end[3] += 1
    with pytest.raises(LeakageError, match="window 3 contains events after the history of its last example"):
        prove_training(batches, sound[1])


def test_windows_of_another_history(batches, sound):
    batches.windows.start[5] -= 1
    with pytest.raises(LeakageError, match="is in a window outside its history"):
        prove_training(batches, sound[1])


def test_windows_that_leave_an_example_out(batches, sound):
    batches.windows.first[-1] -= 1
    with pytest.raises(LeakageError, match="the windows do not contain each train positive exactly once"):
        prove_training(batches, sound[1])


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("few")
    prepare(made_for(), write_clean(folder / "clean", EVENTS, ITEMS), folder / "prepared")
    return Prepared.open(folder / "prepared")


def test_a_negative_that_was_not_there_is_a_leak(few, monkeypatch):
    """Items 40 and 50 come after all that trains."""
    monkeypatch.setattr(
        "shortlist.retrieval.leakage.drawable", lambda *_: np.array([False, True, True, False, True, False, False])
    )
    with pytest.raises(LeakageError, match="item row 4 may be drawn as a negative, but is available from 95"):
        prove_training(RetrievalBatches(few, made_for()), made_for())


def test_the_negatives_of_a_refit_are_checked_by_its_own_times(few, monkeypatch):
    """Item 30 begins at 7: after the train positives, before those of the validation."""
    drawn = np.array([False, True, True, True, False, False, False])
    monkeypatch.setattr(
        "shortlist.retrieval.leakage.drawable", lambda _, examples: drawn if len(examples) > 4 else drawn & False
    )
    assert prove_training(RetrievalBatches(few, made_for()), made_for(refit=1)).drawable_items == 3
    drawn[5] = True
    with pytest.raises(LeakageError, match=r"item row 5 may be drawn as a negative, .* the examples are of 0 to 86"):
        prove_training(RetrievalBatches(few, made_for()), made_for(refit=1))


def test_the_step_proves_it_before_it_trains_and_says_how_much(few, tmp_path: Path, monkeypatch):
    result = train_retrieval(made_for(), few, tmp_path / "towers")
    # Items 10, 20 and, without an event, 60; the two users have a window each.
    assert result.details["leakage"] == TrainingProof(windows=2, drawable_items=3).as_dict()
    monkeypatch.setattr("shortlist.retrieval.leakage.drawable", lambda *_: np.ones(7, bool))
    with pytest.raises(LeakageError, match="item row 0 may be drawn"):
        train_retrieval(made_for(), few, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_only_the_first_of_several_processes_proves_it(few, tmp_path: Path, monkeypatch):
    def called(*_: object) -> None:
        raise LeakageError("called")

    def begun(*_: object, **__: object) -> None:
        raise RuntimeError("the training begins")

    monkeypatch.setattr("shortlist.retrieval.train_retrieval.prove_training", called)
    monkeypatch.setattr("shortlist.retrieval.train_retrieval.fit", begun)
    with pytest.raises(LeakageError, match="called"):
        train_retrieval(made_for(), few, tmp_path, Processes(0, 2))
    with pytest.raises(RuntimeError, match="begins"):
        train_retrieval(made_for(), few, tmp_path, Processes(1, 2))
