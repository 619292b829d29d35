"""Several objectives as one score, and the heads of the network that predict them."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_ranker import make_ranker, make_request

from shortlist.ranking.ranker import Calibration, Ranker
from shortlist.recommend.objective import combine, weights_of

LIKED = Calibration(slope=0.5, intercept=-3.0)


@pytest.fixture
def labelled(store):
    """A ranker of `positive` and `liked`, whose heads differ."""
    model = make_ranker(store, labels=["liked"]).model
    with torch.no_grad():
        for weight in model.label_heads.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return Ranker(model, Calibration(slope=2.0, intercept=-1.0), {"liked": LIKED}, {"positive": 1.0, "liked": 0.5})


def with_objective(request, *weights):
    weight_EO = np.tile(np.array(weights, np.float32), (len(request.user_E), 1))
    return dataclasses.replace(request, objective_EO=weight_EO)


def test_the_weights_are_in_the_order_of_the_objectives_and_0_where_not_named():
    assert weights_of({"liked": 2.0}, ("positive", "liked", "bought")).tolist() == [0, 2, 0]


@given(st.floats(0.01, 50), st.lists(st.floats(-3, 3), min_size=2, max_size=2).filter(lambda w: any(map(abs, w))))
def test_only_the_ratios_of_weights_matter(factor, weights):
    log_odds_OEK = np.random.default_rng(0).normal(size=(2, 1, 6))
    one = combine(log_odds_OEK, np.array([weights]))
    np.testing.assert_allclose(combine(log_odds_OEK, factor * np.array([weights])), one, rtol=1e-9, atol=1e-12)


def test_one_unit_of_log_odds_is_worth_its_weight():
    log_odds_OEK = np.array([[[1.0, 0.0]], [[-2.0, 0.0]]])  # one more of the first for two less of the second
    assert combine(log_odds_OEK, np.array([[1.0, 0.5]]))[0].tolist() == [0.0, 0.0]
    assert combine(log_odds_OEK, np.array([[-1.0, 0.0]]))[0].tolist() == [-1.0, 0.0], "a negative weight avoids"


def test_all_weight_on_one_objective_is_its_calibrated_probability(labelled):
    request = make_request()
    inside_EK = request.candidates_EK > 0
    log_odds_OEK = labelled.log_odds(request)
    for at, weights in enumerate([(1, 0), (0, 3)]):
        wanted_EK = np.where(inside_EK, 1 / (1 + np.exp(-log_odds_OEK[at])), 0)
        np.testing.assert_allclose(labelled.score(with_objective(request, *weights)), wanted_EK, rtol=1e-5)
    alone = Ranker(labelled.model, labelled.calibration)
    np.testing.assert_allclose(labelled.score(with_objective(request, 1, 0)), alone.score(request), rtol=1e-6)


def test_a_request_without_weights_gets_those_of_the_recipe(labelled):
    request = make_request()
    np.testing.assert_array_equal(labelled.score(request), labelled.score(with_objective(request, 1, 0.5)))
    other = labelled.score(with_objective(request, 1, -0.5))
    assert not np.array_equal(np.argsort(labelled.score(request)), np.argsort(other))


def test_each_query_of_a_batch_has_its_own_weights(labelled):
    request = make_request()
    weight_EO = np.array([[1, 0], [0, 1]] * len(request.user_E), np.float32)[: len(request.user_E)]
    both = labelled.score(dataclasses.replace(request, objective_EO=weight_EO))
    np.testing.assert_allclose(both[0], labelled.score(with_objective(request, 1, 0))[0], rtol=1e-6)
    np.testing.assert_allclose(both[1], labelled.score(with_objective(request, 0, 1))[1], rtol=1e-6)


def test_saved_and_opened_it_scores_the_same(labelled, store, tmp_path):
    labelled.save(tmp_path, {})
    found = json.loads((tmp_path / "ranking.json").read_text())
    assert found["objective"] == {"positive": 1.0, "liked": 0.5}
    assert found["labels"] == {"liked": {"slope": 0.5, "intercept": -3.0}}
    opened = Ranker.open(tmp_path, store.folder, store)
    request = with_objective(make_request(), 0.2, 1)
    np.testing.assert_array_equal(opened.score(request), labelled.score(request))


def test_without_labels_no_file_mentions_them(store, tmp_path):
    make_ranker(store).save(tmp_path, {})
    found = json.loads((tmp_path / "ranking.json").read_text())
    assert found.keys() == {"schema_version", "network", "calibration", "metrics"}
    assert "labels" not in found["network"]
    assert b"label" not in (tmp_path / "ranker.safetensors").read_bytes()


def test_a_label_changes_no_weight_of_the_positives_before_training(store):
    plain, labelled = (make_ranker(store, labels=labels).model for labels in ([], ["liked"]))
    with torch.no_grad():
        labelled.load_state_dict(plain.state_dict(), strict=False)
        request = make_request()
        np.testing.assert_array_equal(labelled.objectives(request)[0], plain(request))


@pytest.mark.parametrize(
    ("weights", "message"),
    [((1, 1, 1), "objective has 3 weights, this release has the objectives positive, liked"), ((0, 0), "is 0")],
)
def test_weights_that_do_not_fit_are_refused(labelled, weights, message):
    with pytest.raises(ValueError, match=message):
        labelled.score(with_objective(make_request(), *weights))
