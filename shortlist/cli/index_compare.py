"""`shortlist index-compare`: kinds of indexes on the vectors of a run, and the cheapest that meets a target."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shortlist.cli.places import Work, find_places
from shortlist.cli.tables import print_table

if TYPE_CHECKING:
    from shortlist.retrieval.index_compare import Measured, Target


def index_compare(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a recipe, whose last run is taken.", metavar="RUN")],
    min_recall: Annotated[float, typer.Option(help="Lowest recall@100 against exact search.", min=0, max=1)] = 0.95,
    max_ms: Annotated[float | None, typer.Option(help="Most milliseconds of a query on one thread.")] = None,
    max_mb: Annotated[float | None, typer.Option(help="Most MiB of the index file.")] = None,
    sample: Annotated[
        int | None, typer.Option(help="Vectors that train the quantizers. [default: of the recipe]", min=256)
    ] = None,
    work: Work = None,
) -> None:
    """Compare kinds of indexes on the vectors and validation queries of a run; takes minutes.

    Prints recall, speed, size and build time of each, and the recipe's line for the smallest one that meets the target.
    Writes index-compare.json and index-compare.html into the folder of the run.
    """
    from shortlist.cli.index_page import page
    from shortlist.dataset.prepared import Prepared
    from shortlist.recipe import load_recipe
    from shortlist.retrieval.build_index import draw_query_vectors, open_vectors
    from shortlist.retrieval.index_compare import Target, cheapest, compare, list_kinds
    from shortlist.retrieval.onnx_query_tower import OnnxQueryTower

    folder = _run_folder(run, work)
    recipe = load_recipe(folder / "recipe.yaml")
    prepared = Prepared(features=_output(folder, "prepare/features"), queries=_output(folder, "prepare/queries"))
    retrieval = _output(folder, "export/retrieval")
    tower = OnnxQueryTower.open(retrieval, prepared.store)
    vectors_ND = open_vectors(retrieval, prepared.store.schema.num_item_rows - 1, tower.dim)
    query_QD, origin = draw_query_vectors(prepared, tower, vectors_ND, recipe.seed)
    count, dim = vectors_ND.shape
    typer.echo(f"{count} items of width {dim}, {len(query_QD)} queries ({origin}), speed on one thread")
    kinds = list_kinds(count, dim)
    found = compare(vectors_ND, query_QD, kinds, seed=recipe.seed, sample=sample or recipe.index.sample)
    target = Target(min_recall, max_ms, max_mb)
    chosen = cheapest(found, target)
    _show(found, chosen)
    content = {
        "num_items": count,
        "dim": dim,
        "num_queries": len(query_QD),
        "queries_from": origin,
        "target": dataclasses.asdict(target),
        "chosen": None if chosen is None else dataclasses.asdict(chosen),
        "measured": [dataclasses.asdict(one) for one in found],
    }
    (folder / "index-compare.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    title = f"{recipe.name}: indexes over {count:,} items of width {dim}"
    (folder / "index-compare.html").write_text(page(title, found, target, chosen), encoding="utf-8")
    typer.echo(f"table     {folder / 'index-compare.json'}\npage      {folder / 'index-compare.html'}")
    _conclude(found, target, chosen)


def _run_folder(run: Path, work: Path | None) -> Path:
    from shortlist.cli.run_folders import find_run

    if run.is_dir():
        if not (run / "recipe.yaml").exists():
            raise ValueError(f"{run}: this is no run, since it has no recipe.yaml; give a run's folder or a recipe")
        return run
    return find_run(find_places(run, work).runs, "last").path


def _output(folder: Path, name: str) -> Path:
    """The folder of an output of a step, such as `export/retrieval`."""
    found = next(folder.glob(f"shortlist-*/{name}"), None)
    if found is None:
        raise ValueError(
            f"{folder}: the run has no {name}; the step {name.partition('/')[0]} has not finished, so run the recipe "
            "again"
        )
    return found


def _show(found: "list[Measured]", chosen: "Measured | None") -> None:
    from rich.table import Table

    table = Table(pad_edge=False)
    table.add_column("index")
    table.add_column("setting")
    for name in ("recall@10", "recall@100", "queries/s", "in a batch", "ms", "MB", "build s"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            one.factory,
            one.setting,
            f"{one.recall_at_10:.3f}",
            f"{one.recall_at_100:.3f}",
            f"{one.queries_per_second:,.0f}",
            f"{one.batch_queries_per_second:,.0f}",
            f"{one.ms:.2f}",
            f"{one.mb:.1f}",
            f"{one.build_seconds:.1f}",
            style="bold" if one is chosen else "",
        )
    print_table(table)
    for one in found:
        if one.family == "PQ16np":
            at_10, at_100 = one.recall_at_10, one.recall_at_100
            typer.echo(f"PQ16 alone finds {at_10:.0%} of the best 10 and {at_100:.0%} of the best 100.")


def _conclude(found: "list[Measured]", target: "Target", chosen: "Measured | None") -> None:
    """Print the recipe's line, or raise ValueError with the nearest misses."""
    from shortlist.retrieval.index_compare import describe_nearest, recipe_line

    if chosen is None:
        near = describe_nearest(found, target)
        raise ValueError(f"no index meets the target; relax --min-recall, --max-ms or --max-mb. The nearest:{near}")
    typer.echo(f"the smallest that meets the target, for the recipe:\n{recipe_line(chosen, target.min_recall)}")
