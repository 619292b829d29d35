"""The feature store of training and serving: it converts ids and raw values to arrays for the towers.

Shapes: B windows of a history, L history length, T events of all windows concatenated, E examples (queries), W values
of a categorical field, F numbers. Rows are catalogue positions: item row `r` is candidate `r - 1` of the index; row 0
stands for padding and unknown ids.

Folder of a store; all files are memory-mapped and part of a release:

    schema.json                    FeatureSchema
    vocabularies/<field>.npy       user, item, item.<name>, user.<name>, context.<name>
    items/<name>.npy               int32 [num_item_rows, W] of every categorical
    items/numeric.npy              float32 [num_item_rows, F], standardised, with missing flags
    items/embedding.npy            float32 [num_item_rows, dim], when the recipe gives one
    items/text.npy                 float32 [num_item_rows, dim], when the recipe names text; users/text.npy likewise
    users/text/<name>.npy          the TextEncoder of users/text.npy, for queries of users that are not in the store
    items/popularity.npy           int64 [num_item_rows], positives in the train window: what models may read
    items/popular.npy              float32 [num_item_rows], popularity just before the test window, for queries of
                                   which nothing is known; with a split by time a time-decayed count (see
                                   `prepare.popular`), otherwise equal to `popularity`
    items/available_from.npy, items/available_until.npy   int64 [num_item_rows], for data with times: see `availability`
    items/trained.npy              bool [num_item_rows], whether the item has a positive in the train window;
                                   users/trained.npy likewise
    items/titles.npy, items/title_offsets.npy   UTF-8 bytes uint8, int64 [num_item_rows + 1]
    users/<name>.npy               int32 [num_user_rows, W]; users/numeric.npy float32 [num_user_rows, F]
    history/offsets.npy            int64 [num_user_rows + 1]; row 0 (unknown) is empty
    history/items.npy              int32 [num_history_events], in time order for each user
    history/times.npy              int64 [num_history_events], seconds since the epoch, 8 MB for a million events beside
                                   the 4 MB of their items; only for recipes with a source that reads the times
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.features.availability import Availability
from shortlist.features.encode import encode_categorical, encode_clock, encode_numeric, key_of
from shortlist.features.queries import Context, PackedQueries, Queries, gather_windows
from shortlist.features.schema import SCHEMA_VERSION, FeatureSchema, TableSchema
from shortlist.features.text import TextEncoder, joined
from shortlist.features.vocabulary import UNKNOWN, Vocabulary
from shortlist.names import plain
from shortlist.ragged import ranges

_KNOWS_POPULAR = 3
_ROWS = 1 << 18
"""Rows per block."""


class FeatureStore:
    """The arrays of one data set, memory-mapped."""

    def __init__(self, folder: Path, schema: FeatureSchema) -> None:
        self.folder = folder
        self.schema = schema
        self.items = Vocabulary.open(folder / "vocabularies/item.npy")
        self.users = Vocabulary.open(folder / "vocabularies/user.npy")
        self.item_categorical = {f.name: self._array(f"items/{f.name}") for f in schema.item.categorical}
        self.item_numeric = self._array("items/numeric")
        self.item_embedding = self._array("items/embedding") if schema.embedding_dim else None
        self.item_text = self._array("items/text") if schema.item.text else None
        self.popularity = self._array("items/popularity")
        self.available = Availability.open(folder) if schema.availability else Availability.always(schema.num_item_rows)
        self.popular = self._array("items/popular") if schema.version >= _KNOWS_POPULAR else self.popularity
        self.history_offsets = self._array("history/offsets")
        self.history_items = self._array("history/items")
        timed = (folder / "history/times.npy").exists()
        self.history_times = self._array("history/times") if timed else None
        self._titles = self._array("items/titles")
        self._title_offsets = self._array("items/title_offsets")
        self._user_categorical = {f"user.{f.name}": self._array(f"users/{f.name}") for f in schema.user.categorical}
        self._user_numeric = self._array("users/numeric")
        self._user_text = self._array("users/text") if schema.user.text else None
        self._user_words = {
            f.name: Vocabulary.open(folder / plain(f"vocabularies/user.{f.name}.npy")) for f in schema.user.categorical
        }
        self._text_of_users = TextEncoder.open(folder / "users/text") if schema.user.text else None
        self._context = {
            f.name: Vocabulary.open(folder / plain(f"vocabularies/context.{f.name}.npy"))
            for f in schema.context.categorical
        }

    @classmethod
    def open(cls, folder: str | Path) -> "FeatureStore":
        """Raises ValueError when the store was written by another version of the schema."""
        folder = Path(folder)
        schema = FeatureSchema.model_validate_json((folder / "schema.json").read_text())
        if not 1 <= schema.version <= SCHEMA_VERSION:
            raise ValueError(
                f"{folder}: the features have schema version {schema.version}, but this version of shortlist reads 1 "
                f"to {SCHEMA_VERSION}; run the recipe again, or serve it with the version that wrote it"
            )
        return cls(folder, schema)

    def _array(self, name: str) -> NDArray[Any]:
        path = self.folder / plain(f"{name}.npy")
        try:
            # A plain view of the mapped memory: np.memmap makes every small gather slower.
            array: NDArray[Any] = np.load(path, mmap_mode="r").view(np.ndarray)
        except (EOFError, ValueError) as error:
            raise ValueError(
                f"{path}: the file is not an array of a feature store ({error}); run the recipe again"
            ) from None
        return array

    def of_users(self, name: str) -> tuple[NDArray[np.int32], int]:
        """The rows of a category of the users, int32 [num_user_rows, W], where 0 is padding or an unknown value; and
        the number of rows of its vocabulary."""
        num_rows = next(field.num_rows for field in self.schema.user.categorical if field.name == name)
        return self._user_categorical[f"user.{name}"], num_rows

    def titles(self, rows: NDArray[np.int64]) -> list[str]:
        """The title of each item row; empty where there is none."""
        bounds = zip(self._title_offsets[rows].tolist(), self._title_offsets[rows + 1].tolist(), strict=True)
        return [bytes(self._titles[start:end]).decode() for start, end in bounds]

    def described(self) -> NDArray[np.bool_]:
        """Which item rows have a feature: a known category, a number, an embedding or a text, bool [num_item_rows]."""
        found = np.zeros(self.schema.num_item_rows, np.bool_)
        for first in range(0, len(found), _ROWS):
            rows = slice(first, first + _ROWS)
            found[rows] = (self.item_numeric[rows, 1::2] == 0).any(axis=1)  # the missing flags
            for table in (*self.item_categorical.values(), self.item_embedding, self.item_text):
                if table is not None:
                    found[rows] |= table[rows].any(axis=1)
        return found

    def history_bounds(self, user_E: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start and end of each user's events in `history_items`; empty for the unknown user."""
        return self.history_offsets[user_E], self.history_offsets[user_E + 1]

    def context(self, values: Mapping[str, Sequence[Any]], time_E: NDArray[np.int64]) -> Context:
        """Encode raw context columns of E queries with times `time_E` (seconds); a missing column is unknown."""
        schema, count = self.schema.context, len(time_E)
        nothing: list[Any] = [None] * count
        categorical = {
            f"context.{field.name}": encode_categorical(
                values.get(field.name, nothing), self._context[field.name], field.max_values, field.kind
            )
            for field in schema.categorical
        }
        for unit in self.schema.clock:
            categorical[f"clock.{unit}"] = encode_clock(time_E, unit)
        return Context(
            categorical, encode_numeric([values.get(f.name, nothing) for f in schema.numeric], schema, count)
        )

    def unknown_values(self, user: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The categorical values of a query that are not in the vocabulary: `user.<name>`, `context.<name>` -> values.

        Only the first `max_values` of a list are checked, as the towers read no more; null is missing, not unknown.
        """
        unknown = {}
        for where, given, schema, vocabularies in (
            ("user", user, self.schema.user, self._user_words),
            ("context", context, self.schema.context, self._context),
        ):
            for field in (field for field in schema.categorical if field.name in given):
                words, value = vocabularies[field.name], given[field.name]
                values = (list(value) if isinstance(value, list | tuple) else [value])[: field.max_values]
                there = [one for one in values if key_of(one, words, field.kind) is not None]
                rows = encode_categorical(there, words, 1, field.kind)[:, 0].tolist()
                if odd := [one for one, row in zip(there, rows, strict=True) if row == UNKNOWN]:
                    unknown[f"{where}.{field.name}"] = odd
        return unknown

    def queries(
        self,
        user_E: NDArray[np.int64],
        items: NDArray[Any],
        start_E: NDArray[np.int64],
        end_E: NDArray[np.int64],
        context: Context,
        user_values: Sequence[Mapping[str, Any]] = (),
        times: NDArray[np.int64] | None = None,
    ) -> Queries:
        """One query per array slice: user `user_E[e]` with the history `items[start_E[e]:end_E[e]]`.

        `items` is the store's `history_items` in training, and the histories of the request in serving, where
        `user_values[e]` holds raw user columns that replace the stored values. `times` are those of `items`, for
        queries whose candidates or ranker read them.
        """
        width = self.schema.history_length
        history, length = gather_windows(items, start_E, end_E, width)
        timed = None if times is None else gather_windows(times, start_E, end_E, width)[0]
        return Queries(history, np.arange(len(user_E)), length, *self._known(user_E, context, user_values), timed)

    def packed(
        self,
        start_B: NDArray[np.int64],
        end_B: NDArray[np.int64],
        window_E: NDArray[np.int64],
        prefix_E: NDArray[np.int64],
        user_E: NDArray[np.int64],
        context: Context,
    ) -> PackedQueries:
        """E queries over windows `history_items[start:end]`: each sees the first `prefix_E` events of its window."""
        length_B = end_B - start_B
        first_B = np.cumsum(length_B) - length_B
        history_T = self.history_items[ranges(start_B, length_B)].astype(np.int64)
        last_E = np.where(prefix_E > 0, first_B[window_E] + prefix_E - 1, -1)
        return self.packed_queries(history_T, length_B, last_E, user_E, context)

    def packed_queries(
        self,
        history_T: NDArray[np.int64],
        length_B: NDArray[np.int64],
        last_E: NDArray[np.int64],
        user_E: NDArray[np.int64],
        context: Context,
    ) -> PackedQueries:
        """E queries over histories that are already gathered and concatenated."""
        return PackedQueries(history_T, length_B, last_E, *self._known(user_E, context))

    def _known(
        self, user_E: NDArray[np.int64], context: Context, user_values: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]], NDArray[np.float32]]:
        """The users' rows, and the categorical and numeric features of the users and the context."""
        user_E = user_E.astype(np.int64, copy=False)
        categorical = {name: rows[user_E].astype(np.int64) for name, rows in self._user_categorical.items()}
        numeric = [self._user_numeric[user_E], context.numeric_EF]
        if self._user_text is not None:
            numeric.append(self._user_text[user_E])
        for e, values in enumerate(user_values):
            self._replace_user_values(e, values, categorical, numeric)
        return user_E, categorical | context.categorical, np.concatenate(numeric, axis=1, dtype=np.float32)

    def _replace_user_values(
        self, e: int, values: Mapping[str, Any], categorical: dict[str, NDArray[np.int64]], numeric: list[NDArray[Any]]
    ) -> None:
        """Replace the stored features of the user of query e by raw user columns."""
        schema = self.schema.user
        for field in schema.categorical:
            if field.name in values:
                words = self._user_words[field.name]
                categorical[f"user.{field.name}"][e] = encode_categorical(
                    [values[field.name]], words, field.max_values, field.kind
                )
        for i, one in enumerate(schema.numeric):
            if one.name in values:
                alone = TableSchema(numeric=[one])
                numeric[0][e, 2 * i : 2 * i + 2] = encode_numeric([[values[one.name]]], alone, 1)
        if schema.text is not None and any(name in values for name in schema.text.columns):
            assert self._text_of_users is not None
            numeric[-1][e] = self._text_of_users.encode([joined(values.get(name) for name in schema.text.columns)])
