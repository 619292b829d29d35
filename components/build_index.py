"""From item vectors to a FAISS index with its measured recall."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def build_index(
    recipe: str,
    features: Input[Dataset],
    samples: Input[Dataset],
    queries: Input[Dataset],
    retrieval: Input[Model],
    retrieval_before_refit: Input[Model],
    index: Output[Model],
    index_before_refit: Output[Model],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Build the index and measure it against exact search on real queries.

    Args:
        recipe: The recipe, as YAML text.
        features: Vocabularies, statistics and histories, as the prepare step wrote them.
        samples: Training samples, one entry an event, as the prepare step wrote them.
        queries: Evaluation queries of the windows valid and test, as the prepare step wrote them.
        retrieval: Item vectors and the query tower, as the export step wrote them.
        retrieval_before_refit: The same of towers that have not learnt from validation; empty without a refit.
        index: Folder of index.faiss, index.json and the statistics that candidate sources read.
        index_before_refit: The same of towers and statistics before validation; without a refit, only the statistics.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.dataset.prepared import Prepared
    from shortlist.recipe import parse_recipe
    from shortlist.retrieval import build_index as faiss_index
    from shortlist.step_result import StepResult, run_step

    def work() -> StepResult:
        data = Prepared(features=Path(features.path), samples=Path(samples.path), queries=Path(queries.path))
        towers = Path(retrieval.path), Path(retrieval_before_refit.path)
        indexes = Path(index.path), Path(index_before_refit.path)
        return faiss_index.build_indexes(parse_recipe(recipe), data, *towers, *indexes)

    metrics.metadata.update(run_step("build_index", work, record.path).result.metrics)
