"""The recipe: what is accepted, and what is said about what is not."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shortlist.recipe import (
    FilesSource,
    LeaveOneOutSplit,
    Recipe,
    RecipeError,
    SyntheticSource,
    TableFile,
    dump_recipe,
    load_recipe,
    parse_recipe,
    recipe_schema,
)

MINIMAL = "name: demo\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"
RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def refusal(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "shop.yaml")
    message = str(caught.value)
    assert message.startswith("shop.yaml: ")
    return message


def test_defaults_make_a_whole_recipe() -> None:
    recipe = parse_recipe(MINIMAL)
    assert isinstance(recipe.source, SyntheticSource)
    assert recipe.interactions.positive == "TRUE"
    assert recipe.seed == 42


def test_a_misspelt_key_names_its_path_what_is_allowed_and_the_nearest() -> None:
    message = refusal(MINIMAL + "retrieval: {training: {epoch: 3}}\n")
    assert "retrieval.training.epoch: unknown key; did you mean 'epochs'? allowed: batch_size, " in message


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("{kind: synthetic, user: 3}", "allowed: kind, users, items, events, days, dirty, scale, likes"),
        ("{kind: yambda, path: x, sise: 50m}", "allowed: kind, path, size, feedback, embeddings"),
        ("{kind: files, events: [{path: x}], item: {path: y}}", "allowed: kind, events, items, users"),
    ],
)
def test_only_the_keys_of_the_named_kind_are_allowed(source: str, allowed: str) -> None:
    message = refusal(f"name: demo\nsource: {source}\nsplit: {{kind: leave_one_out}}\n")
    assert message.splitlines()[1].endswith(allowed)


def test_a_misspelt_key_inside_a_list_names_its_place() -> None:
    message = refusal(
        "name: demo\nsource: {kind: files, events: [{path: a}, {pth: b}]}\nsplit: {kind: leave_one_out}\n"
    )
    assert "source.events.1.pth: unknown key; did you mean 'path'?" in message
    assert "source.events.1.path: is missing" in message


def test_a_wrong_type_shows_the_value() -> None:
    message = refusal(MINIMAL + "seed: many\nevaluation: {bootstrap: 1}\n")
    assert "line 4: seed: 'many' is not a whole number" in message
    assert "evaluation.bootstrap: 1: Input should be greater than or equal to 10" in message


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "features: {item: {numeric: [price, 2019]}}",
            "features.item.numeric.1: YAML reads 2019 as a number",
        ),
        ("description: true", "line 4: description: YAML reads true as true, not as text; write 'true' in quotes"),
        (
            "resources: {env: {A: 1e3}}",
            "resources.env.A: YAML reads 1e3 as a number, not as text; write '1e3'",
        ),
        ("publish: {to: ~}", "publish.to: YAML reads ~ as null, not as text; write '~' in quotes"),
        ("evaluation: {k: 10}", "evaluation.k: 10 is not a list, like [a, b]; write [10]"),
        ("retrieval: cosine", "retrieval: 'cosine' is not a mapping, like {name: value}"),
        ("evaluation: {mask_seen: maybe}", "evaluation.mask_seen: 'maybe' is not true or false"),
        (
            "contract: {earliest: 01.02.2024}",
            "contract.earliest: '01.02.2024' is not an ISO date: write it",
        ),
        ("gate: {metric: ndcg_at_7}", "line 4: gate.metric 'ndcg_at_7' is not one of"),
        ("seed: 1\nseed: 2", "shop.yaml: line 5: the key 'seed' occurs twice, first in line 4"),
    ],
)
def test_what_yaml_takes_a_word_for_and_how_to_write_it(more: str, said: str) -> None:
    assert said in refusal(f"{MINIMAL}{more}\n")


def test_a_choice_of_types_is_told_once_and_at_its_place() -> None:
    message = refusal(MINIMAL + "contract: {columns: {grade: {allowed: [a, 1.5]}}}\n")
    assert message.splitlines()[1:] == [
        "  line 4: contract.columns.grade.allowed.1: YAML reads 1.5 as a number, not as text or a whole number or "
        "true or false; write '1.5' in quotes"
    ]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[NO, on, SE]", ["NO", "on", "SE"]),
        ("[012, 1_000, 12:30]", ["012", "1_000", "12:30"]),
        ("[7, true]", [7, True]),
    ],
)
def test_words_are_what_a_person_means(written: str, found: list[object]) -> None:
    recipe = parse_recipe(f"{MINIMAL}contract: {{earliest: 2024-01-01, columns: {{c: {{allowed: {written}}}}}}}\n")
    assert recipe.contract.columns["c"].allowed == found
    assert recipe.contract.earliest == "2024-01-01"


def test_a_wrong_word_shows_the_nearest() -> None:
    message = refusal(MINIMAL + "retrieval: {encoder: transfomer}\n")
    assert "retrieval.encoder: 'transfomer' is not allowed; did you mean 'transformer'? allowed: mean," in message


def test_a_wrong_or_missing_kind_lists_the_kinds() -> None:
    wrong = refusal("name: demo\nsource: {kind: synthetik}\nsplit: {kind: leave_one_out}\n")
    assert "source.kind: 'synthetik' is not allowed; did you mean 'synthetic'? allowed: files, sql, yambda" in wrong
    missing = refusal("name: demo\nsource: {kind: synthetic}\nsplit: {test: 1d}\n")
    assert "split.kind: is missing; allowed: temporal, leave_one_out" in missing


def test_a_source_without_events_is_refused() -> None:
    assert "source.events: " in refusal("name: demo\nsource: {kind: files, events: []}\nsplit: {kind: leave_one_out}\n")


@pytest.mark.parametrize(("written", "seconds"), [("90", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604_800)])
def test_durations(written: str, seconds: int) -> None:
    recipe = parse_recipe(
        f"name: a\nsource: {{kind: synthetic}}\nsplit: {{kind: temporal, test: {written}, valid: 1d}}"
    )
    assert recipe.split.kind == "temporal"
    assert recipe.split.test == seconds


def test_no_duration_is_said_once() -> None:
    message = refusal("name: a\nsource: {kind: synthetic}\nsplit: {kind: temporal, test: 3x, valid: 1d}")
    assert message.endswith("split.test: '3x' is not a duration: write a number and s, m, h, d or w, like 30m or 7d")


def test_numbers_and_truth_are_expressions() -> None:
    recipe = parse_recipe(MINIMAL + "interactions: {positive: true, weight: 2}\n")
    assert (recipe.interactions.positive, recipe.interactions.weight) == ("TRUE", "2")


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "name: a\nsource: {kind: files, events: [{path: '${RAW}/${PART:-all}.csv'}]}\nsplit: {kind: leave_one_out}\n"
    monkeypatch.setenv("RAW", "/data")
    recipe = parse_recipe(text)
    assert isinstance(recipe.source, FilesSource)
    assert recipe.source.events == [TableFile(path="/data/all.csv")]
    monkeypatch.delenv("RAW")
    message = refusal(text)
    assert "source.events.0.path: the environment variable RAW is not set; set it, or write ${RAW:-default}" in message


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("interactions: {time_unit: row}\nfeatures: {context: {clock: [hour]}}\n", "remove the clock"),
        ("interactions: {time_unit: row}\nretrieval: {half_life: 7d}\n", "half_life needs times"),
        ("gate: {metric: ndcg_at_7}\n", "gate.metric 'ndcg_at_7' is not one of"),
    ],
)
def test_what_does_not_fit_together(more: str, said: str) -> None:
    assert said in refusal(MINIMAL + more)


def test_rows_without_times_cannot_be_cut_by_time() -> None:
    text = "name: a\nsource: {kind: synthetic}\nsplit: {kind: temporal, test: 1d, valid: 1d}\n"
    assert "use 'leave_one_out'" in refusal(text + "interactions: {time_unit: row}\n")


@pytest.mark.parametrize(("text", "said"), [("- a", "not a list"), ("a: [", "this is not YAML"), ("", "NoneType")])
def test_what_is_no_recipe(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_missing_file_names_what_lies_beside(tmp_path: Path) -> None:
    (tmp_path / "music.yaml").write_text(MINIMAL)
    with pytest.raises(
        RecipeError, match=r"musik\.yaml: there is no such recipe; similar names in this folder: music\.yaml"
    ):
        load_recipe(tmp_path / "musik.yaml")


def test_a_file_of_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"name: \xff")
    with pytest.raises(RecipeError, match="cannot be read as UTF-8 text"):
        load_recipe(tmp_path / "a.yaml")


def test_a_recipe_never_changes() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_recipe(MINIMAL).name = "other"  # type: ignore[misc] # what the test is about


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_shipped_recipes_are_valid_and_survive_a_round_trip(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_DATA", "/data")
    recipe = load_recipe(file)
    assert recipe.name == file.stem
    assert parse_recipe(dump_recipe(recipe)) == recipe


@given(
    seed=st.integers(0, 2**31),
    name=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
    positive=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1),
    dims=st.lists(st.integers(1, 64), max_size=3),
)
def test_dumping_and_parsing_gives_the_same_recipe(seed: int, name: str, positive: str, dims: list[int]) -> None:
    recipe = Recipe.model_validate(
        {
            "name": name,
            "seed": seed,
            "source": {"kind": "synthetic"},
            "split": {"kind": "leave_one_out"},
            "interactions": {"positive": positive},
            "features": {"item": {"categorical": [{"name": f"c{i}", "dim": dim} for i, dim in enumerate(dims)]}},
        }
    )
    if "${" not in positive:
        assert parse_recipe(dump_recipe(recipe)) == recipe


def test_the_dump_keeps_the_kinds_and_leaves_defaults_out() -> None:
    dumped = yaml.safe_load(dump_recipe(parse_recipe(MINIMAL + "seed: 7\n")))
    assert dumped == {
        "name": "demo",
        "seed": 7,
        "source": {"kind": "synthetic"},
        "split": {"kind": "leave_one_out"},
    }
    assert isinstance(parse_recipe(MINIMAL).split, LeaveOneOutSplit)


def test_the_schema_describes_every_field_for_editors() -> None:
    schema = recipe_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["required"] == ["name", "source", "split"]
    kinds = schema["properties"]["source"]["discriminator"]["mapping"]
    assert set(kinds) == {"files", "sql", "yambda", "synthetic", "synthetic_playlists"}
    assert "environment" in schema["$defs"]["TableFile"]["properties"]["path"]["description"]


def test_a_synthetic_log_is_scaled_by_one_setting() -> None:
    made = parse_recipe(
        "name: demo\nsource: {kind: synthetic, users: 500, items: 3, events: 1000, scale: 0.01}\n"
        "split: {kind: leave_one_out}\n"
    )
    scaled = made.source.scaled()
    assert (scaled.users, scaled.items, scaled.events, scaled.scale) == (5, 1, 10, 1.0)
    assert scaled.scaled() == scaled


def test_a_cap_per_user_needs_an_order() -> None:
    said = refusal(
        "name: demo\nsource: {kind: synthetic}\nsplit: {kind: given, valid: 0.1, max_per_user: 5}\n"
        "interactions: {ordered: false, time_unit: row}\nretrieval: {encoder: mean, positions: leave_one_out}\n"
    )
    assert "split.max_per_user keeps the latest positives" in said
