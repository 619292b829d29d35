"""The gate refuses what is clearly worse, and says by how much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_parts import compared, evaluation

from shortlist.recipe import Gate
from shortlist.release.gate import judge


class TestAgainstTheLiveRelease:
    def test_better_is_accepted(self):
        verdict = judge(evaluation(live=compared("ab12", 0.05)), Gate())
        assert verdict.accepted
        assert verdict.compared_with == "ab12"
        assert "not worse than live release ab12: ndcg_at_10 differs from the live release's 0.2 by" in verdict.reason
        assert "+0.0500 [+0.0400, +0.0600]" in verdict.reason

    def test_clearly_worse_is_refused_with_by_how_much(self):
        verdict = judge(evaluation(live=compared("ab12", -0.05)), Gate())
        assert not verdict.accepted
        assert "worse than live release ab12" in verdict.reason
        assert "0.2 by -0.0500 [-0.0600, -0.0400], all of it below the allowed" in verdict.reason
        assert verdict.difference.mean == -0.05

    def test_noise_refuses_nothing(self):
        assert judge(evaluation(live=compared("ab12", -0.005)), Gate()).accepted

    def test_the_same_release_again_is_accepted(self):
        assert judge(evaluation(live=compared("ab12", 0.0, half=0.0)), Gate()).accepted

    def test_tolerance_is_a_share_of_the_live_metric(self):
        judged = evaluation(live=compared("ab12", -0.05))  # 0.2 before; the interval ends at -0.04
        assert not judge(judged, Gate(tolerance=0.19)).accepted
        assert judge(judged, Gate(tolerance=0.21)).accepted

    @given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1))
    def test_a_wider_tolerance_never_refuses_more(self, difference, half, one, other):
        small, large = sorted((one, other))
        judged = evaluation(live=compared("ab12", difference, half))
        if judge(judged, Gate(tolerance=small)).accepted:
            assert judge(judged, Gate(tolerance=large)).accepted

    def test_worse_than_popularity_but_not_than_the_live_one_is_accepted(self):
        """The live release is what users get today; that both lose to popularity is for the report to show."""
        assert judge(evaluation(over_popularity=-0.1, live=compared("ab12", 0.05)), Gate()).accepted

    def test_another_metric_can_decide(self):
        judged = evaluation(live=compared("ab12", 0.05))
        judged["live"]["difference"]["recall_at_10"] = {"mean": -0.1, "low": -0.2, "high": -0.05}
        judged["live"]["metrics"]["recall_at_10"] = {"mean": 0.3, "low": 0.2, "high": 0.4}
        judged["differences"]["path_minus_popularity"]["recall_at_10"] = {"mean": 0.1, "low": 0.0, "high": 0.2}
        assert judge(judged, Gate()).accepted
        assert not judge(judged, Gate(metric="recall_at_10")).accepted


class TestWithoutOne:
    def test_the_first_that_beats_popularity_is_accepted(self):
        verdict = judge(evaluation(0.1), Gate())
        assert verdict.accepted
        assert verdict.compared_with is None
        assert verdict.warnings == []
        assert "no release was live" in verdict.reason

    def test_the_first_that_may_be_no_better_is_accepted_with_a_warning(self):
        verdict = judge(evaluation(0.005), Gate())
        assert verdict.accepted
        assert "not clearly above popularity's: difference +0.0050 [-0.0050, +0.0150]" in verdict.warnings[0]

    def test_the_first_that_is_clearly_worse_is_refused(self):
        verdict = judge(evaluation(-0.1), Gate())
        assert not verdict.accepted
        assert "worse than popularity: ndcg_at_10 differs from popularity's by -0.1000" in verdict.reason

    @pytest.mark.parametrize(("over_popularity", "accepted"), [(0.1, True), (-0.1, False)])
    def test_a_live_one_of_another_schema_is_not_compared(self, over_popularity, accepted):
        live = {"release": "ab12", "metrics": {}, "difference": {}, "skipped": "a release of schema 7"}
        verdict = judge(evaluation(over_popularity, live), Gate())
        assert verdict.accepted is accepted
        assert verdict.compared_with == "ab12"
        assert "live release ab12 was not compared: a release of schema 7" in verdict.reason


class TestTheRanker:
    IF_BETTER = Gate(ranker="if_better")

    def test_one_that_is_clearly_better_is_served(self):
        verdict = judge(evaluation(ranker_brings=0.05), self.IF_BETTER)
        assert verdict.serves == "path"
        assert not verdict.warnings

    def test_one_that_may_bring_nothing_is_left_out(self):
        """An interval that holds 0, and one below it."""
        for brings in (0.009, -0.05):
            verdict = judge(evaluation(ranker_brings=brings), self.IF_BETTER)
            assert verdict.serves == "retrieval"
            assert "served without it" in verdict.warnings[0]

    def test_what_is_judged_is_what_will_be_served(self):
        """The path is better than what is live and than popularity, retrieval alone is not."""
        live = compared("ab12", 0.05)
        assert judge(evaluation(live=live, ranker_brings=0.05), self.IF_BETTER).accepted
        assert not judge(evaluation(live=live, ranker_brings=0.0), self.IF_BETTER).accepted
        assert not judge(evaluation(-0.05, ranker_brings=0.0), self.IF_BETTER).accepted

    def test_always_keeps_it_and_warns(self):
        verdict = judge(evaluation(ranker_brings=0.0), Gate())
        assert verdict.serves == "path"
        assert "not clearly better than retrieval alone" in verdict.warnings[0]

    def test_a_release_without_ranking_has_nothing_to_leave_out(self):
        assert judge(evaluation(), self.IF_BETTER).serves == "path"
