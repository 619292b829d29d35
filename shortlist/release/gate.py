"""The gate: decides from the evaluation whether a release may replace the live one, with its ranker or without.

All decisions are about the system that would be served: the whole path, or retrieval alone.
"""

from typing import Any, Literal

from pydantic import BaseModel

from shortlist.recipe import Gate
from shortlist.release.list_checks import list_problems, list_warnings
from shortlist.release.manifest import Interval

System = Literal["path", "retrieval"]
Outcome = Literal["better", "not_worse", "cannot_tell", "worse", "bad_lists"]
_BASELINES = {"popularity": "popularity", "item_knn": "item-kNN", "buy_again": "buying again"}


class Verdict(BaseModel):
    """The decision of the gate, with its reasons."""

    accepted: bool
    outcome: Outcome = "cannot_tell"
    """Compared with the live release, or with popularity if no release was compared: `better`, `not_worse` (a relevant
    loss is ruled out), `cannot_tell`, `worse`; or `bad_lists`, regardless of the metric."""
    reason: str
    metric: str
    compared_with: str | None
    """The release that was live during the evaluation, whether it could be compared or not."""
    reference: Literal["live", "popularity"] = "live"
    """The system that `difference` is relative to."""
    serves: System = "path"
    """The system that the release serves: the whole path, or retrieval alone without the ranker."""
    difference: Interval | None = None
    """The served system minus the reference, paired over the test queries."""
    warnings: list[str] = []
    list_problems: list[str] = []
    """Why the lists must not be served, regardless of the metric."""


def apply_gate(evaluation: dict[str, Any], gate: Gate) -> Verdict:
    """The verdict on a release, from the content of its evaluation.json.

    The release is compared with the live one, or with popularity if no release is live or it could not be evaluated.
    It is refused when untrained or tied items dominate the lists, when the whole interval of the difference is below
    `-tolerance * live mean` (below 0 for popularity), and, depending on `gate.when_unsure`, when the interval does not
    decide (`outcome_of`). With `gate.ranker: if_better`, a ranker that is not clearly better than retrieval alone is
    left out, and the gate is applied to retrieval alone.
    """
    live = evaluation.get("live")
    serves, warnings = _serves(evaluation, gate)
    warnings += _beside_baselines(evaluation, gate, serves) + list_warnings(evaluation, serves)
    problems = list_problems(evaluation, serves, gate)
    if live and not live.get("skipped"):
        reference: Literal["live", "popularity"] = "live"
        tolerance, who, before = gate.tolerance, f"live release {live['release']}", ""
        difference = live["difference" if serves == "path" else "difference_of_retrieval"][gate.metric]
        mean = float(live["metrics"][gate.metric]["mean"])
    else:
        reference, tolerance, who = "popularity", 0.0, "popularity"
        not_compared = f"live release {live['release']} was not compared: {live['skipped']}" if live else ""
        before = f"{not_compared or 'no release was live'}; "
        difference = evaluation["differences"][f"{serves}_minus_popularity"][gate.metric]
        # The difference is paired, so the mean of the reference is the mean of this system minus the difference.
        mean = float(evaluation["systems"][serves][gate.metric]["mean"]) - float(difference["mean"])
    interval = Interval.model_validate(difference)
    outcome, why = outcome_of(interval, mean, evaluation["queries"], gate, tolerance)
    reason = f"{before}{_PHRASES[outcome]} {who}: {gate.metric} differs from its {mean:.4g} by {shown(interval)}{why}"
    accepted = outcome != "worse"
    if outcome == "cannot_tell":
        accepted = gate.when_unsure == "publish"
        reason += f"; gate.when_unsure is {gate.when_unsure}"
    if problems:
        outcome, accepted, reason = "bad_lists", False, "; ".join(problems)
    return Verdict(
        accepted=accepted,
        outcome=outcome,
        reason=reason,
        metric=gate.metric,
        compared_with=live["release"] if live else None,
        reference=reference,
        serves=serves,
        difference=interval,
        warnings=warnings,
        list_problems=problems,
    )


_PHRASES: dict[Outcome, str] = {
    "better": "better than",
    "not_worse": "not worse than",
    "cannot_tell": "cannot tell whether it is worse than",
    "worse": "worse than",
}


def outcome_of(
    difference: Interval, mean: float, num_queries: int, gate: Gate, tolerance: float
) -> tuple[Outcome, str]:
    """The outcome of a comparison, from the position of the interval of the difference, and its explanation.

    `mean` is the mean of the reference system. `worse`: the whole interval is below `-tolerance * mean`. `better`: the
    whole interval is above 0. `not_worse`: the whole interval is above `-margin * mean`, which is non-inferiority by a
    confidence interval (Piaggio et al. 2012). Otherwise, and with fewer than `gate.min_queries` queries, `cannot_tell`.
    """
    allowed, lost = -tolerance * mean, -max(gate.margin, tolerance) * mean
    if difference.high < allowed:
        return "worse", f", all of it below {f'the allowed {allowed:+.2g}' if allowed else '0'}"
    if num_queries < gate.min_queries:
        return "cannot_tell", (
            f", and {num_queries} test queries are fewer than the {gate.min_queries} of gate.min_queries: "
            "a longer split.test gives more"
        )
    if difference.low > 0:
        return "better", ""
    if mean == 0:
        return "cannot_tell", ", whose lists contain no target: more test queries are needed"
    if difference.low >= lost:
        return "not_worse", ""
    return "cannot_tell", (
        f", so that a relevant loss ({lost:+.2g}, by gate.margin {gate.margin:g}) is not ruled out: "
        "more test queries, by a longer split.test, narrow the interval"
    )


def _serves(evaluation: dict[str, Any], gate: Gate) -> tuple[System, list[str]]:
    """The system that the release serves, with a warning if the ranker is not clearly better than retrieval alone.

    Without a ranker, the path is retrieval, and the evaluation has no separate difference of retrieval to popularity.
    """
    if "retrieval_minus_popularity" not in evaluation["differences"]:
        return "path", []
    gain = Interval.model_validate(evaluation["differences"]["path_minus_retrieval"][gate.metric])
    if gain.low > 0:
        return "path", []
    warning = f"the ranker is not clearly better than retrieval alone: {gate.metric} differs by {shown(gain)}"
    if gate.ranker == "if_better":
        return "retrieval", [f"{warning}; the release is served without it"]
    return "path", [warning]


def _beside_baselines(evaluation: dict[str, Any], gate: Gate, serves: System) -> list[str]:
    """Warnings for baselines that are clearly better, and for popularity if the release is not clearly better."""
    found = []
    for system, name in _BASELINES.items():
        values = evaluation["differences"].get(f"{serves}_minus_{system}", {})
        if gate.metric not in values:
            continue
        difference = Interval.model_validate(values[gate.metric])
        if difference.high < 0:
            found.append(f"{gate.metric} is below that of {name}: difference {shown(difference)}")
        elif system == "popularity" and difference.low <= 0:
            found.append(f"{gate.metric} is not clearly above popularity's: difference {shown(difference)}")
    return found


def shown(interval: Interval) -> str:
    """A difference as text, with its sign and its interval."""
    return f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
