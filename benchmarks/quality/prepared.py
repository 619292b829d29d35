"""Raw files to the folder that training reads: the half of the bench that needs the data sets."""

import gzip
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.quality.jobs import OURS, Job, data_folder, git_commit, work_folder
from benchmarks.quality.protocol import load_protocol, recipe_of
from benchmarks.quality.rows import count_rows, read_rows
from shortlist.data.ingest import ingest
from shortlist.data.validate import validate
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.progress import say


def prepare_data(job: Job) -> Path:
    """The prepared folder of a job's data; nothing happens when it is there."""
    folder = data_folder(job)
    if (folder / "data.json").exists():
        return folder
    if job.data == "beauty":
        unfold_beauty(Path(os.environ["SHORTLIST_DATA"]))
    recipe = recipe_of(job.data, job.settings if job.model == OURS else None)
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        ingest(recipe, work / "tables")
        validate(recipe, work / "tables", work / "clean", work / "quarantine", work / "docs")
        result = prepare(recipe, work / "clean", folder)
    read_rows(folder, load_protocol(job.data), "test")  # holds the rows against the protocol
    say(f"{job.data}: {count_rows(Prepared.open(folder))}")
    told = {"data": job.data, "digest": result.details["digest"], "commit": git_commit()}
    (folder / "data.json").write_text(json.dumps(told, indent=1) + "\n")
    return folder


def unfold_beauty(raw: Path) -> None:
    """The products' attributes are one JSON object, `{"4": [1, 2, 3], ...}`; a recipe reads a line a product."""
    attributes = json.loads(gzip.decompress((raw / "beauty/Beauty_item2attributes.json.gz").read_bytes()))
    lines = [json.dumps({"item_id": int(item), "attributes": words}) for item, words in attributes.items()]
    to = work_folder() / "raw/beauty_attributes.jsonl"
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text("\n".join(lines) + "\n")
