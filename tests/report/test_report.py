"""run.json and the page: complete, self-contained, and content with whatever steps left."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from report_records import evaluation, records
from tiny_disk import tiny_disk

from shortlist.recipe import parse_recipe
from shortlist.report import RunRecord, write_report
from shortlist.report.charts import Axes, Band, Series, lines
from shortlist.report.scales import duration, plain, scale_of
from shortlist.storage import StorageError

RECIPE = "name: music\nsource: {kind: synthetic}\nsplit: {kind: temporal, test: 7d, valid: 7d}\n"


class Balance(HTMLParser):
    """Fails on a tag that is closed without being open, and on one that stays open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def write(tmp_path: Path, steps, text: str = RECIPE) -> tuple[str, RunRecord]:
    page, run = tmp_path / "page.html", tmp_path / "run.json"
    written = write_report(parse_recipe(text), steps, page=page, run=run, run_id="r1")
    read = RunRecord.model_validate_json(run.read_text())
    assert read == written
    json.loads(run.read_text(), parse_constant=pytest.fail)  # no NaN
    return page.read_text(), read


def words(html: str) -> str:
    return " ".join(" ".join(Balance(html).text).split())


class TestRun:
    def test_what_is_in_it(self, tmp_path):
        _, run = write(tmp_path, records())
        assert (run.recipe, run.run_id, run.release) == ("music", "r1", "1f0c9a7be3d24856")
        assert [step.step for step in run.steps][:3] == ["ingest", "validate", "prepare"]
        assert run.steps[1].rows_out["quarantined_events"] == 1_489
        assert run.seconds == pytest.approx(sum(step.seconds for step in run.steps))
        assert run.peak_memory_mb == 1_320
        assert run.evaluation.systems["path"]["ndcg_at_10"].low == 0.134
        assert run.decision.published
        assert run.paths == {
            "releases": ".work/releases/music",
            "release": ".work/releases/music/releases/1f0c9a7be3d24856",
        }

    def test_of_a_run_of_which_nothing_is_known(self, tmp_path):
        html, run = write(tmp_path, [])
        assert (run.evaluation, run.decision, run.release, run.paths) == (None, None, None, {})
        assert words(html).count("eft out: the step") >= 4

    def test_numbers_that_are_none_are_null_or_left_out(self, tmp_path):
        steps = records()
        steps[0].result.metrics["odd"] = float("nan")
        nothing = {"mean": float("nan"), "low": float("nan"), "high": float("nan")}
        judged = steps[7].result.details["evaluation"]
        judged["slices"]["new_users"] = {"queries": 0, "systems": {"path": {"ndcg_at_10": nothing}}}
        html, run = write(tmp_path, steps)
        assert run.steps[0].metrics["odd"] is None
        assert run.evaluation.slices["new_users"].systems == {"path": {}}
        assert "No query in: New users." in words(html)

    def test_the_documentation_names_every_field(self):
        documented = set(re.findall(r"`([a-z_]+)`", Path("docs/run-json.md").read_text()))
        assert _fields(RunRecord) <= documented | {"mean", "low", "high"}


def _fields(model: type[BaseModel]) -> set[str]:
    schema = model.model_json_schema()
    return {name for part in (schema, *schema["$defs"].values()) for name in part["properties"]}


