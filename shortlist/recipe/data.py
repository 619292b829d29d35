"""The data blocks of a recipe: source, interactions, contract and split."""

from typing import Annotated, Literal

from pydantic import Field

from shortlist.recipe.fields import (
    POSITIVE,
    Duration,
    Expression,
    LabelName,
    Moment,
    Section,
    Separator,
    Share,
    Until,
    Word,
)
from shortlist.recipe.sql_source import SqlSource

ColumnType = Literal["text", "integer", "number", "boolean"]


class DataFile(Section):
    """A file, and the mapping from its columns to ours."""

    path: str
    """File, folder or glob; `${NAME}` and `${NAME:-default}` are replaced from the environment."""
    format: Literal["auto", "parquet", "csv", "jsonl"] = "auto"
    """`auto` uses the file's extension, before `.gz`, `.zst` or `.zip`."""
    separator: Separator = ","
    """Separator of the fields of a CSV; may be longer than one character, like `::`."""
    header: bool | None = None
    """Whether the first line of a CSV names its columns; if not, they are `column_1`, `column_2`, ... By default it
    does, and a first line that looks like data is refused; `true` accepts it as names."""
    quote: str | None = '"'
    """The quote character of a CSV; null if quotes are ordinary characters."""
    encoding: str = "utf-8"
    """A Python codec name, like `latin-1`."""
    types: dict[str, ColumnType] = Field(default_factory=dict)
    """Column of the file -> its type, before `columns` is applied; a value of another type stops the run. By default, a
    column of a CSV is numeric if every text can be restored from its number, and text otherwise."""
    nulls: list[Word] | dict[str, list[Word]] | None = None
    """Words that mean a missing value, like `["NULL", "\\N"]`: in all text columns, or by column. An empty list says
    that an id of a user or an item can be `null`; by default such ids are quarantined."""
    where: Expression | None = None
    """Condition over the file's own columns, like `quantity > 0`. Rows that do not match are dropped before all other
    steps; they are counted, but not quarantined."""
    columns: dict[str, Expression] = Field(default_factory=dict)
    """Our column -> SQL expression over the file's columns. If empty, all columns are kept unchanged."""


class JoinedFile(DataFile):
    """A second file with more columns of the same rows; only those named in its `columns` are added."""

    by: str
    """The column to join on; the `columns` of both files must name it."""


class TableFile(DataFile):
    """A table in one file, a folder of files or a glob, on disk, `s3://` or `hf://`."""

    explode: str | None = None
    """One of our columns that contains lists: every entry becomes a row, in the order of the list."""
    distinct: bool = False
    """For items or users: whether the file repeats them, like a log; the first row of each is used."""
    join: JoinedFile | None = None
    """Columns from another file, such as the ids that the events use."""


class FilesSource(Section):
    """Tables in Parquet, CSV or JSON lines."""

    kind: Literal["files"] = "files"
    """Tables in files of your own."""
    events: list[TableFile] = Field(min_length=1)
    """Event files, read in this order; `columns` must give user_id, item_id and, unless time_unit is `row`, time."""
    items: TableFile | None = None
    """One row per item; `columns` must give item_id. The optional columns `available_from` (inclusive) and
    `available_until` (exclusive), in the time unit of the events, restrict when an item may be recommended; by default
    it may be recommended from its first event on."""
    users: TableFile | None = None
    """One row per user; `columns` must give user_id."""


class YambdaSource(Section):
    """Yandex Music events in the published flat layout."""

    kind: Literal["yambda"]
    """The Yambda data set, as published."""
    path: str
    """The folder with `flat/` and its mappings, or `hf://datasets/yandex/yambda`."""
    size: Literal["50m", "500m", "5b"] = "50m"
    """The published subset: `flat/<size>/listens.parquet`."""
    feedback: bool = True
    """Whether expressions may name `liked` and `disliked` (within 30 minutes after the listen: labels, never features)
    and `liked_before` and `disliked_before` (ever before the listen: features)."""
    embeddings: bool = False
    """Whether the audio embeddings are read as a column of the items."""


class SyntheticSource(Section):
    """A deterministic, Yambda-shaped music log with learnable structure, for trying things out."""

    kind: Literal["synthetic"]
    """Synthetic data."""
    users: int = Field(2_000, ge=1)
    """Number of listeners."""
    items: int = Field(20_000, ge=1)
    """Number of tracks."""
    events: int = Field(300_000, ge=1)
    """Number of listens."""
    days: int = Field(60, ge=2)
    """Number of days that the events cover."""
    dirty: Share = 0.005
    """Share of invalid rows, which a contract must catch."""
    scale: float = Field(1.0, gt=0)
    """The numbers of users, items and events are multiplied by it: one setting for a small trial of a large log."""
    likes: Literal["close", "long"] = "close"
    """Which full plays get a like: a few of those close to the listener's taste, or most of those of long tracks, so
    that what listeners like and what they play differ in a way that a model can learn."""

    def scaled(self) -> "SyntheticSource":
        """The same log with its numbers multiplied by `scale`, at least 1 each."""
        numbers = {name: max(round(getattr(self, name) * self.scale), 1) for name in ("users", "items", "events")}
        return self.model_copy(update={**numbers, "scale": 1.0})


