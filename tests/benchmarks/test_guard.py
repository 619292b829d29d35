"""The guard sees what became slower, and noise does not stop it."""

import pytest

from benchmarks.guard import _compare
from benchmarks.kept import Figure, Figures


def _runs(name: str, better: str, *values: float) -> dict:
    return {("train", name): [Figure(bench="train", name=name, value=value, better=better) for value in values]}


@pytest.mark.parametrize(
    ("better", "before", "now", "slower"),
    [
        ("higher", [96.0, 90.0, 99.0], [60.0, 61.0, 58.0], True),
        ("lower", [2.0, 2.1, 1.9], [3.0, 3.1, 3.0], True),
        ("higher", [60.0, 61.0, 58.0], [96.0, 90.0, 99.0], False),
        ("lower", [2.0, 2.1, 1.9], [2.1, 2.2, 2.0], False),  # within the tolerance
        ("lower", [2.0, 2.1, 4.0], [3.0, 3.1, 3.0], False),  # better in one round: noise
    ],
)
def test_what_costs_more_in_every_round_is_named(better, before, now, slower):
    named = _compare(_runs("it/s", better, *before), _runs("it/s", better, *now), "abc", 0.15)
    assert named == (["train: it/s"] if slower else [])


def test_a_new_figure_has_nothing_to_be_compared_with(capsys):
    assert _compare({}, _runs("it/s", "higher", 5.0), "abc", 0.15) == []
    assert "train: it/s" in capsys.readouterr().out


def test_kept_figures_come_back(tmp_path):
    kept = Figures.here([Figure(bench="train", name="it/s", value=5.5, better="higher")], "abc")
    kept.write(tmp_path / "speed.json")
    assert Figures.read(tmp_path / "speed.json") == kept
    assert kept.value("train", "it/s") == 5.5
