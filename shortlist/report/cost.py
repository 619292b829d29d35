"""The sections on time, memory and rows, and on the release."""

from html import escape
from typing import Any

from shortlist.report.charts import Bar, bars
from shortlist.report.pieces import card, code, definitions, folded, note, section, table
from shortlist.report.record import RunRecord
from shortlist.report.scales import duration, megabytes, plain


def cost(run: RunRecord) -> str:
    """Time, memory and rows of every step."""
    times = [Bar(_name(one.step), one.seconds, duration(one.seconds)) for one in run.steps]
    memory = [Bar(_name(one.step), one.peak_memory_mb, megabytes(one.peak_memory_mb)) for one in run.steps]
    rows = [[escape(_name(one.step)), _counts(one.rows_in), _counts(one.rows_out)] for one in run.steps]
    lead = (
        f"{duration(run.seconds)} in {len(run.steps)} steps, with a peak memory of {megabytes(run.peak_memory_mb)}. "
        "The time to start the process of a step is not included."
    )
    charts = f"{card('Time', bars(times, 'c-path'))}{card('Peak memory', bars(memory, 'c-knn'))}"
    return section(
        "Time and memory",
        lead,
        f'<div class="grid">{charts}</div>{card("Rows", table(("Step", "In", "Out"), rows))}',
    )


def provenance(run: RunRecord, details: dict[str, dict[str, Any]]) -> str:
    """The release's lineage and files."""
    manifest = details.get("publish", {}).get("manifest")
    lead = "The name of a release is the hash of its content: equal inputs give equal names."
    if manifest is None or run.decision is None:
        return section("Release", lead, note("Left out: the step publish has no manifest."))
    files, lineage = manifest["files"], manifest["lineage"]
    size = sum(entry["size"] for entry in files.values())
    listed = definitions(
        [
            ("Name", code(run.decision.release)),
            ("Live now", code(run.decision.live or "nothing")),
            ("Stored at", code(run.decision.url)),
            ("Size", f"{len(files)} files, {megabytes(size / 1e6) if size >= 1e6 else f'{plain(size)} bytes'}"),
            ("Recipe", code(lineage["recipe_sha256"][:16])),
            ("Code", code(lineage["code"])),
            ("Prepared data", code(lineage["data"][:16])),
        ]
    )
    rows = [[code(name), plain(entry["size"]), code(entry["sha256"][:16])] for name, entry in sorted(files.items())]
    inner = f'<div class="card">{listed}</div>{folded("All files", table(("File", "Bytes", "SHA-256"), rows, [1]))}'
    return section("Release", lead, inner)


def _name(step: str) -> str:
    return step.replace("_", " ")


def _counts(rows: dict[str, int]) -> str:
    return ", ".join(f"{plain(count)} {escape(name.replace('_', ' '))}" for name, count in rows.items())
