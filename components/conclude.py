"""The exit handler: reports how the run ended."""

from kfp import dsl
from kfp.dsl import Markdown, Output, PipelineTaskFinalStatus

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def conclude(
    recipe: str,
    status: PipelineTaskFinalStatus,
    outcome: Output[Markdown],
) -> None:
    """Report how the steps ended and which release is live now.

    Args:
        recipe: The recipe, as YAML text.
        status: Final status of the steps; Kubeflow Pipelines fills it in.
        outcome: How the steps ended and which release is live, as a Markdown page.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist.recipe import parse_recipe
    from shortlist.release import outcome as conclusion

    text = conclusion.conclude(parse_recipe(recipe), status.state, status.error_message)
    Path(outcome.path).write_text(text)
