"""Yandex Music events in the flat layout in which they are published (Ploshkin et al. 2025, arXiv:2505.22238).

    flat/<size>/listens.parquet         uid u32, timestamp u32, item_id u32, is_organic u8, played_ratio_pct u16,
                                        track_length_seconds u32; sorted by (uid, timestamp)
    flat/<size>/likes.parquet           uid, timestamp, item_id, is_organic; dislikes.parquet likewise
    artist_item_mapping.parquet         artist_id, item_id; several artists per item
    album_item_mapping.parquet          album_id, item_id
    embeddings.parquet                  item_id, embed, normalized_embed: audio embeddings of width 128
    titles.parquet                      item_id, title; not published, read if it exists

`timestamp` is in seconds, in steps of 5, from an origin that is not published. `played_ratio_pct` exceeds 100 when a
listener rewound. The catalogue consists of the items that occur in the listens of the chosen size and in one of the
mappings.

Events can have these columns in addition to the published ones; they are joined only if the recipe names them:

    liked, disliked                 whether the listener likes or dislikes the item at this listen or within 30 minutes
    liked_before, disliked_before   whether the listener has ever liked or disliked the item before this listen

The first two look ahead: they are labels, for `interactions.positive`, `.labels` and `.weight`. A recipe that uses
them as a model's input, as context or through the history, is refused. 30 minutes is also the gap between train and
test in the published benchmark; with `split.gap: 30m`, no label looks across a split boundary.
"""

from pathlib import Path

import polars as pl

from shortlist.data.sources.errors import MissingSourceError, SourceError
from shortlist.data.sources.locate import Found, find
from shortlist.data.sources.parquet import scan_parquet
from shortlist.data.sources.raw import RawTable, RawTables
from shortlist.data.sources.sql import names_in
from shortlist.data.tables import wanted_columns
from shortlist.recipe import Recipe, YambdaSource

LABEL_SECONDS = 1_800
_LISTENER = ["uid", "item_id"]


def read_yambda(recipe: Recipe, source: YambdaSource, scratch: Path) -> RawTables:
    """Read the listens as events, and their items; mappings and feedback are optional. Raises SourceError."""
    folder = Folder(source, scratch, recipe.resources.of("ingest").memory_gb)
    listens = folder.table(f"flat/{source.size}/listens")
    if listens is None:
        raise MissingSourceError(f"{source.path}: there is no flat/{source.size}/listens.parquet")
    used = _used_columns(recipe)
    events = listens
    for action in ("like", "dislike"):
        if not used & {f"{action}d", f"{action}d_before"}:
            continue
        feedback = folder.table(f"flat/{source.size}/{action}s") if source.feedback else None
        if feedback is None:
            why = f"there is no flat/{source.size}/{action}s.parquet" if source.feedback else "source.feedback is false"
            raise SourceError(f"{source.path}: the recipe names {action}d or {action}d_before, but {why}")
        if f"{action}d" in used:
            events = with_label(events, feedback, f"{action}d")
        if f"{action}d_before" in used:
            events = with_past(events, feedback, f"{action}d_before")
    items = _items(recipe, source, folder, listens)
    return RawTables(
        events=[
            RawTable(
                events,
                f"{source.path}/flat/{source.size}/listens.parquet",
                "source",
                {"user_id": "uid", "time": "timestamp"},
            )
        ],
        items=None if items is None else RawTable(items, f"{source.path} (items)", "source", {}),
        files=folder.files,
    )


class Folder:
    """The published files, and a record of those that were read."""

    def __init__(self, source: YambdaSource, scratch: Path, memory_gb: float) -> None:
        self.files: list[Found] = []
        self._path, self._scratch, self._memory_gb = source.path.rstrip("/"), scratch, memory_gb

    def table(self, name: str) -> pl.LazyFrame | None:
        """A file by its path without the suffix; None if it does not exist."""
        try:
            found = find(f"{self._path}/{name}.parquet", self._scratch)
        except MissingSourceError:
            return None
        self.files += found
        return scan_parquet(found[0], self._scratch / name, self._memory_gb)


