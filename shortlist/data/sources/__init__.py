"""From raw data to frames: one module per kind of source, and shared modules."""

from collections.abc import Iterable
from pathlib import Path

from shortlist.data.sources.database import read_database
from shortlist.data.sources.errors import MissingSourceError, SourceError
from shortlist.data.sources.expressions import bind, condition
from shortlist.data.sources.files import read_files
from shortlist.data.sources.parquet import broken_file
from shortlist.data.sources.raw import RawTable, RawTables
from shortlist.data.sources.synthetic import read_synthetic
from shortlist.data.sources.synthetic_playlists import read_synthetic_playlists
from shortlist.data.sources.yambda import read_yambda
from shortlist.recipe import FilesSource, Recipe, SqlSource, SyntheticPlaylistsSource, YambdaSource


def read(recipe: Recipe, scratch: Path) -> RawTables:
    """The raw tables of the recipe's source; copies and decompressed files are stored below `scratch`."""
    match recipe.source:
        case FilesSource():
            return read_files(recipe.source, scratch, recipe.resources.of("ingest").memory_gb)
        case SqlSource():
            return read_database(recipe.source, scratch, recipe.resources.of("ingest").memory_gb)
        case YambdaSource():
            return read_yambda(recipe, recipe.source, scratch)
        case SyntheticPlaylistsSource():
            return read_synthetic_playlists(recipe, recipe.source, scratch)
        case synthetic:
            return read_synthetic(recipe, synthetic, scratch)


def tables_named(tables: Iterable[RawTable]) -> str:
    return ", ".join(table.name for table in tables)


__all__ = [
    "MissingSourceError",
    "RawTable",
    "RawTables",
    "SourceError",
    "bind",
    "broken_file",
    "condition",
    "read",
    "tables_named",
]
