"""The step `write_lists` of the pipeline: lists for many users from the release that was just published."""

import json
import tempfile
import time
from pathlib import Path

from shortlist.batch.lists import AT_ONCE, write_lists
from shortlist.batch.users import Users, all_users, users_in
from shortlist.features.vocabulary import Vocabulary
from shortlist.progress import say
from shortlist.recipe import Batch, Recipe
from shortlist.release.bundle import open_release
from shortlist.step_result import StepResult
from shortlist.storage import Storage, open_storage

FILE = "lists.parquet"


def write_lists_step(recipe: Recipe, decision: Path, out: Path) -> StepResult:
    """Write the lists of the recipe's `batch` to its `out`, or to `out`/lists.parquet without one.

    `decision` is the folder of the publish step's decision.json. Without a `batch`, or if the release was refused, the
    folder is empty and the lists that are there stay. Raises ValueError and StorageError (an OSError); nothing is then
    written.
    """
    out.mkdir(parents=True, exist_ok=True)
    decided = json.loads((decision / "decision.json").read_text())
    if recipe.batch is None:
        return StepResult(details={"skipped": "the recipe has no batch"})
    if not decided["published"]:
        say("lists: none, since the release was refused; those of the live release stay")
        return StepResult(details={"skipped": "the release was refused"})
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".lists-") as scratch:
        aside, folder = Path(scratch) / FILE, Path(scratch)
        release = open_release(decided["url"], decided["release"], folder / "cache")
        settings, query = recipe.batch, {"k": recipe.batch.k}

        def users(known: Vocabulary) -> Users:
            return _users(settings, known, folder)

        written = write_lists(release, users, query, aside, recipe.serving.availability)
        storage, key = _place(recipe.batch.out or str(out / FILE))
        storage.put_file(aside, key)
    address = f"{storage.url}/{key}"
    say(f"lists: {written.rows:,} rows of {written.users:,} users: {address}")
    return StepResult(
        rows_in={"users": written.users},
        rows_out={"rows": written.rows},
        metrics={"users_per_second": round(written.users / (time.perf_counter() - start), 1)},
        details={"lists": address, "release": decided["release"]},
    )


def _users(settings: Batch, known: Vocabulary, scratch: Path) -> Users:
    if settings.users == "all":
        return all_users(known, AT_ONCE)
    storage, key = _place(settings.users)
    file = storage.path(key)
    if file is None:
        file = scratch / f"users-{Path(key).name}"
        storage.get_file(key, file)
    return users_in(file, AT_ONCE)


def _place(path: str) -> tuple[Storage, str]:
    folder, _, name = path.rpartition("/")
    return open_storage(folder or ("/" if path.startswith("/") else ".")), name
