"""One user's question, and the answer as a person reads it."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from shortlist.features import FeatureStore


def question_of(release: Path, user: str | None, items: list[str], k: int | None) -> dict[str, Any]:
    """What the transformer is asked; without user and items, the release's user with the median history."""
    question: dict[str, Any] = {} if k is None else {"k": k}
    if items:
        question["history"] = items
    if user is not None:
        question["user_id"] = user
    elif not items:
        store = FeatureStore.open(release / "features")
        events = np.diff(store.history_offsets)
        known = np.argsort(events, kind="stable")[np.count_nonzero(events == 0) :]
        question["user_id"] = store.users.values(known[len(known) // 2 :][:1])[0]
    return question


def show_answer(asked: dict[str, Any], answer: dict[str, Any], console: Console) -> None:
    """Print the ranked list: names, scores, which release, time per stage."""
    who = f"user {asked['user_id']}" if "user_id" in asked else f"a history of {len(asked['history'])}"
    table = Table(title=f"Top {len(answer['items'])} for {who}", title_justify="left", pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("item")
    table.add_column("title")
    table.add_column("score", justify="right")
    table.add_column("retrieval", justify="right")
    for place, item in enumerate(answer["items"], 1):
        scores = f"{item['score']:.4f}", f"{item['retrieval_score']:.4f}"
        table.add_row(str(place), str(item["item_id"]), item.get("title") or "", *scores)
    console.print(table)
    times = ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in answer["timings_ms"].items())
    console.print(f"release {answer['release']}; user {answer['user']}, answered from {answer['source']}; {times}")
    if answer["degraded"]:
        console.print(f"degraded: {answer['degraded']}")
