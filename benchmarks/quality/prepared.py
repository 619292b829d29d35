"""Raw files to the folder that training reads: the half of the bench that needs the data sets."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.quality.jobs import Job, data_folder, git_commit
from benchmarks.quality.protocol import load_protocol, recipe_of
from benchmarks.quality.rows import count_rows, read_rows
from shortlist.ingest import ingest
from shortlist.prepare.prepare import prepare
from shortlist.prepare.prepared import Prepared
from shortlist.progress import say
from shortlist.validate import validate


def prepare_data(job: Job) -> Path:
    """The prepared folder of a job's data; nothing happens when it is there."""
    folder = data_folder(job)
    if (folder / "data.json").exists():
        return folder
    recipe = recipe_of(job.data, job.settings if job.model == "shortlist" else None)
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        ingest(recipe, work / "tables")
        validate(recipe, work / "tables", work / "clean", work / "quarantine", work / "docs")
        facts = prepare(recipe, work / "clean", folder)
    read_rows(folder, load_protocol(job.data), "test")  # holds the rows against the protocol
    say(f"{job.data}: {count_rows(Prepared.open(folder))}")
    told = {"data": job.data, "digest": facts.details["digest"], "commit": git_commit()}
    (folder / "data.json").write_text(json.dumps(told, indent=1) + "\n")
    return folder
