"""What may be tuned, a recipe with other values, and its text."""

import pytest

from shortlist.recipe import RecipeError, Tune, parse_recipe
from shortlist.tuning.recipe_text import diff, tuned_text
from shortlist.tuning.space import TOWER_METRICS, check_tune, ranker_metric, shared_until, trial_recipe, with_values

BASE = """\
# A shop.
name: shop
source: {kind: synthetic}
split: {kind: leave_one_out}
features:
  item: {id_dim: 16}
retrieval:
  dim: 16  # small
  training: {learning_rate: 0.003}
"""


def recipe(fields: str, more: str = ""):
    return parse_recipe(f"{BASE}tune: {{fields: {fields}{more}}}\n")


@pytest.mark.parametrize(
    ("fields", "more", "said"),
    [
        ("{split.kind: {choice: [given]}}", "", "a trial must not change what is measured"),
        ("{retrieval.dims: {choice: [16]}}", "", "there is no 'dims' in encoder, positions, dim"),
        ("{retrieval.dim: {choice: [16, 'wide']}}", "", "retrieval.dim"),
        ("{retrieval.dropout: {uniform: [0.1, 2]}}", "", "retrieval.dropout"),
        ("{ranking.dropout: {uniform: [0.1, 0.5]}}", "", "it has no effect on train_retrieval"),
        ("{retrieval.refit.epochs: {choice: [1]}}", "", "the refit comes after the last validation"),
    ],
)
def test_what_cannot_be_tuned_is_explained_before_anything_starts(fields: str, more: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        check_tune(recipe(fields, more), "shop.yaml")
    assert "shop.yaml: tune.fields." in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "ranking", "said"),
    [
        ("metric: auc", "{}", "train_retrieval of this recipe has no 'auc'; give recall_at_10 or ndcg_at_10 or mrr"),
        ("step: train_ranking, metric: mrr_at_10", "{}", "train_ranking of this recipe has no 'mrr_at_10'; give ndcg"),
        ("step: train_ranking", "{enabled: false}", "train_ranking trains nothing if ranking.enabled is false"),
    ],
)
def test_a_metric_that_the_training_does_not_have_is_refused(settings: str, ranking: str, said: str) -> None:
    text = f"{BASE}ranking: {ranking}\ntune: {{fields: {{retrieval.dim: {{choice: [8]}}}}, {settings}}}\n"
    with pytest.raises(RecipeError, match=said):
        check_tune(parse_recipe(text), "shop.yaml")


def test_the_metrics_are_those_of_the_trainings() -> None:
    from shortlist.ranking.training.held_out import METRIC
    from shortlist.ranking.training.label_task import LabelTask
    from shortlist.retrieval.task import METRICS

    assert TOWER_METRICS == METRICS
    by_candidates, by_labels = (
        parse_recipe(f"{BASE}ranking: {{learn_from: {kind}}}\n") for kind in ("candidates", "labels")
    )
    assert (ranker_metric(by_candidates), ranker_metric(by_labels)) == (METRIC, LabelTask.metric)


def test_a_trial_does_not_refit_after_what_is_measured() -> None:
    base = parse_recipe(BASE.replace("dim: 16  #", "refit: {epochs: 2}\n  dim: 16  #"))
    by_step = {
        step: trial_recipe(base, Tune.model_validate({"step": step, "fields": {"retrieval.dim": {"choice": [8]}}}), {})
        for step in ("train_retrieval", "train_ranking")
    }
    assert {step: one.retrieval.refit.epochs for step, one in by_step.items()} == {
        "train_retrieval": 0,
        "train_ranking": 2,
    }


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (
            "{choice: [1], uniform: [0, 1]}",
            "give one of choice, uniform, log_uniform and integer, not choice and uniform",
        ),
        ("{}", "not none"),
        ("{log_uniform: [0, 1]}", "must be above 0 for a logarithmic range"),
        ("{uniform: [1, 0]}", "is not a range"),
    ],
)
def test_a_wrong_space_is_explained(space: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        recipe(f"{{retrieval.dropout: {space}}}")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "more", "last"),
    [
        ("{retrieval.dim: {choice: [16]}}", "", "prepare"),
        ("{features.history_length: {integer: [5, 9]}, retrieval.dim: {choice: [16]}}", "", "validate"),
        ("{ranking.dropout: {uniform: [0, 0.5]}}", ", step: train_ranking", "build_index"),
        ("{seed: {choice: [1, 2]}}", "", None),
    ],
)
def test_the_steps_before_the_first_field_are_run_once(fields: str, more: str, last: str | None) -> None:
    assert shared_until(check_tune(recipe(fields, more), "shop.yaml")) == last


VALUES = {"retrieval.dim": 64, "retrieval.training.learning_rate": 0.0123, "ranking.hidden": [32, 16]}


def test_values_are_set_by_path() -> None:
    tuned = with_values(parse_recipe(BASE), VALUES)
    assert (tuned.retrieval.dim, tuned.retrieval.training.learning_rate, tuned.ranking.hidden) == (64, 0.0123, [32, 16])
    assert tuned.features == parse_recipe(BASE).features


def test_the_text_changes_only_where_a_value_does() -> None:
    text = tuned_text(BASE, VALUES, "shop.yaml")
    assert parse_recipe(text) == with_values(parse_recipe(BASE), VALUES)
    changed = BASE.replace("dim: 16  #", "dim: 64  #").replace("0.003", "0.0123")
    assert text == f"{changed}ranking: {{hidden: [32, 16]}}\n"
    assert [line for line in diff(BASE, text, ("a", "b")).splitlines() if line.startswith("+ ")] == [
        "+  dim: 64  # small",
        "+  training: {learning_rate: 0.0123}",
    ]


def test_a_form_that_cannot_be_edited_is_written_anew() -> None:
    text = BASE.replace("  training: {learning_rate: 0.003}", "  training: &t {epochs: 1}\nranking: {training: *t}")
    tuned = tuned_text(text, {"ranking.training.epochs": 7}, "shop.yaml")
    assert parse_recipe(tuned).ranking.training.epochs == 7
    assert parse_recipe(tuned).retrieval.training.epochs == 1