class TestPage:
    def test_loads_nothing_and_runs_nothing(self, tmp_path):
        html, _ = write(tmp_path, records())
        tags = Balance(html).tags
        assert not tags & {"script", "link", "img", "iframe", "object", "embed"}
        assert not re.search(r"https?://|@import|url\(|\bsrc=|\bhref=|\bon\w+=", html)

    def test_shows_what_was_measured(self, tmp_path):
        html, run = write(tmp_path, records())
        text = words(html)
        for table in run.evaluation.systems.values():
            for metric in ("ndcg_at_10", "recall_at_100", "map_at_5"):
                value = table[metric]
                assert f"{value.mean:.4f} {value.low:.4f} to {value.high:.4f}" in text
        assert "Difference +0.0170 +0.0090 to +0.0250" in text
        assert "Row rules: 1 passed" in text
        assert "than popularity +0.0940 +0.0890 to +0.0990" in text
        assert "New users: 197 queries" in text
        assert "played_ratio_pct is not in 0..100 744" in text
        assert "IVF512_HNSW32,SQ8" in text
        assert "time-decayed, with a half-life of 14 days" in text
        assert "train retrieval 48 s" in text
        assert "Published: better than popularity Release 1f0c9a7be3d24856" in text
        assert "Left out" not in text
        assert "are left out" not in text

    def test_every_chart_is_there(self, tmp_path):
        html, _ = write(tmp_path, records())
        assert set(re.findall(r'aria-label="([^"]+)"', html)) == {
            "NDCG@k by depth k of the list",
            "NDCG@10 of liked by NDCG@10 of the positives",
            "training loss by epoch",
            "validation NDCG@10 by epoch",
            "recall@100 against exact search by queries a second on one thread",
            "events a day by day (UTC)",
            "share of positives by predicted probability",
            "users by events, at least (bins double)",
            "items by events, at least (bins double)",
        }

    def test_everything_drawn_lies_in_its_plot(self, tmp_path):
        html, _ = write(tmp_path, records({"release": "ab", "skipped": None, **_live()}))
        places = re.findall(r"(?:left|bottom|width):(-?[\d.]+)%", html) + re.findall(r'\b[xy]\d?="(-?[\d.]+)"', html)
        for path in re.findall(r' d="([^"]+)"', html):
            places += re.findall(r"-?\d+\.\d+", path)
        assert len(places) > 300
        assert all(-0.01 <= float(place) <= 100.01 for place in places)

    def test_text_of_others_stays_text(self, tmp_path):
        steps = records()
        evil = "<script>alert(1)</script>"
        steps[1].result.details["rules"][0]["rule"] = evil
        steps[1].result.details["rules"][0]["column"] = evil
        steps[6].result.details["kept"] = evil
        steps[8].result.details["decision"]["reason"] = evil
        steps[8].result.details["manifest"]["files"][evil] = {"sha256": "0", "size": 1}
        steps[5].result.details["factory"] = evil
        steps[2].result.rows_out[evil] = 1
        html, _ = write(tmp_path, steps, RECIPE + f'description: "{evil}"\n')
        assert "script" not in Balance(html).tags
        assert words(html).count(evil) >= 7

    @pytest.mark.parametrize("missing", range(9))
    def test_a_step_that_is_missing_costs_its_part_only(self, tmp_path, missing):
        steps = records()
        gone = steps.pop(missing)
        html, run = write(tmp_path, steps)
        assert gone.step not in [step.step for step in run.steps]
        assert "Time and memory" in words(html)
        if gone.step in ("validate", "train_retrieval", "build_index", "train_ranking", "evaluate", "publish"):
            assert f"the step {gone.step} has no" in words(html)

    @pytest.mark.parametrize("emptied", range(9))
    def test_a_step_without_details_costs_its_part_only(self, tmp_path, emptied):
        steps = records()
        steps[emptied].result.details.clear()
        html, _ = write(tmp_path, steps)
        Balance(html)

    @pytest.mark.parametrize(("step", "key"), [(r.step, key) for r in records() for key in r.result.details])
    def test_any_one_detail_may_be_missing(self, tmp_path, step, key):
        steps = records()
        next(record for record in steps if record.step == step).result.details.pop(key)
        Balance(write(tmp_path, steps)[0])

    def test_ranking_that_is_off_says_so(self, tmp_path):
        steps = records()
        steps[6].result.details = {"enabled": False}
        assert "Left out: the recipe disables it." in words(write(tmp_path, steps)[0])

    def test_what_a_release_without_its_ranker_serves_is_every_headline(self, tmp_path):
        steps = records({"release": "ab12", "skipped": None, **_live()})
        verdict = steps[8].result.details["decision"]["verdict"]
        verdict |= {"serves": "retrieval", "reference": "live", "outcome": "not_worse"}
        html, run = write(tmp_path, steps)
        assert run.served.system == "retrieval"
        assert run.served.value == run.evaluation.systems["retrieval"]["ndcg_at_10"]
        assert run.served.differences["live"].mean == -0.009
        assert run.served.differences["path"].mean == -0.021
        text = words(html)
        assert "Published: not worse than the live release" in text
        assert "NDCG@10 0.1210 Retrieval alone (served)" in text
        assert "over the live release 0.93" in text
        assert "Difference of the served system · retrieval alone" in text
        assert "than live release -0.0090 -0.0150 to -0.0030" in text
        assert "than retrieval + ranking (not served) -0.0210 -0.0260 to -0.0160" in text

    def test_without_a_ranker_there_is_one_system_of_ours(self, tmp_path):
        steps = records()
        judged = steps[7].result.details["evaluation"]
        judged["differences"] = {k: v for k, v in judged["differences"].items() if k.startswith("path")}
        judged["systems"]["retrieval"] = judged["systems"]["path"]
        text = words(write(tmp_path, steps)[0])
        assert "Retrieval (served)" in text
        assert "Retrieval alone" not in text

    @pytest.mark.parametrize("outcome", ["better", "not_worse", "cannot_tell"])
    def test_the_banner_has_the_colour_of_the_outcome(self, tmp_path, outcome):
        steps = records()
        steps[8].result.details["decision"]["verdict"]["outcome"] = outcome
        html, _ = write(tmp_path, steps)
        assert f'<div class="verdict {outcome}">' in html
        assert ("but the gate cannot tell" in words(html)) == (outcome == "cannot_tell")

    def test_lists_repeats_and_users(self, tmp_path):
        steps = records()
        judged = steps[7].result.details["evaluation"]
        judged["repeats"] |= {"repeats": 3_133, "share": 0.44, "advice": "44% ...: set evaluation.mask_seen to false"}
        judged["repeats"] |= {"queries": 500, "k": 10, "systems": {"buy_again": judged["systems"]["path"]}}
        text = words(write(tmp_path, steps)[0])
        assert "Advice: 44% ...: set evaluation.mask_seen to false" in text
        assert "of 500 users, with repeats as targets" in text
        assert "The first 10 items of 1,989 lists (12 more lists are the cold-start fallback" in text
        assert "2.1% were never trained on (of the test targets, 3.4%)" in text
        assert "User 1003: 9 events of history, 1 of 4 targets found" in text
        assert "Song 0 30% of lists" in text
        assert "14.3% of the test positives are items that were not available yet" in text

    def test_a_refused_release(self, tmp_path):
        steps = records()
        decision = steps[8].result.details["decision"]
        decision |= {"published": False, "reason": "worse than live release ab12"}
        decision["verdict"] |= {"accepted": False, "outcome": "worse", "reference": "live"}
        html, run = write(tmp_path, steps)
        assert "Refused: worse than the live release Release 1f0c9a7be3d24856" in words(html)
        assert "Worse than live release ab12" in words(html)
        assert "release" not in run.paths

    def test_a_forced_release_with_a_warning(self, tmp_path):
        steps = records()
        decision = steps[8].result.details["decision"]
        decision["forced_by"] = "ada"
        decision["verdict"]["warnings"] = ["ndcg_at_10 is not clearly above popularity's"]
        text = words(write(tmp_path, steps)[0])
        assert "Published, forced by ada: better than popularity" in text
        assert "Warning: ndcg_at_10 is not clearly above popularity's" in text

    def test_the_live_release_stands_among_the_systems(self, tmp_path):
        text = words(write(tmp_path, records({"release": "ab12", "skipped": None, **_live()}))[0])
        assert "Live release 0.1300 0.1200 to 0.1400" in text
        assert "than live release +0.0120 +0.0050 to +0.0190" in text

    def test_a_live_release_that_was_not_compared(self, tmp_path):
        live = {"release": "ab12", "skipped": "a release of schema 7", "metrics": {}, "difference": {}}
        text = words(write(tmp_path, records(live))[0])
        assert "The live release was not compared: a release of schema 7" in text
        assert "than live release" not in text

    def test_metrics_that_are_all_zero(self, tmp_path):
        """A run whose systems found nothing has axes without a length."""
        steps = records()
        zero = {"mean": 0.0, "low": 0.0, "high": 0.0}
        judged = evaluation()
        for tables in (judged["systems"], judged["differences"]):
            for table in tables.values():
                table.update(dict.fromkeys(table, zero))
        steps[7].result.details["evaluation"] = judged
        Balance(write(tmp_path, steps)[0])

    def test_one_epoch_one_day_one_point(self, tmp_path):
        steps = records()
        steps[3].result.details["curves"] = {"epoch": [1], "loss": [3.0], "ndcg_at_10": [0.1]}
        steps[1].result.details["events_per_day"]["events"] = [5]
        steps[5].result.details["curve"] = steps[5].result.details["curve"][:1]
        text = words(write(tmp_path, steps)[0])
        assert "all events are of one day" in text
        assert "so that there is no curve" in text

    def test_a_full_disk_leaves_no_half_a_report(self, tmp_path):
        with tiny_disk(tmp_path / "disk", "16k") as disk:
            with pytest.raises(StorageError, match=r"page\.html: no space left"):
                write(disk, records())
            assert list(disk.iterdir()) == []


