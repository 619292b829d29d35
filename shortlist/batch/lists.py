"""Lists for many users at once, without a service: for e-mails, caches and analyses.

The lists are those that the services would return at the same time, from the same release and rules.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.progress import Progress
from shortlist.ranking.ranker import Ranker

_AT_ONCE = 256
"""Users."""


def users_in(file: Path) -> list[str | int]:
    """The users of a file: its column `user_id` (Parquet, CSV), or a user in each line (any other).

    Raises ValueError when the file has no such column, a missing user or no user at all.
    """
    if file.suffix in (".parquet", ".csv"):
        frame = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file, infer_schema=False)
        if "user_id" not in frame.columns:
            raise ValueError(f"{file}: there is no column 'user_id'; its columns are {', '.join(frame.columns)}")
        users = frame["user_id"].to_list()
    else:
        users = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if None in users:
        raise ValueError(f"{file}: row {users.index(None) + 1} has no user_id; remove the row")
    if not users:
        raise ValueError(f"{file}: there are no users in it")
    return list(dict.fromkeys(users))


def write_lists(release: Path, users: Sequence[str | int], query: dict[str, Any], out: Path) -> int:
    """Recommend to each user and write a Parquet file, one row per item; returns the number of rows.

    `query` has what is equal for all users, as a request writes it: `k`, `rules`, `context`, `time`. The file appears
    when it is complete. Raises BadRequestError (a ValueError) for a query that a service would refuse.
    """
    recommender = ReleaseRecommender.open(release)
    ranks = recommender.release.ranks
    ranker = Ranker.open(release / "ranking", release / "retrieval", recommender.release.store) if ranks else None
    part = out.with_name(f"{out.name}.part")
    rows = 0
    try:
        with pq.ParquetWriter(part, _schema(recommender)) as writer:
            for table in _tables(recommender, ranker, users, query, writer.schema):
                writer.write_table(table)
                rows += table.num_rows
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return rows


def _tables(
    recommender: ReleaseRecommender,
    ranker: Ranker | None,
    users: Sequence[str | int],
    query: dict[str, Any],
    schema: pa.Schema,
) -> Iterator[pa.Table]:
    progress = Progress("recommend: users", len(users))
    for start in range(0, len(users), _AT_ONCE):
        some = users[start : start + _AT_ONCE]
        queries = [recommender.release.reader.query({**query, "user_id": user}, "query") for user in some]
        found = recommender.find(queries)
        scores = None if ranker is None or found.request is None else ranker.score(found.request)
        text_ids = pa.types.is_string(schema.field("item_id").type)
        rows = [
            {
                "user_id": str(user),
                "rank": rank,
                "item_id": str(item["item_id"]) if text_ids else int(item["item_id"]),
                "title": item["title"],
                "score": item["score"],
                "source": item["source"],
                "release": prediction["release"],
            }
            for user, prediction in zip(some, recommender.answers(found, scores, None), strict=True)
            for rank, item in enumerate(prediction["items"], 1)
        ]
        yield pa.Table.from_pylist(rows, schema=schema)
        progress.advance(len(some))


def _schema(recommender: ReleaseRecommender) -> pa.Schema:
    item = pa.int64() if recommender.release.store.items.integers else pa.string()
    return pa.schema(
        [
            ("user_id", pa.string()),
            ("rank", pa.int32()),
            ("item_id", item),
            ("title", pa.string()),
            ("score", pa.float32()),
            ("source", pa.string()),
            ("release", pa.string()),
        ]
    )
