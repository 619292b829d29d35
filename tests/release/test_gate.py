"""The gate refuses what is clearly worse, and says by how much."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_parts import compared, evaluation, interval
from report_records import lists

from shortlist.recipe import Gate
from shortlist.release.gate import apply_gate


class TestAgainstTheLiveRelease:
    def test_better_is_accepted(self):
        verdict = apply_gate(evaluation(live=compared("ab12", 0.05)), Gate())
        assert verdict.accepted
        assert verdict.compared_with == "ab12"
        assert verdict.outcome == "better"
        assert "better than live release ab12: ndcg_at_10 differs from its 0.2 by" in verdict.reason
        assert "+0.0500 [+0.0400, +0.0600]" in verdict.reason

    def test_clearly_worse_is_refused_with_by_how_much(self):
        verdict = apply_gate(evaluation(live=compared("ab12", -0.05)), Gate())
        assert not verdict.accepted
        assert "worse than live release ab12" in verdict.reason
        assert "0.2 by -0.0500 [-0.0600, -0.0400], all of it below 0" in verdict.reason
        assert verdict.difference.mean == -0.05

    def test_noise_refuses_nothing(self):
        assert apply_gate(evaluation(live=compared("ab12", -0.005)), Gate()).accepted

    def test_the_same_release_again_is_accepted(self):
        assert apply_gate(evaluation(live=compared("ab12", 0.0, half=0.0)), Gate()).accepted

    def test_tolerance_is_a_share_of_the_live_metric(self):
        judged = evaluation(live=compared("ab12", -0.05))  # 0.2 before; the interval ends at -0.04
        assert not apply_gate(judged, Gate(tolerance=0.19)).accepted
        assert apply_gate(judged, Gate(tolerance=0.21)).accepted

    @given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1))
    def test_a_wider_tolerance_never_refuses_more(self, difference, half, one, other):
        small, large = sorted((one, other))
        judged = evaluation(live=compared("ab12", difference, half))
        if apply_gate(judged, Gate(tolerance=small)).accepted:
            assert apply_gate(judged, Gate(tolerance=large)).accepted

    def test_worse_than_popularity_but_not_than_the_live_one_is_accepted(self):
        """The live release is what users get today; that both lose to popularity is for the report to show."""
        assert apply_gate(evaluation(over_popularity=-0.1, live=compared("ab12", 0.05)), Gate()).accepted

    def test_another_metric_can_decide(self):
        judged = evaluation(live=compared("ab12", 0.05))
        judged["live"]["difference"]["recall_at_10"] = {"mean": -0.1, "low": -0.2, "high": -0.05}
        judged["live"]["metrics"]["recall_at_10"] = {"mean": 0.3, "low": 0.2, "high": 0.4}
        judged["differences"]["path_minus_popularity"]["recall_at_10"] = {"mean": 0.1, "low": 0.0, "high": 0.2}
        assert apply_gate(judged, Gate()).accepted
        assert not apply_gate(judged, Gate(metric="recall_at_10")).accepted


class TestWithoutOne:
    def test_the_first_that_beats_popularity_is_accepted(self):
        verdict = apply_gate(evaluation(0.1), Gate())
        assert verdict.accepted
        assert verdict.compared_with is None
        assert verdict.warnings == []
        assert "no release was live" in verdict.reason

    def test_the_first_that_may_be_no_better_is_accepted_with_a_warning(self):
        verdict = apply_gate(evaluation(0.005), Gate())
        assert verdict.accepted
        assert "not clearly above popularity's: difference +0.0050 [-0.0050, +0.0150]" in verdict.warnings[0]

    def test_the_first_that_is_clearly_worse_is_refused(self):
        verdict = apply_gate(evaluation(-0.1), Gate())
        assert not verdict.accepted
        assert verdict.outcome == "worse"
        assert "worse than popularity: ndcg_at_10 differs from its 0.3 by -0.1000" in verdict.reason

    @pytest.mark.parametrize(("over_popularity", "accepted"), [(0.1, True), (-0.1, False)])
    def test_a_live_one_of_another_schema_is_not_compared(self, over_popularity, accepted):
        live = {"release": "ab12", "metrics": {}, "difference": {}, "skipped": "a release of schema 7"}
        verdict = apply_gate(evaluation(over_popularity, live), Gate())
        assert verdict.accepted is accepted
        assert verdict.compared_with == "ab12"
        assert "live release ab12 was not compared: a release of schema 7" in verdict.reason


class TestWhatTheGateCannotTell:
    """The mean of the live release is 0.2, so that a loss of 0.02 would matter by the default margin."""

    @pytest.mark.parametrize(
        ("low", "high", "outcome"),
        [
            (0.001, 0.03, "better"),
            (-0.019, 0.03, "not_worse"),
            (-0.019, -0.0001, "worse"),
            (-0.021, 0.03, "cannot_tell"),
            (0.0, 0.0, "not_worse"),
        ],
    )
    def test_the_outcome_is_where_the_interval_lies(self, low, high, outcome):
        live = compared("ab12", (low + high) / 2, (high - low) / 2)
        assert apply_gate(evaluation(live=live), Gate()).outcome == outcome

    def test_22_queries_and_a_wide_interval_are_no_green_light(self):
        judged = evaluation(live=compared("ab12", -0.193, 0.305)) | {"queries": 22}
        verdict = apply_gate(judged, Gate())
        assert (verdict.outcome, verdict.accepted) == ("cannot_tell", True)
        assert "22 test queries are fewer than the 50 of gate.min_queries" in verdict.reason
        refused = apply_gate(judged, Gate(when_unsure="refuse"))
        assert not refused.accepted
        assert "gate.when_unsure is refuse" in refused.reason

    def test_few_queries_say_nothing_however_narrow_the_interval_but_worse_stays_worse(self):
        few = {"queries": 22}
        assert apply_gate(evaluation(live=compared("ab12", 0.05)) | few, Gate()).outcome == "cannot_tell"
        assert apply_gate(evaluation(live=compared("ab12", 0.05)) | few, Gate(min_queries=20)).outcome == "better"
        assert apply_gate(evaluation(live=compared("ab12", -0.05)) | few, Gate()).outcome == "worse"

    def test_the_first_release_on_little_data_is_published_unless_the_recipe_says_otherwise(self):
        judged = evaluation(0.005) | {"queries": 22}
        assert apply_gate(judged, Gate()).accepted
        assert not apply_gate(judged, Gate(when_unsure="refuse")).accepted

    def test_beside_a_reference_that_found_nothing_equality_says_nothing(self):
        live = compared("ab12", 0.0, 0.0)
        live["metrics"]["ndcg_at_10"] = interval(0.0, 0.0)
        verdict = apply_gate(evaluation(live=live), Gate())
        assert verdict.outcome == "cannot_tell"
        assert "lists contain no target" in verdict.reason

    @given(st.floats(-1, 1), st.floats(0, 0.5), st.integers(1, 200))
    def test_refusing_when_unsure_never_accepts_more_and_never_touches_what_is_clear(self, difference, half, queries):
        judged = evaluation(live=compared("ab12", difference, half)) | {"queries": queries}
        one, other = apply_gate(judged, Gate()), apply_gate(judged, Gate(when_unsure="refuse"))
        assert one.outcome == other.outcome
        assert (one.accepted, other.accepted) in {(True, True), (False, False), (True, False)}
        assert (one.accepted != other.accepted) == (one.outcome == "cannot_tell")


class TestBaselines:
    @pytest.mark.parametrize(("system", "name"), [("item_knn", "item-kNN"), ("buy_again", "buying again")])
    def test_one_that_is_clearly_better_is_a_warning(self, system, name):
        judged = evaluation()
        judged["differences"][f"path_minus_{system}"] = {"ndcg_at_10": interval(-0.05)}
        (warning,) = apply_gate(judged, Gate()).warnings
        assert f"below that of {name}: difference -0.0500" in warning


class TestLists:
    def test_good_ones_are_not_spoken_of(self):
        verdict = apply_gate(evaluation() | {"lists": lists()}, Gate())
        assert verdict.accepted
        assert verdict.list_problems == verdict.warnings == []

    @pytest.mark.parametrize(
        ("statistics", "said"),
        [
            (
                {"untrained": 0.97},
                "97% of the recommended items were never trained on, but only 3% of the test targets",
            ),
            ({"tied": 0.96, "longest_tie": 9.8}, r"96% .* same score .*\(9.8 items in a tie\).*features.item.id_dim"),
            ({"indistinct": 0.9, "tied": 0.9}, "cannot distinguish them. Give items features"),
        ],
    )
    def test_ones_that_untrained_or_tied_items_dominate_are_refused_whatever_the_metric(self, statistics, said):
        judged = evaluation(live=compared("ab12", 0.05)) | {"lists": lists(**statistics)}
        verdict = apply_gate(judged, Gate())
        assert (verdict.accepted, verdict.outcome) == (False, "bad_lists")
        assert re.search(said, verdict.reason)
        assert verdict.list_problems == [verdict.reason]

    def test_the_recipe_can_allow_them(self):
        judged = evaluation() | {"lists": lists(untrained=1.0, tied=1.0, indistinct=1.0)}
        assert apply_gate(judged, Gate(max_untrained=1, max_tied=1)).accepted

    def test_new_items_are_right_where_users_take_new_ones(self):
        """Tenders and news: nearly all that is taken is new, and features tell it apart."""
        judged = evaluation() | {"lists": lists(untrained=0.97) | {"untrained_targets": 0.86}}
        assert apply_gate(judged, Gate()).accepted

    def test_items_of_one_vector_that_were_trained_or_that_the_ranker_tells_apart_are_no_reason(self):
        judged = evaluation() | {"lists": lists(one_vector=1.0)}
        assert apply_gate(judged, Gate()).accepted

    def test_ties_that_do_not_dominate_are_a_warning(self):
        (warning,) = apply_gate(evaluation() | {"lists": lists(tied=0.4)}, Gate()).warnings
        assert "40% of the recommended items have the score of another" in warning

    def test_one_list_for_nearly_everybody_is_a_warning(self):
        same = lists(distinct=0.01)
        same["systems"]["path"]["most_recommended"][0]["share"] = 0.93
        said = " ".join(apply_gate(evaluation() | {"lists": same}, Gate()).warnings)
        assert "nearly all users get the same list: 1989 lists, 1.0% of them distinct" in said
        assert "item 0 is in 93% of the lists" in said

    @pytest.mark.parametrize("asked", [{"by_popularity": 1_995}, {"without_history": 1_500}])
    def test_few_lists_are_right_for_unknown_users(self, asked):
        judged = evaluation() | {"lists": lists(distinct=0.001) | asked}
        verdict = apply_gate(judged, Gate())
        assert verdict.accepted
        assert verdict.warnings == []

    def test_where_popularity_answered_all_there_is_nothing_to_refuse(self):
        judged = evaluation() | {"lists": lists() | {"by_popularity": 2001, "systems": {}}}
        assert apply_gate(judged, Gate()).accepted

    def test_the_lists_are_of_what_is_served(self):
        bad = lists(tied=0.9)
        judged = evaluation(ranker_brings=0.0) | {"lists": bad}
        assert not apply_gate(judged, Gate()).accepted
        assert apply_gate(judged, Gate(ranker="if_better")).accepted


class TestTheRanker:
    IF_BETTER = Gate(ranker="if_better")

    def test_one_that_is_clearly_better_is_served(self):
        verdict = apply_gate(evaluation(ranker_brings=0.05), self.IF_BETTER)
        assert verdict.serves == "path"
        assert not verdict.warnings

    def test_one_that_may_bring_nothing_is_left_out(self):
        """An interval that holds 0, and one below it."""
        for brings in (0.009, -0.05):
            verdict = apply_gate(evaluation(ranker_brings=brings), self.IF_BETTER)
            assert verdict.serves == "retrieval"
            assert "served without it" in verdict.warnings[0]

    def test_what_is_judged_is_what_will_be_served(self):
        """The path is better than what is live and than popularity, retrieval alone is not."""
        live = compared("ab12", 0.05)
        assert apply_gate(evaluation(live=live, ranker_brings=0.05), self.IF_BETTER).accepted
        assert not apply_gate(evaluation(live=live, ranker_brings=0.0), self.IF_BETTER).accepted
        assert not apply_gate(evaluation(-0.05, ranker_brings=0.0), self.IF_BETTER).accepted

    def test_always_keeps_it_and_warns(self):
        verdict = apply_gate(evaluation(ranker_brings=0.0), Gate())
        assert verdict.serves == "path"
        assert "not clearly better than retrieval alone" in verdict.warnings[0]

    def test_a_release_without_ranking_has_nothing_to_leave_out(self):
        assert apply_gate(evaluation(), self.IF_BETTER).serves == "path"