class SyntheticPlaylistsSource(Section):
    """A deterministic log of users who like songs and own playlists, with learnable structure, for trying things out.

    The events are the playlists of the users, without times; the users have a column `songs`, the playlists a `title`.
    """

    kind: Literal["synthetic_playlists"]
    """Synthetic playlists."""
    users: int = Field(5_000, ge=10)
    """Number of users."""
    playlists: int = Field(2_000, ge=50)
    """Number of playlists."""
    songs: int = Field(20_000, ge=50)
    """Number of songs."""


Source = Annotated[
    FilesSource | SqlSource | YambdaSource | SyntheticSource | SyntheticPlaylistsSource, Field(discriminator="kind")
]


class Interactions(Section):
    """The meaning of an event."""

    positive: Expression = "TRUE"
    """Which events are positives, over the file's columns and those of `columns`: `played_ratio_pct >= 50`."""
    weight: Expression = "1.0"
    """The weight of an event in training, over the raw columns; at least 0."""
    labels: dict[LabelName, Expression] = {}
    """Further labels of an event, like `{liked: "event = 'like'"}`, each with an expression like that of `positive`.
    The ranker learns one more objective for each, and `ranking.objective` weighs them. An event may have any of the
    labels without being a positive."""
    history: Expression | None = None
    """Which events are part of a user's history; by default the positives."""
    time_unit: Literal["s", "ms", "us", "ns", "row"] = "s"
    """The unit of `time`, or `row` if there is no time column and the rows are in time order."""
    ordered: bool = True
    """False if the order of the events is unknown: a history then consists of all other items of the user."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the ranker predicts: `positive`, then the labels in the order of the recipe."""
        return (POSITIVE, *self.labels)


class ColumnRule(Section):
    """Row rules for one column of the events; a row that breaks one is quarantined."""

    min: float | None = None
    """The smallest valid value."""
    max: float | None = None
    """The largest valid value."""
    allowed: list[str | int | bool] | None = None
    """The only valid values."""
    nullable: bool = False
    """Whether a missing value is valid."""


class Contract(Section):
    """Validation rules of the data. A broken row rule quarantines the row; a broken table rule stops the run."""

    columns: dict[str, ColumnRule] = Field(default_factory=dict)
    """Rules by events column, in addition to the built-in rules for user_id, item_id, time and weight."""
    unique: list[str] = ["user_id", "item_id", "time"]
    """Columns that together identify an event; later events with equal values are duplicates. Empty allows
    duplicates."""
    references: bool = True
    """Whether an event's item must be in the items table, if the recipe has one."""
    earliest: Moment | None = None
    """Events before this ISO date (UTC) are invalid; guards against a wrong time_unit."""
    latest: Until = "now"
    """Events after this ISO date (UTC) or `now` are invalid."""
    min_rows: int = Field(10, ge=1)
    """Fewer valid events than this stop the run."""
    max_rows: int | None = None
    """More valid events than this stop the run."""
    min_users: int = Field(2, ge=1)
    """Fewer users stop the run."""
    min_items: int = Field(2, ge=1)
    """Fewer items stop the run."""
    max_quarantined: Share = 0.05
    """A larger share of quarantined rows stops the run; it applies to events, items and users separately."""


class _Split(Section):
    """What all kinds of splits have."""

    max_per_user: int | None = Field(None, ge=1)
    """The maximum number of train positives per user, the latest ones, so that a few very active users do not dominate;
    earlier ones remain in histories."""


class TemporalSplit(_Split):
    """Train | gap | validation | gap | test, split by time from the last event backwards."""

    kind: Literal["temporal"]
    """By time, for all users at once."""
    test: Duration
    """Length of the test window."""
    valid: Duration
    """Length of the validation window before it."""
    gap: Duration = 0
    """Length of the gaps between the windows, whose events are not used."""
    train: Duration | None = None
    """Length of the train window; by default all earlier events."""


class LeaveOneOutSplit(_Split):
    """The last positive of each user is the test, the one before it the validation; both are random if unordered."""

    kind: Literal["leave_one_out"]
    """By the order of each user's events."""


class GivenSplit(_Split):
    """The data assigns each event to train, validation or test, as in published benchmarks."""

    kind: Literal["given"]
    """By a column or an expression."""
    part: Expression = "part"
    """`train`, `valid` or `test` for every event, over the file's columns and those of `columns`."""
    valid: Literal["given", "last"] | Annotated[float, Field(gt=0, lt=1)] = "given"
    """The validation part if the data has only train and test: the `last` train positive of each user, or, for
    unordered data, a random share of the train positives of each user."""


Split = Annotated[TemporalSplit | LeaveOneOutSplit | GivenSplit, Field(discriminator="kind")]