def _live():
    return {
        "metrics": {"ndcg_at_10": {"mean": 0.13, "low": 0.12, "high": 0.14}},
        "difference": {"ndcg_at_10": {"mean": 0.012, "low": 0.005, "high": 0.019}},
        "difference_of_retrieval": {"ndcg_at_10": {"mean": -0.009, "low": -0.015, "high": -0.003}},
    }


class TestScales:
    numbers = st.floats(-1e9, 1e9).map(lambda value: round(value, 6))

    @given(st.lists(numbers, min_size=1, max_size=20), st.booleans())
    def test_all_values_and_ticks_lie_on_the_axis_in_order(self, values, zero):
        scale = scale_of(values, zero=zero)
        assert all(-1e-6 <= scale.at(value) <= 100 + 1e-6 for value in values)
        assert [scale.at(v) for v in sorted(values)] == sorted(scale.at(v) for v in values)
        ticks = scale.ticks()
        assert 1 <= len(ticks) <= 12
        assert all(-0.01 <= scale.at(tick) <= 100.01 for tick in ticks)
        if zero:
            assert 0.0 in ticks

    @given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=20))
    def test_logarithmic_ones_too(self, values):
        scale = scale_of(values, log=True)
        assert all(-1e-6 <= scale.at(value) <= 100 + 1e-6 for value in values)
        assert all(-1e-6 <= scale.at(tick) <= 100 + 1e-6 for tick in scale.ticks())

    def test_numbers_read_well(self):
        assert [plain(v) for v in (0, 12_345, 0.05, 1.0, 2.5, 1e-5, 123_456_789)] == [
            "0",
            "12,345",
            "0.05",
            "1",
            "2.5",
            "1e-05",
            "123.5 M",
        ]
        assert [duration(v) for v in (0.42, 59.6, 61, 3_700)] == ["0.4 s", "1 min 0 s", "1 min 1 s", "1 h 1 min"]


