"""The report of a run: run.json and one self-contained HTML page."""

from collections.abc import Sequence
from pathlib import Path

from shortlist.recipe import Recipe
from shortlist.report.page import page as page_of
from shortlist.report.record import RunRecord, run_record
from shortlist.step_result import StepRecord
from shortlist.storage.base import write_whole

__all__ = ["RunRecord", "write_report"]


def write_report(
    recipe: Recipe, records: Sequence[StepRecord], *, page: Path, run: Path, run_id: str | None = None
) -> RunRecord:
    """Write the HTML file `page` and the JSON file `run` from the records of the steps, in their order.

    If a step is missing or has no details, only its section is left out. Raises ValueError when the details of a step
    have an unexpected form, StorageError for a full disk.
    """
    record = run_record(recipe, records, run_id)
    html = page_of(recipe, record, records)
    write_whole(page, html)
    write_whole(run, record.model_dump_json(indent=1) + "\n")
    return record
