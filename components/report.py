"""What every step told of itself -> run.json and one page to look at."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from components.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def report(
    recipe: str,
    ingest: Input[Artifact],
    validate: Input[Artifact],
    prepare: Input[Artifact],
    train_retrieval: Input[Artifact],
    export: Input[Artifact],
    build_index: Input[Artifact],
    train_ranking: Input[Artifact],
    evaluate: Input[Artifact],
    publish: Input[Artifact],
    page: Output[HTML],
    run: Output[Artifact],
) -> None:
    """Write the report of the run from the records of its steps.

    Args:
        recipe: The recipe's YAML.
        ingest: The record of a step, as the next ones.
        validate: Likewise.
        prepare: Likewise.
        train_retrieval: Likewise.
        export: Likewise.
        build_index: Likewise.
        train_ranking: Likewise.
        evaluate: Likewise.
        publish: Likewise.
        page: The report, one self-contained page.
        run: run.json.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist import facts, report
    from shortlist.progress import say
    from shortlist.recipe import parse_recipe

    steps = [ingest, validate, prepare, train_retrieval, export, build_index, train_ranking, evaluate, publish]
    records = [facts.read_record(step.path) for step in steps]
    report.write_report(parse_recipe(recipe), records, page=Path(page.path), run=Path(run.path))
    say(f"report: {page.uri}")
    say(f"record: {run.uri}")
