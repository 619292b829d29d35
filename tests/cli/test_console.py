"""What a run shows, line by line."""

import io
from pathlib import Path

from rich.console import Console

from shortlist.cli.console import RunConsole

LINES = [
    "09:23:07.861 - INFO - Executing task \x1b[96m'ingest'\x1b[0m\n",
    "    reading events 50% 5/10 3.1/s\n",
    "    reading events 60% 6/10 3.1/s\n",
    "    reading events 100% 10/10 3.1/s\n",
    "    some library's noise\n",
    "09:23:08.012 - INFO - Task \x1b[96m'ingest'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m\n",
    "09:23:08.013 - INFO - Executing task \x1b[96m'validate'\x1b[0m\n",
]


def shown(lines: list[str], tmp_path: Path) -> tuple[RunConsole, str]:
    out = io.StringIO()
    with RunConsole(tmp_path / "run.log", Console(file=out, width=200)) as console:
        console.follow(lines)
    return console, out.getvalue()


def test_a_log_gets_plain_lines_of_steps_and_progress_and_the_file_gets_everything(tmp_path: Path) -> None:
    _, out = shown(LINES, tmp_path)
    reading = ["  reading events 50% 5/10 3.1/s", "  reading events 100% 10/10 3.1/s"]
    assert out.splitlines() == ["ingest", *reading, "validate"]
    assert "some library's noise" in (tmp_path / "run.log").read_text()
    assert "\x1b" not in (tmp_path / "run.log").read_text()


def test_a_failed_step_is_explained_by_its_own_message(tmp_path: Path) -> None:
    console, _ = shown([*LINES, "    error: 3 rows lack a time\n", "    Traceback (most recent call last)\n"], tmp_path)
    assert console.why_it_failed() == "validate failed: 3 rows lack a time"


def test_a_step_that_died_without_a_word_shows_the_end_of_its_output(tmp_path: Path) -> None:
    console, _ = shown([*LINES, *(f"    line {i}\n" for i in range(40))], tmp_path)
    why = console.why_it_failed()
    assert "line 39" in why
    assert "line 3\n" not in why


def test_a_reused_step_has_its_line_and_one_that_runs_again_its_reason(tmp_path: Path) -> None:
    decided = ["step survey: reused\n", "step ingest: runs again, since source.users changed\n", *LINES[:1]]
    _, out = shown(decided, tmp_path)
    assert out.splitlines() == ["survey reused", "ingest runs again, since source.users changed", "ingest"]
