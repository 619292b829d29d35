"""Lists for many users at once, without a service: for e-mails, caches and analyses.

The lists are those that the services would return at the same time, from the same release, rules and availability.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from shortlist.answer.availability_file import AvailabilityFile
from shortlist.answer.query import Id
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.batch.users import Users, once
from shortlist.features.vocabulary import Vocabulary
from shortlist.progress import Progress
from shortlist.ranking.ranker import Ranker
from shortlist.recipe import AvailabilityFile as AvailabilitySettings

AT_ONCE = 256
"""Users that are recommended to together."""
_WRITTEN = 50
"""Blocks of them in a row group of the file: about a megabyte."""


class Written(NamedTuple):
    """What a file of lists holds."""

    users: int
    rows: int


def write_lists(
    release: Path,
    users: Callable[[Vocabulary], Users],
    query: dict[str, Any],
    out: Path,
    availability: AvailabilitySettings | None = None,
) -> Written:
    """Recommend to each user and write a Parquet file, one row per item.

    `users` is given the users that the release knows; repeated ones are left out. `query` has what is equal for all
    users, as a request writes it: `k`, `rules`, `sources`, `objective`, `context`, and `time`, which is now if it is
    left out. `availability` replaces the file of the release's recipe; without either, the availability of the release
    holds. The memory does not grow with the number of users, and the file appears when it is complete.

    Raises BadRequestError (a ValueError) for a query that a service would refuse, AvailabilityError (a ValueError) and
    StorageError (an OSError) for an availability file that cannot be read: lists are not written from an old stock.
    """
    recommender = ReleaseRecommender.open(release)
    opened = recommender.release
    availability = availability or opened.recipe.serving.availability
    if availability is not None:
        current = AvailabilityFile(availability, opened.store).read_if_changed()
        assert current is not None  # it was never read before
        recommender.use(current.available)
    ranker = Ranker.open(release / "ranking", release / "retrieval", opened.store) if opened.ranks else None
    most, blocks = users(opened.store.users)
    query = {"time": int(time.time()), **query}
    part, done, progress = out.with_name(f"{out.name}.part"), Written(0, 0), Progress("recommend: users", most)
    try:
        with pq.ParquetWriter(part, _schema(recommender)) as writer:
            waiting: list[pa.Table] = []
            for some in once(blocks, opened.store.users):
                table = _table(recommender, ranker, some, query, writer.schema)
                waiting.append(table)
                if len(waiting) == _WRITTEN:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
                done = Written(done.users + len(some), done.rows + table.num_rows)
                progress.advance(len(some))
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return done


def _table(
    recommender: ReleaseRecommender,
    ranker: Ranker | None,
    users: Sequence[Id],
    query: dict[str, Any],
    schema: pa.Schema,
) -> pa.Table:
    queries = [recommender.release.reader.query({**query, "user_id": user}, "query") for user in users]
    if not queries:
        return schema.empty_table()
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
        for user, prediction in zip(users, recommender.answers(found, scores, None), strict=True)
        for rank, item in enumerate(prediction["items"], 1)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


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
