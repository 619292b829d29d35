"""Progress is written as lines that can be read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.progress import Progress, parse


def test_the_last_step_is_always_said_and_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("epoch 1", 40)
    for step in range(40):
        progress.advance(loss=2.5 - step / 100)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, "faster than a second is one line"
    seen = parse(lines[0])
    assert seen is not None
    assert (seen.label, seen.done, seen.total) == ("epoch 1", 40, 40)
    assert "loss 2.11" in seen.note


@given(st.text())
def test_other_lines_are_no_progress_and_no_error(line: str) -> None:
    seen = parse(line)
    assert seen is None or seen.total >= 0
