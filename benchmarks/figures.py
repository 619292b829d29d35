"""The kept figures, as the README and docs/figures.md show them: `make figures`.

What stands between the marks of a document is rendered from docs/figures and never written by hand; a test fails when
a document shows something else.
"""

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.kept import SPEED, Figures
from benchmarks.quality.protocol import ROOT, all_data, load_protocol

_QUALITY = ROOT / "docs/figures/quality.json"
_TRAIN = "attention, last positions, batch 256, steps/s"
_BOTH = "ingest + prepare, times bare"
_COMMANDS = {
    "train": "python -m benchmarks.train --encoder attention --positions last --batch 256",
    "prepare": "python -m benchmarks.prepare",
    "serving": "python -m benchmarks.serving --items 20000",
}


def lists() -> str:
    """A row a data set and metric: the whole path, the best peer on the same rows, the best published figure."""
    rows = json.loads(_QUALITY.read_text())
    lines = ["| data | metric | Shortlist | best peer, same rows | best published |", "|---|---|---|---|---|"]
    for data in all_data():
        protocol = load_protocol(data)
        for metric in protocol.metrics[:2]:
            means = {one["model"]: one["mean"] for one in rows if (one["data"], one["metric"]) == (data, metric)}
            own = [name for name in ("shortlist-path", "shortlist-retrieval") if name in means]
            if not own:
                continue
            peers = {name: mean for name, mean in means.items() if not name.startswith("shortlist")}
            best = max(peers, key=peers.__getitem__)
            published = [
                (one.metrics[metric], one.model + ("" if one.same_rows else ", other rows"))
                for one in protocol.published
                if metric in one.metrics
            ]
            told = [f"{_short(mean)} ({name})" for mean, name in sorted(published, reverse=True)[:1]] or [""]
            title = protocol.title if metric == protocol.metrics[0] else ""
            lines.append(
                f"| {title} | {metric} | **{_short(means[own[0]])}** | {_short(peers[best])} ({best}) | {told[0]} |"
            )
    return "\n".join(lines)


def headline() -> str:
    """What the README says of speed."""
    kept = Figures.read(SPEED)
    one, eight = "20,000 items, 1 client", "20,000 items, 8 clients"
    return "\n".join(
        [
            f"- One answer, 500 of 20,000 items ranked: p50 {kept.value('serving', f'{one}, p50 ms'):.1f} ms with one "
            f"client, {kept.value('serving', f'{eight}, requests/s'):.0f} requests a second with eight.",
            f"- The music model trains at {kept.value('train', _TRAIN):.0f} steps of 256 examples a second, without a "
            f"GPU. Ten million events are ingested and prepared in {kept.value('prepare', _BOTH):.1f} times what "
            "Polars needs to read, sort and write them.",
            f"- Measured on {kept.date} at revision {kept.revision}: {kept.machine}, shared with others.",
        ]
    )


def speed() -> str:
    """Every kept figure, with its command."""
    kept = Figures.read(SPEED)
    lines = [
        f"Medians of `make bench-guard`, {kept.date}, revision {kept.revision}: {kept.machine}, shared with others.",
        "",
        "| what | figure | command |",
        "|---|---|---|",
    ]
    for one in kept.figures:
        value = f"{one.value:.0f}" if one.value >= 100 else f"{one.value:.2f}"
        lines.append(f"| {one.bench}: {one.name} | {value} | `{_COMMANDS[one.bench]}` |")
    return "\n".join(lines)


BLOCKS: list[tuple[str, str, Callable[[], str]]] = [
    ("README.md", "lists", lists),
    ("README.md", "speed", headline),
    ("docs/figures.md", "speed", speed),
]
"""Document, name of the block in it, and what stands there."""


def rendered(document: str, root: Path = ROOT) -> str:
    """The document with its blocks rendered. Raises ValueError when it lacks the marks of one."""
    text = (root / document).read_text(encoding="utf-8")
    for of, name, block in BLOCKS:
        if of == document:
            begin, end = f"<!-- {name}: rendered by `make figures` -->", f"<!-- end of {name} -->"
            if begin not in text or end not in text:
                raise ValueError(f"{document}: no {begin} ... {end}")
            before, _, rest = text.partition(begin)
            text = f"{before}{begin}\n{block()}\n{end}{rest.partition(end)[2]}"
    return text


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def main() -> None:
    for document in dict.fromkeys(document for document, _, _ in BLOCKS):
        (ROOT / document).write_text(rendered(document), encoding="utf-8")


if __name__ == "__main__":
    main()
