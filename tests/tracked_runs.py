"""Runs to log, from records as the steps leave them."""

from pathlib import Path

from report_records import records

from shortlist.recipe import Recipe, parse_recipe
from shortlist.release.manifest import FileEntry, Lineage, Manifest
from shortlist.report import RunRecord, write_report
from shortlist.step_result import StepRecord
from shortlist.tracking.tracked import TrackedRun

RECIPE = """
name: music
description: Songs for listeners.
source: {kind: synthetic, users: 300, items: 200, events: 20000, days: 30}
split: {kind: temporal, test: 3d, valid: 3d}
retrieval: {dim: 32, hidden: [64, 32]}
tracking: {tags: {team: search}}
"""
MANIFEST = Manifest(
    recipe="music",
    files={"recipe.yaml": FileEntry(sha256="ef" * 32, size=200)},
    metrics={},
    lineage=Lineage(recipe_sha256="ab" * 32, code="0.1.0+51ac0b32dd90", data="cd" * 32),
)


def steps(url: str, *, published: bool = True) -> list[StepRecord]:
    """The records of a run whose release is, or would be, below `url`."""
    found = records()
    details = found[-1].result.details
    details["manifest"] = MANIFEST.model_dump(mode="json")
    details["decision"] |= {"release": MANIFEST.name, "live": MANIFEST.name, "url": url, "published": published}
    details["decision"]["verdict"]["compared_with"] = "0123456789abcdef"
    return found


def finished(
    folder: Path, name: str, url: str = "s3://shop/releases/music", text: str = RECIPE, *, published: bool = True
) -> TrackedRun:
    """A run with its report and its run.json in `folder`."""
    recipe = parse_recipe(text)
    return of_recipe(recipe, folder, name, url, published=published)


def of_recipe(recipe: Recipe, folder: Path, name: str, url: str, *, published: bool = True) -> TrackedRun:
    folder.mkdir(parents=True, exist_ok=True)
    files = {"report.html": folder / "report.html", "run.json": folder / "run.json"}
    done = steps(url, published=published)
    record: RunRecord = write_report(recipe, done, page=files["report.html"], run=files["run.json"], run_id=name)
    return TrackedRun.finished(recipe, done, record, files, "c0ffee" * 6 + "c0ff")
