"""From raw data to canonical tables."""

# ruff: noqa: ARG001 - `version` is part of the cache key

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Metrics, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def ingest(
    recipe: str,
    version: str,
    tables: Output[Dataset],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Read the recipe's sources into canonical tables of events, items and users.

    Args:
        recipe: The recipe, as YAML text.
        version: Version of the sources, as the survey step found it; part of the key of the pipeline cache.
        tables: Folder of events.parquet, items.parquet and users.parquet.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.data import ingest
    from shortlist.recipe import parse_recipe
    from shortlist.step_result import run_step

    done = run_step("ingest", lambda: ingest.ingest(parse_recipe(recipe), Path(tables.path)), record.path)
    metrics.metadata.update(done.result.metrics)