def with_label(listens: pl.LazyFrame, feedback: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Add whether one of the listener's actions on the item is 0 to `LABEL_SECONDS` seconds after the listen.

    Time is divided into windows of that length, so the action is in the window of the listen or in the next one: two
    hash joins with unique keys, which stream the listens in their order.
    """
    time, window = pl.col("timestamp").cast(pl.Int64), pl.col("timestamp").cast(pl.Int64) // LABEL_SECONDS
    keys = [*_LISTENER, "window"]
    windows = feedback.with_columns(window=window).group_by(keys).agg(last=time.max(), first=time.min())
    here, next_one = windows.select(*keys, "last"), windows.select(*keys, "first").with_columns(pl.col("window") - 1)
    joined = listens.with_columns(window=window)
    joined = joined.join(here, on=keys, how="left", maintain_order="left")
    joined = joined.join(next_one, on=keys, how="left", maintain_order="left")
    soon = (pl.col("last") >= time) | (pl.col("first") <= time + LABEL_SECONDS)
    return joined.with_columns(soon.fill_null(value=False).alias(name)).drop("window", "last", "first")


def with_past(listens: pl.LazyFrame, feedback: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Add whether one of the listener's actions on the item is before the listen; its withdrawal is ignored."""
    first = feedback.group_by(_LISTENER).agg(first=pl.col("timestamp").min())
    joined = listens.join(first, on=_LISTENER, how="left", maintain_order="left")
    past = (pl.col("first") < pl.col("timestamp")).fill_null(value=False)
    return joined.with_columns(past.alias(name)).drop("first")


def _items(recipe: Recipe, source: YambdaSource, folder: Folder, listens: pl.LazyFrame) -> pl.LazyFrame | None:
    """One row per item, sorted by id, with the columns that the recipe names; None without any mapping.

    The ids and mappings of the items in the listens are kept in memory (about 20 bytes per item); embeddings are
    streamed.
    """
    mappings = {f"{key}_id": folder.table(f"{key}_item_mapping") for key in ("artist", "album")}
    there = {column: table for column, table in mappings.items() if table is not None}
    if not there:
        return None
    wanted = {column.name for column in wanted_columns(recipe, "items")}
    listened = listens.select("item_id").drop_nulls().unique().collect(engine="streaming").lazy()
    known = pl.concat([table.select("item_id") for table in there.values()])
    items = listened.join(known, on="item_id", how="semi").sort("item_id")
    parts = []
    for column in sorted(wanted & there.keys()):
        pairs = there[column].join(listened, on="item_id", how="semi").sort("item_id", column)
        lists = pairs.group_by("item_id", maintain_order=True).agg(column)
        parts.append(lists.collect(engine="in-memory").lazy())  # a third of the streaming engine's time
    if "track_length_seconds" in wanted:
        parts.append(listens.group_by("item_id").agg(pl.col("track_length_seconds").max()))
    if "title" in wanted and (titles := folder.table("titles")) is not None:
        parts.append(titles.select("item_id", "title"))
    if vectors := wanted & {"embed", "normalized_embed"}:
        embeddings = folder.table("embeddings") if source.embeddings else None
        if embeddings is None:
            why = "there is no embeddings.parquet" if source.embeddings else "source.embeddings is false"
            raise SourceError(f"features.item.embedding: {source.path}: {why}")
        parts.append(embeddings.select("item_id", *sorted(vectors)))
    for part in parts:
        items = items.join(part, on="item_id", how="left", maintain_order="left")
    return items


def _used_columns(recipe: Recipe) -> set[str]:
    """The event columns that the recipe names. Raises SourceError when a label would become a model's input."""
    meaning = recipe.interactions
    named = {
        where: names_in(sql)
        for where, sql in {
            "interactions.positive": meaning.positive,
            "interactions.weight": meaning.weight,
            "interactions.history": meaning.history or meaning.positive,
            **{f"interactions.labels.{name}": sql for name, sql in meaning.labels.items()},
        }.items()
    }
    features = {w.name: w.where for w in wanted_columns(recipe, "events") if w.where.startswith("features.")}
    for label in ("liked", "disliked"):
        if label in features:
            raise SourceError(
                f"{features[label]}: {label!r} looks 30 minutes ahead and cannot be a feature; use '{label}_before'"
            )
        if label in named["interactions.history"]:
            raise SourceError(
                f"interactions.history: {label!r} looks 30 minutes ahead, so the history would contain the future; "
                "set interactions.history to an expression without it, like 'played_ratio_pct >= 50'"
            )
    return set().union(*named.values(), (column.name for column in wanted_columns(recipe, "events")))
