"""The loss and its negatives in a recipe: which go together, and what the old spelling is told."""

from pathlib import Path

import pytest

from shortlist.recipe import (
    BprLoss,
    GbceLoss,
    InBatchNegatives,
    MixedNegatives,
    Recipe,
    RecipeError,
    SoftmaxLoss,
    StreamingLogQ,
    UniformNegatives,
    dump_recipe,
    load_released_recipe,
    parse_recipe,
)

MINIMAL = "name: demo\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"
KINDS = {
    "softmax": {"in_batch", "mixed", "uniform", "full"},
    "bce": {"in_batch", "mixed", "uniform"},
    "bpr": {"in_batch", "mixed", "uniform"},
    "gbce": {"uniform"},
    "cosine_contrastive": {"uniform"},
}


def read(retrieval: str) -> Recipe:
    return parse_recipe(f"{MINIMAL}retrieval:\n  {retrieval}\n")


def refusal(retrieval: str) -> str:
    with pytest.raises(RecipeError) as caught:
        read(retrieval)
    return str(caught.value)


def test_the_default_is_the_corrected_softmax_over_the_batch() -> None:
    retrieval = parse_recipe(MINIMAL).retrieval
    assert retrieval.loss == SoftmaxLoss(kind="softmax", temperature=0.05, log_q=None)
    assert retrieval.loss.corrects_log_q
    assert retrieval.negatives == InBatchNegatives(kind="in_batch", max_in_batch=4096, num_hard=0)


@pytest.mark.parametrize("negatives", ["in_batch", "mixed", "uniform", "full"])
@pytest.mark.parametrize("loss", KINDS)
def test_which_go_together(loss: str, negatives: str) -> None:
    both = f"loss: {{kind: {loss}}}\n  negatives: {{kind: {negatives}}}"
    if negatives in KINDS[loss]:
        made = read(both)
        assert parse_recipe(dump_recipe(made)) == made
        return
    said = refusal(both)
    assert f"line 6: retrieval.negatives.kind '{negatives}' is not supported by retrieval.loss.kind '{loss}'" in said
    assert "; allowed: uniform" in said
    assert said.endswith("write negatives: {kind: uniform}")


@pytest.mark.parametrize(
    ("retrieval", "said"),
    [
        ("loss: {kind: gbce}", "'in_batch' is not supported by retrieval.loss.kind 'gbce'; allowed: uniform; write"),
        ("loss: {kind: softmax, margin: 1}", "retrieval.loss.margin: unknown key; allowed: kind, temperature, log_q"),
        ("loss: {temperature: 0.1}", "retrieval.loss.kind: is missing; allowed: softmax, bce, gbce, bpr, cosine_con"),
        ("loss: {kind: brp}", "retrieval.loss.kind: 'brp' is not allowed; did you mean 'bpr'? allowed: softmax"),
        ("negatives: {kind: full, num_hard: 2}", "retrieval.negatives.num_hard: unknown key; allowed: kind"),
        (
            "loss: {kind: softmax, log_q: true}\n  negatives: {kind: full}",
            "line 5: retrieval.loss.log_q corrects for the sampling of negatives, but retrieval.negatives.kind",
        ),
        (
            "loss: {kind: bce}\n  negatives: {kind: in_batch, num_hard: 2}",
            "line 6: retrieval.negatives.num_hard 2: only the loss softmax supports hard negatives; set num_hard to",
        ),
        (
            "loss: {kind: cosine_contrastive}\n  negatives: {kind: uniform}\n  metric: dot",
            "line 7: retrieval.metric 'dot' is not supported by retrieval.loss.kind 'cosine_contrastive', which "
            "compares cosines; set retrieval.metric to cosine",
        ),
    ],
)
def test_what_is_refused_says_where_and_the_mend(retrieval: str, said: str) -> None:
    assert said in refusal(retrieval)


OLD = [
    ("loss: in_batch", "loss: {kind: softmax}\nnegatives: {kind: in_batch}"),
    (
        "loss: mixed\n  temperature: 0.07\n  uniform_negatives: 2048\n  logq: false\n  hard_negatives: 3",
        "loss: {kind: softmax, temperature: 0.07, log_q: false}\n"
        "negatives: {kind: mixed, num_uniform: 2048, num_hard: 3}",
    ),
    # What the loss did not read is left out.
    (
        "loss: full\n  max_negatives: 5\n  logq: true\n  temperature: 1.0",
        "loss: {kind: softmax, temperature: 1.0}\nnegatives: {kind: full}",
    ),
    ("temperature: 0.1", "loss: {kind: softmax, temperature: 0.1}\nnegatives: {kind: in_batch}"),
    ("max_negatives: 1024", "loss: {kind: softmax}\nnegatives: {kind: in_batch, max_in_batch: 1024}"),
    (
        "loss: gbce\n  calibration: 0.5\n  uniform_negatives: 64\n  margin: 0.1",
        "loss: {kind: gbce, calibration: 0.5}\nnegatives: {kind: uniform, num_uniform: 64}",
    ),
    (
        "loss: cosine_contrastive\n  margin: 0.1\n  negative_weight: 50\n  temperature: 2",
        "loss: {kind: cosine_contrastive, margin: 0.1, negative_weight: 50}\nnegatives: {kind: uniform}",
    ),
    # Half of it is new already.
    (
        "loss: {kind: softmax, temperature: 0.2}\n  max_negatives: 9",
        "negatives: {kind: in_batch, max_in_batch: 9}",
    ),
    (
        "loss: {kind: bpr}\n  negatives: {kind: uniform}\n  uniform_negatives: 9",
        "negatives: {kind: uniform, num_uniform: 9}",
    ),
]


