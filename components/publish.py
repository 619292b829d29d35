"""Applies the gate and publishes the release atomically."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def publish(
    recipe: str,
    features: Input[Dataset],
    prepare: Input[Artifact],
    retrieval: Input[Model],
    index: Input[Model],
    ranking: Input[Model],
    evaluation: Input[Dataset],
    decision: Output[Artifact],
    record: Output[Artifact],
    metrics: Output[Metrics],
    forced_by: str = "",
) -> None:
    """Assemble the release, apply the gate, and publish the release to the recipe's storage.

    Args:
        recipe: The recipe, as YAML text.
        features: Vocabularies, statistics and histories, as the prepare step wrote them.
        prepare: Record of the prepare step: time, memory, rows and metrics, as JSON.
        retrieval: Item vectors and the query tower, as the export step wrote them.
        index: The FAISS index, as the build_index step wrote it.
        ranking: The ranker, as the train_ranking step wrote it; an empty folder without one.
        evaluation: Metrics of the whole path, as the evaluate step wrote them.
        decision: Folder of decision.json: published or refused, and why.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
        forced_by: Who overrules the gate; empty for nobody (kfp's local runner does not support null).
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.recipe import parse_recipe
    from shortlist.release import publish
    from shortlist.step_result import StepResult, run_step

    def work() -> StepResult:
        return publish.publish_step(
            parse_recipe(recipe),
            Path(features.path),
            Path(prepare.path),
            Path(retrieval.path),
            Path(index.path),
            Path(ranking.path),
            Path(evaluation.path),
            Path(decision.path),
            forced_by or None,
        )

    metrics.metadata.update(run_step("publish", work, record.path).result.metrics)
