"""Whether a release may replace the live one, and with its ranker or not, from what evaluate measured.

Everything here is about the system that would be served: the whole path, or retrieval alone.
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
    """What the gate says, and on what grounds."""

    accepted: bool
    outcome: Outcome = "cannot_tell"
    """Beside the live release, or popularity where none was compared: `better`, `not_worse` (a loss that would matter
    is ruled out), `cannot_tell`, `worse`; or `bad_lists`, whatever the metric."""
    reason: str
    metric: str
    compared_with: str | None
    """The live release that the evaluation met, compared or not."""
    reference: Literal["live", "popularity"] = "live"
    """What `difference` is from."""
    serves: System = "path"
    """The system of the evaluation that the release is: the whole path, or retrieval alone without the ranker."""
    difference: Interval | None = None
    """What is served minus the reference; paired over the test queries."""
    warnings: list[str] = []
    list_problems: list[str] = []
    """Why the lists are not fit to be served, whatever the metric says."""


def judge(evaluation: dict[str, Any], gate: Gate) -> Verdict:
    """Read evaluation.json.

    Compared with the live release, or with popularity where none is live or it cannot be asked. Refused when untrained
    or tied items dominate the lists, when the whole interval of the difference lies below `-tolerance * live mean` (or
    below 0, beside popularity), and, if `gate.when_unsure` says so, when the gate cannot tell (`outcome_of`).
    A ranker that does not earn its place (`gate.ranker`) is left out, and retrieval alone is what is judged.
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
        # The difference is paired, so that the mean of the other system is what is left of this one's.
        mean = float(evaluation["systems"][serves][gate.metric]["mean"]) - float(difference["mean"])
    interval = Interval.model_validate(difference)
    outcome, why = outcome_of(interval, mean, evaluation["queries"], gate, tolerance)
    reason = f"{before}{_SAID[outcome]} {who}: {gate.metric} differs from its {mean:.4g} by {shown(interval)}{why}"
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


_SAID: dict[Outcome, str] = {
    "better": "better than",
    "not_worse": "not worse than",
    "cannot_tell": "cannot tell whether it is worse than",
    "worse": "worse than",
}


def outcome_of(
    difference: Interval, mean: float, num_queries: int, gate: Gate, tolerance: float
) -> tuple[Outcome, str]:
    """Where the interval of a difference lies, beside 0 and the loss that would matter, and why that says what it says.

    `mean` is of the system that the difference is from. `worse`: all of the interval is below `-tolerance * mean`.
    `better`: all of it is above 0. `not_worse`: all of it is above `-margin * mean`, which is non-inferiority by a
    confidence interval (Piaggio et al. 2012). Otherwise, and with fewer than `gate.min_queries`, `cannot_tell`.
    """
    allowed, lost = -tolerance * mean, -max(gate.margin, tolerance) * mean
    if difference.high < allowed:
        return "worse", f", all of it below {f'the allowed {allowed:+.2g}' if allowed else '0'}"
    if num_queries < gate.min_queries:
        return "cannot_tell", (
            f", and {num_queries} test queries are fewer than the {gate.min_queries} of gate.min_queries: "
            "a longer split.test asks more"
        )
    if difference.low > 0:
        return "better", ""
    if mean == 0:
        return "cannot_tell", ", whose lists hold nothing that users then took: more test queries are needed"
    if difference.low >= lost:
        return "not_worse", ""
    return "cannot_tell", (
        f", so that a loss that would matter ({lost:+.2g}, by gate.margin {gate.margin:g}) is not ruled out: "
        "more test queries, by a longer split.test, narrow the interval"
    )


def _serves(evaluation: dict[str, Any], gate: Gate) -> tuple[System, list[str]]:
    """What the release is to be, and the warning of a ranker that is not clearly better than none.

    Without a ranker the evaluation holds no difference of retrieval to popularity: the path is retrieval then.
    """
    if "retrieval_minus_popularity" not in evaluation["differences"]:
        return "path", []
    brings = Interval.model_validate(evaluation["differences"]["path_minus_retrieval"][gate.metric])
    if brings.low > 0:
        return "path", []
    told = f"the ranker is not clearly better than retrieval alone: {gate.metric} differs by {shown(brings)}"
    if gate.ranker == "if_better":
        return "retrieval", [f"{told}; the release is served without it"]
    return "path", [told]


def _beside_baselines(evaluation: dict[str, Any], gate: Gate, serves: System) -> list[str]:
    """Warnings of baselines that are clearly better, and of popularity where nothing is clear."""
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
    """A difference with its sign and its interval."""
    return f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
