"""The section on user neighbours: how many each user has, for how many each is one, and how many items they reach."""

from typing import Any

from shortlist.report.charts import Axes, Bar, columns
from shortlist.report.pieces import card, section
from shortlist.report.scales import plain

_PICTURES = {
    "neighbours": ("Neighbours per user", "neighbours"),
    "popularity": ("Popularity of users as neighbours", "users whose neighbour a user is"),
    "reachable": ("Reachable items", "items of the neighbours that are new to the user"),
}


def neighbours(details: dict[str, dict[str, Any]]) -> str:
    """Three histograms for each source of the kind `user_neighbours`; empty without one."""
    found: dict[str, dict[str, Any]] = details.get("build_index", {}).get("user_neighbours", {})
    if not found:
        return ""
    inner = "".join(
        card(
            f"{title}, {name}", _histogram(one[key], label), f"mean {one[key]['mean']:g}, median {one[key]['median']:g}"
        )
        for name, one in found.items()
        for key, (title, label) in _PICTURES.items()
    )
    users = " and ".join(f"{plain(one['users'])} users by {name}" for name, one in found.items())
    return section("User neighbours", f"{users}.", f'<div class="grid">{inner}</div>')


def _histogram(found: dict[str, Any], label: str) -> str:
    rows = []
    for first, last, count in found["ranges"]:
        span = f"{first}" if first == last else f"{first}-{last}"
        rows.append(Bar(str(first), count, f"{span} {label}: {count:,} users"))
    return columns(rows, Axes(x=label, y="users", zero_y=True), "c-retrieval") if rows else ""
