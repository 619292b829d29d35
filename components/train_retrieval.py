"""From samples to a trained two-tower model."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def train_retrieval(
    recipe: str,
    features: Input[Dataset],
    samples: Input[Dataset],
    queries: Input[Dataset],
    towers: Output[Model],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Train the query tower and the candidate tower, and keep the best and the last checkpoint.

    Args:
        recipe: The recipe, as YAML text.
        features: Vocabularies, statistics and histories, as the prepare step wrote them.
        samples: Training samples, one entry an event, as the prepare step wrote them.
        queries: Evaluation queries of the windows valid and test, as the prepare step wrote them.
        towers: Folder of checkpoints of both towers, the best and the last.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.dataset.prepared import Prepared
    from shortlist.recipe import parse_recipe
    from shortlist.retrieval import train_job
    from shortlist.step_result import StepResult, run_step

    def connect() -> train_job.Cluster:
        from shortlist.components.train_jobs import TrainJobs

        return TrainJobs()

    def work() -> StepResult:
        data = Prepared(features=Path(features.path), samples=Path(samples.path), queries=Path(queries.path))
        return train_job.train(parse_recipe(recipe), data, Path(towers.path), connect)

    metrics.metadata.update(run_step("train_retrieval", work, record.path).result.metrics)
