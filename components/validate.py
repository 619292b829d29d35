"""From canonical tables to valid rows, quarantined rows and data docs."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def validate(
    recipe: str,
    tables: Input[Dataset],
    clean: Output[Dataset],
    quarantine: Output[Dataset],
    data_docs: Output[HTML],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Validate the tables against the recipe's contract.

    Args:
        recipe: The recipe, as YAML text.
        tables: Tables of events, items and users, as the ingest step wrote them.
        clean: Folder of the tables with the valid rows only.
        quarantine: The rows that broke a rule, each with its reasons.
        data_docs: The expectations and their results, as one HTML page.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.data import validate
    from shortlist.recipe import parse_recipe
    from shortlist.step_result import StepResult, run_step

    data_docs.path += ".html"  # so that a browser renders it

    def work() -> StepResult:
        folders = Path(tables.path), Path(clean.path), Path(quarantine.path), Path(data_docs.path)
        return validate.validate(parse_recipe(recipe), *folders)

    metrics.metadata.update(run_step("validate", work, record.path).result.metrics)
