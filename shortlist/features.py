"""The feature code of training and serving alike: ids and raw values in, arrays for the towers out.

Shapes: B windows of a history, L history length, T events of all windows end to end, E examples (questions), W values
of a categorical field, F numbers. Rows are catalogue positions: item row `r` is candidate `r - 1` of the index; row 0
is padding and unknown.

Folder of a store, all of it memory-mapped and part of a release:

    schema.json                    FeatureSchema
    vocabularies/<field>.npy       user, item, item.<name>, user.<name>, context.<name>
    items/<name>.npy               int32 [num_item_rows, W] of every categorical
    items/numeric.npy              float32 [num_item_rows, F], standardised, with missing flags
    items/embedding.npy            float32 [num_item_rows, dim], when the recipe gives one
    items/text.npy                 float32 [num_item_rows, dim], when the recipe names text; users/text.npy alike
    users/text/<name>.npy          the TextEncoder of users/text.npy, for questions of users that are not in the store
    items/popularity.npy           int64 [num_item_rows], positives in the train window: what models may read
    items/popular.npy              float32 [num_item_rows], what is popular just before the test: given to those of whom
                                   nothing is known; with a split by time a count of late (see
                                   `prepare.popular`), elsewhere it is `popularity`
    items/available_from.npy, items/available_until.npy   int64 [num_item_rows], of data with times: see `availability`
    items/trained.npy              bool [num_item_rows], whether there is such a positive; users/trained.npy alike
    items/titles.npy, items/title_offsets.npy   UTF-8 bytes uint8, int64 [num_item_rows + 1]
    users/<name>.npy               int32 [num_user_rows, W]; users/numeric.npy float32 [num_user_rows, F]
    history/offsets.npy            int64 [num_user_rows + 1]; row 0 (unknown) is empty
    history/items.npy              int32 [num_history_events], in time order for each user
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from shortlist.availability import Availability
from shortlist.categories import Kind, canonical
from shortlist.names import plain
from shortlist.ragged import ranges
from shortlist.text import TextEncoder, joined
from shortlist.vocabulary import UNKNOWN, Vocabulary

SCHEMA_VERSION = 5
"""2 has text, 3 what is popular, 4 the kind of a category, 5 when items are available; an older store is read as one
without text, in which what was popular still is, words are what they were and every item is always available."""
_KNOWS_POPULAR = 3
_CLOCK_ROWS = {"hour": 24, "weekday": 7}
_ROWS = 1 << 18
"""Looked at at a time."""
_LARGEST = 1e6
"""Standardised numbers are cut here: no real one is so far out, and a wild one must not become infinity in float32."""


class CategoricalField(BaseModel):
    """One vocabulary of one table."""

    model_config = ConfigDict(frozen=True)

    name: str
    num_rows: int
    dim: int
    max_values: int = 1
    kind: Kind | None = None
    """How its values are read; None in stores up to schema 3, whose words are what `str` makes of a value."""


class NumericField(BaseModel):
    """Mean and standard deviation of the train window."""

    model_config = ConfigDict(frozen=True)

    name: str
    mean: float
    std: float


class TextField(BaseModel):
    """Columns that became one vector."""

    model_config = ConfigDict(frozen=True)

    columns: list[str]
    dim: int


class TableSchema(BaseModel):
    """The features of items, users or the context."""

    model_config = ConfigDict(frozen=True)

    categorical: list[CategoricalField] = []
    numeric: list[NumericField] = []
    text: TextField | None = None

    @property
    def numeric_dim(self) -> int:
        """A number and a missing flag each."""
        return 2 * len(self.numeric)

    @property
    def text_dim(self) -> int:
        return 0 if self.text is None else self.text.dim


class FeatureSchema(BaseModel):
    """What the arrays of a store mean; saved beside them and checked when they are opened."""

    model_config = ConfigDict(frozen=True)

    version: int = SCHEMA_VERSION
    num_item_rows: int
    """Items of the catalogue and the unknown row."""
    num_user_rows: int
    history_length: int
    item: TableSchema
    user: TableSchema
    context: TableSchema
    clock: list[Literal["hour", "weekday"]] = []
    embedding_dim: int = 0
    availability: bool = False
    """Whether the store says when items are available; without, all always are."""

    @property
    def query_fields(self) -> dict[str, CategoricalField]:
        """Categorical fields of a query by their qualified name: the user's, the context's, the clock's."""
        fields = {f"user.{field.name}": field for field in self.user.categorical}
        fields |= {f"context.{field.name}": field for field in self.context.categorical}
        for unit in self.clock:
            fields[f"clock.{unit}"] = CategoricalField(name=unit, num_rows=_CLOCK_ROWS[unit] + 1, dim=8)
        return fields

    @property
    def query_numeric_dim(self) -> int:
        """The user's numbers, the context's, the user's text."""
        return self.user.numeric_dim + self.context.numeric_dim + self.user.text_dim


