"""Whether a release may replace the live one, from the paired comparison that evaluate made."""

from typing import Any

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
    difference: Interval | None = None
    """This release minus the live one, or minus popularity where none is live; paired over the test questions."""
    warnings: list[str] = []


def judge(evaluation: dict[str, Any], gate: Gate) -> Verdict:
    """Read evaluation.json.

    Against a live release: refused when the whole interval of the difference lies below `-tolerance * live mean`,
    so noise alone refuses nothing. Without one, or with one that cannot be compared (another schema): refused when
    the whole interval of the difference to popularity lies below 0, since a list of the most popular would be the
    better recommender; a difference that may be 0 is accepted with a warning.
    """
    live = evaluation.get("live")
    compared_with = live["release"] if live else None
    against_popularity = Interval.model_validate(evaluation["differences"]["path_minus_popularity"][gate.metric])
    warnings = []
    if against_popularity.low <= 0 <= against_popularity.high:
        warnings.append(f"{gate.metric} is not clearly above popularity's: difference {_shown(against_popularity)}")

    def verdict(accepted: bool, reason: str, difference: Interval) -> Verdict:
        return Verdict(
            accepted=accepted,
            reason=reason,
            metric=gate.metric,
            compared_with=compared_with,
            difference=difference,
            warnings=warnings,
        )

    if live and not live.get("skipped"):
        difference = Interval.model_validate(live["difference"][gate.metric])
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


def _mean(value: Any) -> float:
    return float(value["mean"] if isinstance(value, dict) else value)


def _shown(interval: Interval) -> str:
    return f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
