"""Evaluates the whole path on the test queries, compared with baselines and the live release."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def evaluate(
    recipe: str,
    features: Input[Dataset],
    samples: Input[Dataset],
    queries: Input[Dataset],
    retrieval: Input[Model],
    index: Input[Model],
    ranking: Input[Model],
    evaluation: Output[Dataset],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Recommend for every test query as in serving, and compare with baselines and the live release.

    Args:
        recipe: The recipe, as YAML text.
        features: Vocabularies, statistics and histories, as the prepare step wrote them.
        samples: Training samples, one entry an event, as the prepare step wrote them.
        queries: Evaluation queries of the windows valid and test, as the prepare step wrote them.
        retrieval: Item vectors and the query tower, as the export step wrote them.
        index: The FAISS index, as the build_index step wrote it.
        ranking: The ranker, as the train_ranking step wrote it; an empty folder without one.
        evaluation: Folder of evaluation.json and rows.npz.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    import tempfile
    from pathlib import Path

    from shortlist.dataset.prepared import Prepared
    from shortlist.evaluation import evaluate
    from shortlist.recipe import parse_recipe
    from shortlist.release import publish
    from shortlist.step_result import StepResult, run_step

    def work() -> StepResult:
        typed = parse_recipe(recipe)
        data = Prepared(features=Path(features.path), samples=Path(samples.path), queries=Path(queries.path))
        with tempfile.TemporaryDirectory() as cache:
            live = publish.fetch_live(typed, Path(cache))
            folders = Path(retrieval.path), Path(index.path), Path(ranking.path)
            return evaluate.evaluate(typed, data, *folders, live, Path(evaluation.path))

    metrics.metadata.update(run_step("evaluate", work, record.path).result.metrics)
