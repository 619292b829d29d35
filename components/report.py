"""From the records of all steps to run.json and the HTML report."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from shortlist.components.image import PIPELINE_IMAGE


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
    write_lists: Input[Artifact],
    page: Output[HTML],
    run: Output[Artifact],
    run_id: str = "",
) -> None:
    """Write the report of the run from the records of its steps, and log the run to MLflow if the recipe says so.

    Args:
        recipe: The recipe, as YAML text.
        ingest: Record of the ingest step: time, memory, rows and metrics, as JSON.
        validate: Record of the validate step: time, memory, rows and metrics, as JSON.
        prepare: Record of the prepare step: time, memory, rows and metrics, as JSON.
        train_retrieval: Record of the train_retrieval step: time, memory, rows and metrics, as JSON.
        export: Record of the export step: time, memory, rows and metrics, as JSON.
        build_index: Record of the build_index step: time, memory, rows and metrics, as JSON.
        train_ranking: Record of the train_ranking step: time, memory, rows and metrics, as JSON.
        evaluate: Record of the evaluate step: time, memory, rows and metrics, as JSON.
        publish: Record of the publish step: time, memory, rows and metrics, as JSON.
        write_lists: Record of the write_lists step: time, memory, rows and metrics, as JSON.
        page: The report of the run, as one self-contained HTML page.
        run: The machine-readable record of the run, run.json.
        run_id: The name of the run; empty for the time at which the report is written.
    """
    from shortlist.cpus import limit_threads

    limit_threads()  # before the libraries below are imported
    from pathlib import Path

    from shortlist import report
    from shortlist.progress import say
    from shortlist.recipe import parse_recipe
    from shortlist.step_result import read_record
    from shortlist.tracking.log import track_finished

    steps = [ingest, validate, prepare, train_retrieval, export, build_index, train_ranking, evaluate, publish]
    records = [read_record(step.path) for step in (*steps, write_lists)]
    typed, files = parse_recipe(recipe), {"report.html": Path(page.path), "run.json": Path(run.path)}
    written = report.write_report(typed, records, page=files["report.html"], run=files["run.json"], run_id=run_id)
    say(f"report: {page.uri}")
    say(f"record: {run.uri}")
    track_finished(typed, records, written, files)
