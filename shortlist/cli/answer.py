"""The query of one user, and the recommendations as a table."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from shortlist.features import FeatureStore


def complete(release: Path, query: dict[str, Any]) -> dict[str, Any]:
    """The query; if it has no user, history or item, it gets the user with the median history length."""
    if query.keys() & {"user_id", "history", "user", "item_id"}:
        return query
    store = FeatureStore.open(release / "features")
    events = np.diff(store.history_offsets)
    known = np.argsort(events, kind="stable")[np.count_nonzero(events == 0) :]
    return query | {"user_id": store.users.values(known[len(known) // 2 :][:1])[0]}


def unknown(release: Path, query: dict[str, Any]) -> list[str]:
    """The ids of a query that the release does not know, and their effect; one line per kind of id."""
    store = FeatureStore.open(release / "features")
    lines = []
    if "item_id" in query and not store.items.rows([query["item_id"]]).all():
        lines.append(f"the release does not know item {query['item_id']}: popular items instead")
    if "user_id" in query and not store.users.rows([query["user_id"]]).all():
        lines.append(f"the release does not know user {query['user_id']}")
    meanings = {"history": "left out of the history", "exclude": "nothing to exclude"}
    for key, meaning in meanings.items():
        ids = query.get(key, [])
        missing = [item for item, row in zip(ids, store.items.rows(ids), strict=True) if not row] if ids else []
        if missing:
            lines.append(f"the release does not know {', '.join(missing)}: {meaning}")
    return lines


def show_answer(query: dict[str, Any], answer: dict[str, Any], console: Console) -> None:
    """Print the recommendations with titles and scores, the release, and the time of each stage."""
    table = Table(title=f"Top {len(answer['items'])} {_who(query)}", title_justify="left", pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("item")
    table.add_column("title")
    table.add_column("score", justify="right")
    table.add_column("retrieval", justify="right")
    table.add_column("source")
    for place, item in enumerate(answer["items"], 1):
        scores = f"{item['score']:.4f}", f"{item['retrieval_score']:.4f}"
        table.add_row(str(place), str(item["item_id"]), item.get("title") or "", *scores, item["source"])
    console.print(table)
    times = ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in answer["timings_ms"].items())
    console.print(f"release {answer['release']}; user {answer['user']}, answered from {answer['source']}; {times}")
    if answer["degraded"]:
        console.print(f"degraded: {answer['degraded']}")


def _who(asked: dict[str, Any]) -> str:
    if "item_id" in asked:
        return f"similar to item {asked['item_id']}"
    if "user_id" in asked:
        return f"for user {asked['user_id']}"
    return f"for a history of {len(asked['history'])}" if "history" in asked else "for a described user"
