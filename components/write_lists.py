"""From the published release to lists for many users."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def write_lists(
    recipe: str,
    decision: Input[Artifact],
    lists: Output[Dataset],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Write the lists of the recipe's `batch` from the release that was published; without a `batch`, nothing.

    Args:
        recipe: The recipe, as YAML text.
        decision: Folder of decision.json, as the publish step wrote it.
        lists: Folder of lists.parquet; empty if the recipe names another place or has no `batch`.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.batch import step
    from shortlist.recipe import parse_recipe
    from shortlist.step_result import StepResult, run_step

    def work() -> StepResult:
        return step.write_lists_step(parse_recipe(recipe), Path(decision.path), Path(lists.path))

    metrics.metadata.update(run_step("write_lists", work, record.path).result.metrics)
