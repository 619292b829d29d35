"""The gate, and a release that replaces the live one at once or not at all."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.image import PIPELINE_IMAGE


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
    """Assemble the release, ask the gate, and publish it where the recipe says.

    Args:
        recipe: The recipe's YAML.
        features: What prepare wrote.
        prepare: The record of prepare.
        retrieval: What export wrote.
        index: What build_index wrote.
        ranking: What train_ranking wrote.
        evaluation: What evaluate wrote.
        decision: Folder of decision.json: published or refused, and why.
        record: Time, memory, rows and metrics of the step, as JSON.
        metrics: The step's metrics.
        forced_by: Who publishes even what the gate refuses; empty for nobody (kfp's local runner knows no null).
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist import facts
    from shortlist.recipe import parse_recipe
    from shortlist.release import publish

    def work() -> facts.StepFacts:
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

    metrics.metadata.update(facts.record("publish", work, record.path).facts.metrics)