@dataclass(frozen=True)
class Context:
    """What is known about E questions beside the user and the history."""

    categorical: dict[str, NDArray[np.int64]]
    """`context.<name>` and `clock.<unit>` -> [E, W] rows."""
    numeric_EF: NDArray[np.float32]

    def take(self, at: NDArray[np.int64]) -> "Context":
        """The questions at these positions; copies, also of memory-mapped int32 rows."""
        return Context(
            {name: rows[at].astype(np.int64) for name, rows in self.categorical.items()}, self.numeric_EF[at]
        )


@dataclass(frozen=True)
class Queries:
    """E questions over B history windows; in serving, E is B and every question sees its whole window."""

    history_BL: NDArray[np.int64]
    """Item rows in time order, from the left; 0 after the end."""
    window_E: NDArray[np.int64]
    """The window that a question reads."""
    prefix_E: NDArray[np.int64]
    """How many events of the window come before the question, 0 to L."""
    user_E: NDArray[np.int64]
    categorical: dict[str, NDArray[np.int64]]
    """Qualified name -> [E, W] rows."""
    numeric_EF: NDArray[np.float32]

    def take(self, at: NDArray[np.integer[Any]]) -> "Queries":
        """These questions, each with a window of its own."""
        return Queries(
            self.history_BL[self.window_E[at]],
            np.arange(len(at)),
            self.prefix_E[at],
            self.user_E[at],
            {name: rows[at] for name, rows in self.categorical.items()},
            self.numeric_EF[at],
        )


@dataclass(frozen=True)
class PackedQueries:
    """E questions over B windows that lie end to end: how a training asks at many places of one history."""

    history_T: NDArray[np.int64]
    """Item rows, in time order within each window."""
    length_B: NDArray[np.int64]
    """How many of them are of each window."""
    last_E: NDArray[np.int64]
    """The last event that a question sees, of its own window; of a set without order, the one that it does not see.
    -1 where it sees none."""
    user_E: NDArray[np.int64]
    categorical: dict[str, NDArray[np.int64]]
    """Qualified name -> [E, W] rows."""
    numeric_EF: NDArray[np.float32]


class FeatureStore:
    """The arrays of one data set, opened without reading them."""

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
                f"{folder}: features of schema {schema.version}, this shortlist reads 1 to {SCHEMA_VERSION}; "
                "run the recipe again, or serve it with the version that wrote it"
            )
        return cls(folder, schema)

    def _array(self, name: str) -> NDArray[Any]:
        path = self.folder / plain(f"{name}.npy")
        try:
            # A plain view of the mapped memory: np.memmap itself makes every small gather slower.
            array: NDArray[Any] = np.load(path, mmap_mode="r").view(np.ndarray)
        except (EOFError, ValueError) as error:
            raise ValueError(
                f"{path}: this is not an array of a feature store ({error}); run the recipe again"
            ) from None
        return array

    def titles(self, rows: NDArray[np.int64]) -> list[str]:
        """What to show for each item row; empty where there is no title."""
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
        """Encode raw context columns of E questions asked at `time_E` (seconds); a missing column is unknown."""
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
        """The categorical values of a question that no training has seen: `user.<name>`, `context.<name>` -> values.

        Of a list only the first `max_values` count, as they do for the towers; null is missing, not unknown.
        """
        unknown = {}
        for where, given, schema, vocabularies in (
            ("user", user, self.schema.user, self._user_words),
            ("context", context, self.schema.context, self._context),
        ):
            for field in (field for field in schema.categorical if field.name in given):
                words, value = vocabularies[field.name], given[field.name]
                values = (list(value) if isinstance(value, list | tuple) else [value])[: field.max_values]
                there = [one for one in values if _key(one, words, field.kind) is not None]
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
        told: Sequence[Mapping[str, Any]] = (),
    ) -> Queries:
        """One question an array slice: user `user_E[e]` whose history is `items[start_E[e]:end_E[e]]`.

        `items` is the store's own `history_items` in training, and what came with the request in serving, where
        `told[e]` holds raw user columns that count instead of what the store knows.
        """
        history, length = gather_windows(items, start_E, end_E, self.schema.history_length)
        return Queries(history, np.arange(len(user_E)), length, *self._known(user_E, context, told))

    def packed(
        self,
        start_B: NDArray[np.int64],
        end_B: NDArray[np.int64],
        window_E: NDArray[np.int64],
        prefix_E: NDArray[np.int64],
        user_E: NDArray[np.int64],
        context: Context,
    ) -> PackedQueries:
        """E questions over windows `history_items[start:end]`: each sees the first `prefix_E` events of its own."""
        length_B = end_B - start_B
        first_B = np.cumsum(length_B) - length_B
        history_T = self.history_items[ranges(start_B, length_B)].astype(np.int64)
        last_E = np.where(prefix_E > 0, first_B[window_E] + prefix_E - 1, -1)
        return self.asked(history_T, length_B, last_E, user_E, context)

    def asked(
        self,
        history_T: NDArray[np.int64],
        length_B: NDArray[np.int64],
        last_E: NDArray[np.int64],
        user_E: NDArray[np.int64],
        context: Context,
    ) -> PackedQueries:
        """E questions over histories that are gathered already and lie end to end."""
        return PackedQueries(history_T, length_B, last_E, *self._known(user_E, context))

    def _known(
        self, user_E: NDArray[np.int64], context: Context, told: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]], NDArray[np.float32]]:
        """The users' rows, and with the context what is known of them."""
        user_E = user_E.astype(np.int64, copy=False)
        categorical = {name: rows[user_E].astype(np.int64) for name, rows in self._user_categorical.items()}
        numeric = [self._user_numeric[user_E], context.numeric_EF]
        if self._user_text is not None:
            numeric.append(self._user_text[user_E])
        for e, values in enumerate(told):
            self._tell(e, values, categorical, numeric)
        return user_E, categorical | context.categorical, np.concatenate(numeric, axis=1, dtype=np.float32)

    def _tell(
        self, e: int, values: Mapping[str, Any], categorical: dict[str, NDArray[np.int64]], numeric: list[NDArray[Any]]
    ) -> None:
        """Put raw user columns in the place of what the store knows of the user of question e."""
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


