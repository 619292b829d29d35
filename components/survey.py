"""What the sources hold now."""

from kfp import dsl

from components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def survey(recipe: str) -> str:
    """Look at the source files without reading them; never cached, so that what comes after can be.

    Args:
        recipe: The recipe's YAML.

    Returns:
        A word that is another one when a source file is.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from shortlist.recipe import parse_recipe
    from shortlist.sources import survey as sources

    return sources.survey(parse_recipe(recipe))
