"""Reading rows from PostgreSQL against reading the same rows from Parquet.

    python -m benchmarks.sql_source [--rows 1000000] [--parts 2]

Prints the time between the batches of a query, and the seconds, rows/s and peak memory of `ingest` from each source,
each in a process of its own. Needs Debian's package `postgresql`, whose server it starts in a temporary folder.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.ingest import measured
from shortlist.data.ingest import ingest
from shortlist.data.sources import read
from shortlist.data.sources.database.drivers import connection, reader
from shortlist.data.sources.database.url import address_of
from shortlist.recipe import Recipe, parse_recipe

RECIPE = "name: benchmark\nsource: {{kind: {source}}}\nsplit: {{kind: leave_one_out}}\n"
QUERY = "SELECT id, user_id, item_id, time, price, note FROM events"


def recipe_of(source: str) -> Recipe:
    return parse_recipe(RECIPE.format(source=source))


def batch_times(url: str) -> np.ndarray:
    """Milliseconds from each batch to the next."""
    address = address_of(url)
    moments = []
    with connection(address) as opened, reader(opened, address, QUERY) as batches:
        for _ in batches:
            moments.append(time.perf_counter())
    return np.diff(moments) * 1000


def run(recipe: Recipe, out: Path) -> None:
    ingest(recipe, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=2)
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from postgres_server import PASSWORD, postgres  # noqa: PLC0415 - a helper of the tests

    os.environ["DB_PASSWORD"] = PASSWORD
    with postgres() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server.sql(
            "CREATE TABLE events AS SELECT id, id * 7919 % 100003 AS user_id, id * 104729 % 20011 AS item_id, "
            "1700000000 + id AS time, (id % 999 / 100.0)::numeric(8, 2) AS price, 'note ' || md5(id::text) AS note "
            f"FROM generate_series(1::bigint, {given.rows}) id",
            "GRANT SELECT ON events TO reader",
            "ANALYZE events",
        )
        waits = batch_times(server.url)
        p50, p99 = np.percentile(waits, [50, 99])
        print(f"{len(waits) + 1} batches; between two: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {waits.max():.1f} ms")
        sql = f"sql, url: '{server.url}', events: {{query: '{QUERY}'"
        parts = f", partition: {{column: id, parts: {given.parts}}}"
        frame = read(recipe_of(sql + "}"), folder / "raw").events[0].frame
        frame.sink_parquet(folder / "events.parquet")
        sources = {
            "parquet": f"files, events: [{{path: {folder}/events.parquet}}]",
            "postgresql": sql + "}",
            f"postgresql, {given.parts} parts": f"{sql}{parts}}}",
        }
        for label, source in sources.items():
            seconds, peak = measured(run, recipe_of(source), folder / "out")
            print(f"{label:<22} {seconds:6.2f} s {given.rows / seconds:>12,.0f} rows/s {peak:6.2f} GB peak")


if __name__ == "__main__":
    main()
