"""From a trained model to the vectors of the whole catalogue and a portable query tower."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def export(
    recipe: str,
    features: Input[Dataset],
    queries: Input[Dataset],
    towers: Input[Model],
    retrieval: Output[Model],
    retrieval_before_refit: Output[Model],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Embed every item, including items without training events, and write the query tower as ONNX.

    Args:
        recipe: The recipe, as YAML text.
        features: Vocabularies, statistics and histories, as the prepare step wrote them.
        queries: Evaluation queries of the windows valid and test, as the prepare step wrote them.
        towers: Checkpoints of both towers, as the train_retrieval step wrote them.
        retrieval: Folder of vectors.npy, item_inputs.npy, query_tower.onnx and retrieval.json.
        retrieval_before_refit: The same of towers that have not learnt from validation; empty without a refit.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.dataset.prepared import Prepared
    from shortlist.recipe import parse_recipe
    from shortlist.retrieval import export
    from shortlist.step_result import StepResult, run_step

    def work() -> StepResult:
        data = Prepared(features=Path(features.path), queries=Path(queries.path))
        folders = Path(towers.path), Path(retrieval.path), Path(retrieval_before_refit.path)
        return export.export_all(parse_recipe(recipe), data, *folders)

    metrics.metadata.update(run_step("export", work, record.path).result.metrics)
