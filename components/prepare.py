"""Sound rows -> features, histories, samples and evaluation questions."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def prepare(
    recipe: str,
    clean: Input[Dataset],
    prepared: Output[Dataset],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Split in time, build vocabularies and memory-mapped histories, and prove that nothing leaks.

    Args:
        recipe: The recipe's YAML.
        clean: What validate let through.
        prepared: Folder of features/ (goes into the release) and samples/.
        record: Time, memory, rows and metrics of the step, as JSON.
        metrics: The step's metrics.
    """
    from pathlib import Path

    from shortlist import facts
    from shortlist.prepare import prepare
    from shortlist.recipe import parse_recipe

    def work() -> facts.StepFacts:
        return prepare.prepare(parse_recipe(recipe), Path(clean.path), Path(prepared.path))

    metrics.metadata.update(facts.record("prepare", work, record.path).facts.metrics)
