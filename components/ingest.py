"""Raw data -> canonical tables."""

# ruff: noqa: ARG001 - `version` is for the cache

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Metrics, Output

from components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def ingest(
    recipe: str,
    version: str,
    tables: Output[Dataset],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Read the recipe's sources into events, items and users of one form.

    Args:
        recipe: The recipe's YAML.
        version: Of the sources, as survey found them; another one is another input to Kubeflow's cache.
        tables: Folder of events.parquet, items.parquet and users.parquet.
        record: Time, memory, rows and metrics of the step, as JSON.
        metrics: The step's metrics.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist import facts, ingest
    from shortlist.recipe import parse_recipe

    done = facts.record("ingest", lambda: ingest.ingest(parse_recipe(recipe), Path(tables.path)), record.path)
    metrics.metadata.update(done.facts.metrics)
