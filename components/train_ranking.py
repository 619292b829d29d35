"""From retrieved candidates to a trained ranker."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def train_ranking(
    recipe: str,
    features: Input[Dataset],
    samples: Input[Dataset],
    queries: Input[Dataset],
    retrieval: Input[Model],
    index: Input[Model],
    retrieval_before_refit: Input[Model],
    index_before_refit: Input[Model],
    ranking: Output[Model],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Train the DCN-v2 ranker on retrieved candidates; the folder is empty if the recipe disables ranking.

    Args:
        recipe: The recipe, as YAML text.
        features: Vocabularies, statistics and histories, as the prepare step wrote them.
        samples: Training samples, one entry an event, as the prepare step wrote them.
        queries: Evaluation queries of the windows valid and test, as the prepare step wrote them.
        retrieval: Item vectors and the query tower, as the export step wrote them.
        index: The FAISS index, as the build_index step wrote it.
        retrieval_before_refit: What it learns from after a refit, whose towers have seen its answers; else empty.
        index_before_refit: The index of those towers after a refit, and the statistics that candidate sources read.
        ranking: Folder of ranker.safetensors and ranking.json.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.dataset.prepared import Prepared
    from shortlist.ranking.training import train_ranking
    from shortlist.recipe import parse_recipe
    from shortlist.retrieval.refit import for_ranker
    from shortlist.step_result import StepResult, run_step

    def work() -> StepResult:
        data = Prepared(features=Path(features.path), samples=Path(samples.path), queries=Path(queries.path))
        typed = parse_recipe(recipe)
        towers = for_ranker(typed, served=Path(retrieval.path), before_refit=Path(retrieval_before_refit.path))
        before_refit = Path(index_before_refit.path)
        indexed = for_ranker(typed, served=Path(index.path), before_refit=before_refit)
        return train_ranking.train_ranking(typed, data, towers, indexed, Path(ranking.path), before_refit)

    metrics.metadata.update(run_step("train_ranking", work, record.path).result.metrics)