def test_names_of_narrow_bands_stand_above_one_another() -> None:
    bands = [Band("train", 0, 80), Band("valid", 80, 84), Band("gap", 84, 85), Band("test", 85, 100)]
    html = lines([Series("", "c-path", [(0, 1), (100, 2)])], Axes("day", "events"), bands=bands)
    rows = re.findall(r'class="bandname" style="left:[\d.]+%;bottom:(\d+)px">(\w+)', html)
    assert {name: bottom for bottom, name in rows} == {"train": "5", "valid": "5", "gap": "21", "test": "5"}


class TestObjectives:
    def test_the_curve_has_a_point_for_each_weight_and_one_for_the_recipe(self, tmp_path):
        html, run = write(tmp_path, records())
        text = words(html)
        assert "The recipe orders lists by positive 1, liked 0.5." in text
        assert "liked: 2,770 targets of 634 queries" in text
        assert "changes NDCG@10 of positive by -0.0400" in text
        assert "NDCG@10 of liked by +0.0600 (+0.0520 to +0.0680)" in text
        plot = html.partition("<h3>Trade-off with liked")[2].partition("</div></div>")[0]
        assert len(re.findall(r'class="dot c-path"', plot)) == 9
        assert len(re.findall(r'class="dot big c-knn"', plot)) == 1
        assert "positive 0.875, liked 0.125: 0.1394, 0.0512" in plot
        assert len(run.evaluation.objectives.tradeoffs["liked"].points) == 9

    def test_the_curve_rises_to_the_left(self, tmp_path):
        html, _ = write(tmp_path, records())
        plot = html.partition("<h3>Trade-off with liked")[2]
        path = re.search(r'class="line c-path" d="([^"]+)"', plot)[1]
        points = [tuple(map(float, one.split())) for one in re.findall(r"[ML]([-0-9. ]+)", path)]
        assert all(one[0] > two[0] and one[1] > two[1] for one, two in pairwise(points))

    def test_a_recipe_without_labels_has_no_such_section(self, tmp_path):
        steps = records()
        del steps[7].result.details["evaluation"]["objectives"]
        html, run = write(tmp_path, steps)
        assert run.evaluation.objectives is None
        assert "<h2>Objectives" not in html

    def test_without_a_ranker_or_a_target_there_is_no_curve(self, tmp_path):
        steps = records()
        found = steps[7].result.details["evaluation"]["objectives"]
        found["tradeoffs"] = {}
        found["labels"]["liked"] = {"queries": 0, "targets": 0, "systems": {}}
        html, _ = write(tmp_path, steps)
        assert "Trade-off" not in html
        assert "No query has: liked." in words(html)
