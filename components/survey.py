"""The current version of the sources."""

from kfp import dsl

from shortlist.components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def survey(recipe: str) -> str:
    """Derive a version of the source files from names, sizes and times; never cached, so that later steps can be.

    Args:
        recipe: The recipe, as YAML text.

    Returns:
        The version of the sources, which changes when a source file changes.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from shortlist.data.sources import survey as sources
    from shortlist.recipe import parse_recipe

    return sources.survey(parse_recipe(recipe))
