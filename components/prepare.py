"""From valid rows to features, histories, samples and evaluation queries."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def prepare(
    recipe: str,
    clean: Input[Dataset],
    features: Output[Dataset],
    samples: Output[Dataset],
    queries: Output[Dataset],
    record: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Split in time, build vocabularies and memory-mapped histories, and prove that nothing leaks.

    Args:
        recipe: The recipe, as YAML text.
        clean: The rows that passed validation, as the validate step wrote them.
        features: Folder of vocabularies, statistics and histories; goes into the release.
        samples: Folder of training samples, one entry per event.
        queries: Folder of valid/ and test/.
        record: Record of the step: time, memory, rows and metrics, as JSON.
        metrics: Metrics of the step, by name.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    import shutil
    from pathlib import Path

    from shortlist.dataset import prepare
    from shortlist.features import FeatureStore
    from shortlist.recipe import parse_recipe
    from shortlist.recommend.rules import check_rules
    from shortlist.step_result import StepResult, run_step

    def work() -> StepResult:
        parsed = parse_recipe(recipe)
        whole = Path(samples.path).with_name("prepared")
        done = prepare.prepare(parsed, Path(clean.path), whole)
        check_rules(parsed, FeatureStore.open(whole / "features"))
        for part, to in (("features", features), ("samples", samples), ("queries", queries)):
            shutil.move(whole / part, to.path)
        whole.rmdir()
        return done

    metrics.metadata.update(run_step("prepare", work, record.path).result.metrics)
