"""The terminal says what the report says at its top."""

import io

from report_records import records
from rich.console import Console

from shortlist.cli.outcome import show_outcome
from shortlist.recipe import parse_recipe
from shortlist.report.record import run_record

RECIPE = parse_recipe("name: music\nsource: {kind: synthetic}\nsplit: {kind: temporal, test: 7d, valid: 7d}\n")


def shown(steps) -> str:
    out = io.StringIO()
    show_outcome(run_record(RECIPE, steps), Console(file=out, soft_wrap=True))
    return out.getvalue()


def test_outcome_what_is_served_warnings_and_advice() -> None:
    steps = records()
    verdict = steps[8].result.details["decision"]["verdict"]
    verdict |= {"outcome": "cannot_tell", "serves": "retrieval", "warnings": ["[red] is no style here"]}
    steps[7].result.details["evaluation"]["repeats"]["advice"] = "set evaluation.mask_seen to false"
    lines = shown(steps).strip().splitlines()
    assert lines[0] == "Published, but the gate cannot tell whether it is worse than popularity"
    assert lines[2] == "NDCG@10 0.1210 (0.1130 to 0.1290) on 2,001 queries: Retrieval alone (served)"
    assert "    +0.0730 (+0.0680 to +0.0780) than Popularity" in lines
    assert lines[-2:] == ["warning: [red] is no style here", "advice: set evaluation.mask_seen to false"]


def test_a_refused_release() -> None:
    steps = records()
    decision = steps[8].result.details["decision"]
    decision["published"] = False
    decision["verdict"] |= {"accepted": False, "outcome": "bad_lists"}
    assert shown(steps).strip().startswith("Refused: its lists must not be served\nrelease 1f0c9a7be3d24856: ")
