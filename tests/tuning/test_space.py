"""What may be tuned, a recipe with other values, and its text."""

import pytest

from shortlist.recipe import RecipeError, parse_recipe
from shortlist.tuning.recipe_text import diff, tuned_text
from shortlist.tuning.space import check_tune, shared_until, with_values

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
    ],
)
def test_what_cannot_be_tuned_is_explained_before_anything_starts(fields: str, more: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        check_tune(recipe(fields, more), "shop.yaml")
    assert "shop.yaml: tune.fields." in str(refused.value)
    assert said in str(refused.value)


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
