"""Checks of the lists that no metric covers, from the `lists` of evaluation.json.

Only the lists of the models are checked: unknown users get the cold-start fallback, which is one list for all of them.
"""

from typing import Any

from shortlist.recipe import Gate

_NEARLY_ALL = 0.8
_FEW_LISTS = 0.1
_SOME = 0.1
_ENOUGH = 20
"""The smallest number of lists for a warning."""


def list_problems(evaluation: dict[str, Any], system: str, gate: Gate) -> list[str]:
    """Why the lists of a system must not be served, each with a remedy; empty when the evaluation has no lists."""
    lists, found = _of(evaluation, system)
    if not found:
        return []
    problems = []
    taken = lists["untrained_targets"]
    if found["untrained"] - taken > gate.max_untrained:
        problems.append(
            f"{found['untrained']:.0%} of the recommended items were never trained on, but only {taken:.0%} of the "
            "test targets: items are recommended for being new. Remove items that are not available yet from the "
            f"items table, or give items more features; gate.max_untrained allows {gate.max_untrained:.0%} more than "
            "among the targets"
        )
    if found["indistinct"] > gate.max_tied:
        problems.append(
            f"{found['indistinct']:.0%} of the recommended items were never trained on and share their vector with "
            "other items, so that the models cannot distinguish them. Give items features (features.item: a category, "
            "a text, an embedding), or train on later events (a shorter split.test); "
            f"gate.max_tied allows {gate.max_tied:.0%}"
        )
    elif found["tied"] > gate.max_tied:
        problems.append(
            f"{found['tied']:.0%} of the recommended items have the same score as another item of their list "
            f"({found['longest_tie']:.1f} items in a tie): their order is arbitrary. Give items an id embedding "
            "(features.item.id_dim), or features that distinguish them; "
            f"gate.max_tied allows {gate.max_tied:.0%}"
        )
    return problems


def list_warnings(evaluation: dict[str, Any], system: str) -> list[str]:
    """Warnings about the lists of a system, which do not stop its release."""
    lists, found = _of(evaluation, system)
    answered = lists.get("queries", 0) - lists.get("by_popularity", 0)
    # Users without a history differ by their profile alone, so that equal lists are expected.
    if not found or answered < _ENOUGH or 2 * lists["without_history"] > answered:
        return []
    warnings = []
    if found["tied"] > _SOME:
        warnings.append(f"{found['tied']:.0%} of the recommended items have the score of another item of their list")
    if found["distinct"] < _FEW_LISTS:
        warnings.append(
            f"nearly all users get the same list: {answered} lists, {found['distinct']:.1%} of them distinct"
        )
    most = found["most_recommended"][:1]
    if most and most[0]["share"] > _NEARLY_ALL and lists["items"] > 10 * lists["k"]:
        warnings.append(f"item {most[0]['id']} is in {most[0]['share']:.0%} of the lists")
    return warnings


def _of(evaluation: dict[str, Any], system: str) -> tuple[dict[str, Any], dict[str, Any]]:
    lists = evaluation.get("lists") or {}
    return lists, (lists.get("systems") or {}).get(system) or {}
