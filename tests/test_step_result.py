"""What a step tells of itself."""

import json
from pathlib import Path

import pytest

from shortlist.step_result import StepResult, read_record, run_step


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    result = StepResult(
        rows_in={"events": 3}, rows_out={"events": 2}, metrics={"share": 0.5}, details={"curve": [1, 2]}
    )
    done = run_step("ingest", lambda: result, tmp_path / "folder" / "record")
    assert read_record(tmp_path / "folder" / "record") == done
    assert done.result == result
    assert done.peak_memory_mb > 1


def test_what_a_user_can_mend_is_said_in_lines_and_leaves_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> StepResult:
        raise ValueError("no such column\nthere are: a, b")

    with pytest.raises(ValueError, match="no such column"):
        run_step("ingest", work, tmp_path / "record")
    assert capsys.readouterr().out == "error: no such column\nerror: there are: a, b\n"
    assert not (tmp_path / "record").exists()


def test_a_record_is_plain_json(tmp_path: Path) -> None:
    run_step("prepare", StepResult, tmp_path / "record")
    assert json.loads((tmp_path / "record").read_text())["step"] == "prepare"


def test_a_record_of_an_older_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record").write_text('{"step": "ingest", "seconds": 1, "peak_memory_mb": 1, "facts": {}}')
    with pytest.raises(ValueError, match="run the recipe again"):
        read_record(tmp_path / "record")