@pytest.mark.parametrize(("old", "new"), OLD)
def test_the_old_spelling_is_told_the_lines_to_write(old: str, new: str, tmp_path: Path) -> None:
    said = refusal(f"dim: 8\n  {old}")
    assert "line 4: retrieval: the syntax of the loss and its negatives has changed; instead of " in said
    assert [line.strip() for line in said.splitlines()[2:]] == new.splitlines()
    # Of a release they are read, and are what the lines are.
    (tmp_path / "recipe.yaml").write_text(f"{MINIMAL}retrieval:\n  dim: 8\n  {old}\n")
    kept = [line for line in old.split("\n  ") if line.startswith("loss: {")]
    whole = "\n  ".join([*(line for line in kept if "loss: " not in new), *new.splitlines()])
    assert load_released_recipe(tmp_path / "recipe.yaml") == read(f"dim: 8\n  {whole}")


def test_positions_others_is_leave_one_out(tmp_path: Path) -> None:
    text = "name: demo\nsource: {kind: synthetic}\nsplit: {kind: given, valid: 0.1}\n"
    text += "interactions: {ordered: false, time_unit: row}\nretrieval: {encoder: mean, positions: others}\n"
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text)
    assert "instead of positions: others write\n      positions: leave_one_out" in str(caught.value)
    (tmp_path / "recipe.yaml").write_text(text)
    assert load_released_recipe(tmp_path / "recipe.yaml").retrieval.positions == "leave_one_out"


def test_a_released_recipe_of_today_is_read_as_it_is(tmp_path: Path) -> None:
    made = read("loss: {kind: gbce, calibration: 0.5}\n  negatives: {kind: uniform, num_uniform: 7}")
    (tmp_path / "recipe.yaml").write_text(dump_recipe(made))
    found = load_released_recipe(tmp_path / "recipe.yaml")
    assert found == made
    assert isinstance(found.retrieval.loss, GbceLoss)
    assert isinstance(found.retrieval.negatives, UniformNegatives)


def test_a_release_with_another_fault_is_still_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"{MINIMAL}retrieval: {{loss: mixed, logic: false}}\n")
    with pytest.raises(RecipeError, match=r"retrieval\.logic: unknown key"):
        load_released_recipe(tmp_path / "recipe.yaml")


def test_only_the_softmax_is_corrected() -> None:
    made = read("loss: {kind: bpr}\n  negatives: {kind: mixed, num_uniform: 5}")
    assert made.retrieval.loss == BprLoss(kind="bpr", temperature=0.05)
    assert isinstance(made.retrieval.negatives, MixedNegatives)
    assert not made.retrieval.loss.corrects_log_q
    assert not read("loss: {kind: softmax, log_q: false}").retrieval.loss.corrects_log_q


def test_a_streaming_estimate_is_for_negatives_of_the_batch() -> None:
    streaming = "loss: {kind: softmax, log_q: {kind: streaming, alpha: 0.1}}"
    made = read(f"{streaming}\n  negatives: {{kind: mixed}}")
    assert made.retrieval.loss.log_q == StreamingLogQ(kind="streaming", alpha=0.1)
    assert made.retrieval.loss.corrects_log_q
    assert parse_recipe(dump_recipe(made)) == made
    assert "probability of retrieval.negatives.kind 'uniform' is known; write log_q: true" in refusal(
        f"{streaming}\n  negatives: {{kind: uniform}}"
    )
    assert "retrieval.loss.log_q.kind: 'steaming' is not allowed; did you mean 'streaming'?" in refusal(
        "loss: {kind: softmax, log_q: {kind: steaming}}"
    )
    assert "retrieval.loss.log_q: 'yess' is not true or false" in refusal("loss: {kind: softmax, log_q: yess}")


def test_encoders_of_a_list_differ() -> None:
    assert read("encoder: [mean, attention]").retrieval.encoders == ["mean", "attention"]
    assert read("encoder: mean").retrieval.encoders == ["mean"]
    assert "encoder names 'mean' twice" in refusal("encoder: [mean, mean]")
    assert "retrieval.encoder.1: 'men' is not allowed; did you mean 'mean'?" in refusal("encoder: [hstu, men]")
