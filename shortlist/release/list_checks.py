"""What is wrong with lists whatever the metric says, from the `lists` of evaluation.json.

Only lists that the models answered count: who is unknown gets what is popular, which is one list for all of them.
"""

from typing import Any

from shortlist.recipe import Gate

_NEARLY_ALL = 0.8
_FEW_LISTS = 0.1
_SOME = 0.1
_ENOUGH = 20
"""Lists, to speak of nearly everybody."""


def list_problems(evaluation: dict[str, Any], system: str, gate: Gate) -> list[str]:
    """Why the lists of a system must not be served, each with its mend; none when the evaluation has no lists."""
    lists, found = _of(evaluation, system)
    if not found:
        return []
    problems = []
    taken = lists["untrained_targets"]
    if found["untrained"] - taken > gate.max_untrained:
        problems.append(
            f"{found['untrained']:.0%} of what the lists hold was never trained on, of what users then took only "
            f"{taken:.0%}: items are recommended for being new. Leave out of the items table what cannot be had yet, "
            f"or give items more features; gate.max_untrained allows {gate.max_untrained:.0%} more than was taken"
        )
    if found["indistinct"] > gate.max_tied:
        problems.append(
            f"{found['indistinct']:.0%} of what the lists hold was never trained on and shares its vector with other "
            "items, so that nothing tells them apart. Give items features (features.item: a category, a text, an "
            f"embedding), or train on later events (a shorter split.test); gate.max_tied allows {gate.max_tied:.0%}"
        )
    elif found["tied"] > gate.max_tied:
        problems.append(
            f"{found['tied']:.0%} of what the lists hold has the same score as another item of its list "
            f"({found['longest_tie']:.1f} items in a tie): their order is chance. Give items an id of their own "
            "(features.item.id_dim), or features that tell them apart; "
            f"gate.max_tied allows {gate.max_tied:.0%}"
        )
    return problems


def list_warnings(evaluation: dict[str, Any], system: str) -> list[str]:
    """What a person should look at before trusting the lists of a system."""
    lists, found = _of(evaluation, system)
    answered = lists.get("queries", 0) - lists.get("by_popularity", 0)
    # Who is told apart by a profile alone is told apart by little.
    if not found or answered < _ENOUGH or 2 * lists["without_history"] > answered:
        return []
    warnings = []
    if found["tied"] > _SOME:
        warnings.append(f"{found['tied']:.0%} of what the lists hold has the score of another item of its list")
    if found["distinct"] < _FEW_LISTS:
        warnings.append(
            f"nearly everybody gets the same list: {answered} lists, {found['distinct']:.1%} of them distinct"
        )
    most = found["most_recommended"][:1]
    if most and most[0]["share"] > _NEARLY_ALL and lists["items"] > 10 * lists["k"]:
        warnings.append(f"item {most[0]['id']} is in {most[0]['share']:.0%} of the lists")
    return warnings


def _of(evaluation: dict[str, Any], system: str) -> tuple[dict[str, Any], dict[str, Any]]:
    lists = evaluation.get("lists") or {}
    return lists, (lists.get("systems") or {}).get(system) or {}
