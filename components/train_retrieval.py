"""Samples -> a trained two-tower model."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def train_retrieval(
    recipe: str,
    features: Input[Dataset],
    samples: Input[Dataset],
    questions: Input[Dataset],
    towers: Output[Model],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Train the query tower and the candidate tower; the best and the last checkpoint are kept.

    Args:
        recipe: The recipe's YAML.
        features: What prepare wrote.
        samples: Likewise.
        questions: Likewise.
        towers: Folder of checkpoints.
        record: Time, memory, rows and metrics of the step, as JSON.
        metrics: The step's metrics.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist import facts, train_job
    from shortlist.prepare.prepared import Prepared
    from shortlist.recipe import parse_recipe

    def connect() -> train_job.Cluster:
        from components.train_jobs import TrainJobs

        return TrainJobs()

    def work() -> facts.StepFacts:
        data = Prepared(features=Path(features.path), samples=Path(samples.path), questions=Path(questions.path))
        return train_job.train(parse_recipe(recipe), data, Path(towers.path), connect)

    metrics.metadata.update(facts.record("train_retrieval", work, record.path).facts.metrics)
