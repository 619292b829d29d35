"""Whether a release may replace the live one, and with its ranker or not, from the paired comparisons of evaluate."""

from typing import Any, Literal

from pydantic import BaseModel

from shortlist.recipe import Gate
from shortlist.release.manifest import Interval


class Verdict(BaseModel):
    """What the gate says, and on what grounds."""

    accepted: bool
    reason: str
    metric: str
    compared_with: str | None
    """The live release that the evaluation met, compared or not."""
    serves: Literal["path", "retrieval"] = "path"
    """The system of the evaluation that the release is: the whole path, or retrieval alone without the ranker."""
    difference: Interval | None = None
    """This release minus the live one, or minus popularity where none is live; paired over the test questions."""
    warnings: list[str] = []


def judge(evaluation: dict[str, Any], gate: Gate) -> Verdict:
    """Read evaluation.json.

    Against a live release: refused when the whole interval of the difference lies below `-tolerance * live mean`,
    so noise alone refuses nothing. Without one, or with one that cannot be compared (another schema): refused when
    the whole interval of the difference to popularity lies below 0, since a list of the most popular would be the
    better recommender; a difference that may be 0 is accepted with a warning.
    A ranker that does not earn its place (`gate.ranker`) is left out, and retrieval alone is what is judged.
    """
    live = evaluation.get("live")
    compared_with = live["release"] if live else None
    serves, warnings = _serves(evaluation, gate)
    against_popularity = Interval.model_validate(evaluation["differences"][f"{serves}_minus_popularity"][gate.metric])
    if against_popularity.low <= 0 <= against_popularity.high:
        warnings.append(f"{gate.metric} is not clearly above popularity's: difference {_shown(against_popularity)}")

    def verdict(accepted: bool, reason: str, difference: Interval) -> Verdict:
        return Verdict(
            accepted=accepted,
            reason=reason,
            metric=gate.metric,
            compared_with=compared_with,
            serves=serves,
            difference=difference,
            warnings=warnings,
        )

    if live and not live.get("skipped"):
        key = "difference" if serves == "path" else "difference_of_retrieval"
        difference = Interval.model_validate(live[key][gate.metric])
        before = _mean(live["metrics"][gate.metric])
        allowed = -gate.tolerance * before
        told = f"{gate.metric} differs from the live release's {before:.4g} by {_shown(difference)}"
        if difference.high < allowed:
            limit = f"all of it below the allowed {allowed:+.2g}"
            return verdict(False, f"worse than live release {compared_with}: {told}, {limit}", difference)
        return verdict(True, f"not worse than live release {compared_with}: {told}", difference)

    why = f"live release {compared_with} was not compared: {live['skipped']}" if live else "no release was live"
    told = f"{gate.metric} differs from popularity's by {_shown(against_popularity)}"
    if against_popularity.high < 0:
        return verdict(False, f"{why}, and worse than popularity: {told}", against_popularity)
    return verdict(True, f"{why}; {told}", against_popularity)


def _serves(evaluation: dict[str, Any], gate: Gate) -> tuple[Literal["path", "retrieval"], list[str]]:
    """What the release is to be, and the warning of a ranker that is not clearly better than none.

    Without a ranker the evaluation holds no difference of retrieval to popularity: the path is retrieval then.
    """
    if "retrieval_minus_popularity" not in evaluation["differences"]:
        return "path", []
    brings = Interval.model_validate(evaluation["differences"]["path_minus_retrieval"][gate.metric])
    if brings.low > 0:
        return "path", []
    told = f"the ranker is not clearly better than retrieval alone: {gate.metric} differs by {_shown(brings)}"
    if gate.ranker == "if_better":
        return "retrieval", [f"{told}; the release is served without it"]
    return "path", [told]


def _mean(value: Any) -> float:
    return float(value["mean"] if isinstance(value, dict) else value)


def _shown(interval: Interval) -> str:
    return f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