def gather_windows(
    items: NDArray[Any], start_B: NDArray[np.int64], end_B: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The last `width` of `items[start:end]` from the left, zeros after: int64 [B, width], and lengths [B]."""
    first = np.maximum(start_B, end_B - width)
    length = end_B - first
    at = first[:, None] + np.arange(width)
    inside = at < end_B[:, None]
    if len(items) == 0:
        return np.zeros(at.shape, np.int64), length
    return np.where(inside, items[np.minimum(at, len(items) - 1)], UNKNOWN).astype(np.int64), length


def encode_categorical(
    values: Sequence[Any] | NDArray[Any], vocabulary: Vocabulary, max_values: int, kind: Kind | None = None
) -> NDArray[np.int64]:
    """Rows [E, max_values] of raw values; a list gives its first values, 0 fills up."""
    lists = [value if isinstance(value, list | tuple | np.ndarray) else [value] for value in values]
    keys = [[_key(value, vocabulary, kind) for value in list(one)[:max_values]] for one in lists]
    flat = [key for one in keys for key in one if key is not None]
    length = np.array([sum(key is not None for key in one) for one in keys], np.int64)
    rows = np.zeros((len(lists), max_values), np.int64)
    rows[np.arange(max_values) < length[:, None]] = vocabulary.rows(flat)
    return rows


def _key(value: Any, vocabulary: Vocabulary, kind: Kind | None) -> Any:
    """What a raw value is called in the vocabulary; in an old store what it was called there."""
    if kind is not None:
        return canonical(value, kind)
    if isinstance(value, bool | float) and not vocabulary.integers:
        return str(value)
    return int(value) if isinstance(value, bool) else value


def encode_numeric(columns: Sequence[Any], schema: TableSchema, count: int) -> NDArray[np.float32]:
    """Standardised numbers and their missing flags, [count, 2 * num_columns]; missing becomes the mean, 0."""
    out = np.zeros((count, schema.numeric_dim), np.float32)
    for i, (values, field) in enumerate(zip(columns, schema.numeric, strict=True)):
        numbers = np.asarray(values, np.float64)
        missing = ~np.isfinite(numbers)
        standard = (np.where(missing, field.mean, numbers) - field.mean) / field.std
        out[:, 2 * i] = np.clip(standard, -_LARGEST, _LARGEST)
        out[:, 2 * i + 1] = missing
    return out


def encode_clock(time_E: NDArray[np.int64], unit: Literal["hour", "weekday"]) -> NDArray[np.int64]:
    """Row [E, 1] of the hour (1 to 24) or the weekday (1 Monday to 7 Sunday) of seconds since the epoch, UTC."""
    if unit == "hour":
        return (time_E // 3600 % 24 + 1)[:, None]
    return ((time_E // 86_400 + 3) % 7 + 1)[:, None]
