"""Where the events come from, what they mean, and what must hold for them."""

from typing import Annotated, Literal

from pydantic import Field

from shortlist.recipe.fields import Duration, Expression, Moment, Section, Separator, Share, Until, Word

ColumnType = Literal["text", "integer", "number", "boolean"]


class DataFile(Section):
    """A file, and how columns of ours are made of its columns."""

    path: str
    """File, folder or glob; `${NAME}` and `${NAME:-default}` are taken from the environment."""
    format: Literal["auto", "parquet", "csv", "jsonl"] = "auto"
    """`auto` looks at the file's ending, before `.gz`, `.zst` or `.zip`."""
    separator: Separator = ","
    """Between the fields of a CSV; may be longer than one character, like `::`."""
    header: bool | None = None
    """Whether a CSV's first line names its columns; if not they are `column_1`, `column_2`, ... By default it does, and
    a line that looks like data is refused; `true` accepts it as names."""
    quote: str | None = '"'
    """The quoting character of a CSV; null when quotes are ordinary characters."""
    encoding: str = "utf-8"
    """A Python codec name, like `latin-1`."""
    types: dict[str, ColumnType] = Field(default_factory=dict)
    """Column of the file -> its type, before `columns` sees it; a value that is not of it stops the run. Undeclared, a
    column of a CSV is numbers where every text can be had back from its number, and text elsewhere."""
    nulls: list[Word] | dict[str, list[Word]] | None = None
    """Words that stand for a missing value, like `["NULL", "\\N"]`: in every column of text, or by column. An empty
    list says that a user or an item is really called `null`; without one such ids are quarantined."""
    where: Expression | None = None
    """Which rows count, over the file's own columns, like `quantity > 0`. The others are left out before anything else;
    they are counted, and are no quarantine."""
    columns: dict[str, Expression] = Field(default_factory=dict)
    """Column of ours -> SQL expression over the file's columns. Empty keeps all columns as they are."""


class JoinedFile(DataFile):
    """A second file that knows more of the same rows; only what its `columns` name is added."""

    by: str
    """The column by which rows match; the `columns` of both files name it."""


class TableFile(DataFile):
    """A table in one file, a folder of files or a glob, on disk, `s3://` or `hf://`."""

    explode: str | None = None
    """A column of ours that holds lists: every entry becomes a row, in the order of the list."""
    distinct: bool = False
    """Of items or users: whether the file repeats them, like a log does; the first row of each counts."""
    join: JoinedFile | None = None
    """Columns from another file, such as the ids that the events use."""


class FilesSource(Section):
    """Tables in Parquet, CSV or JSON lines."""

    kind: Literal["files"] = "files"
    """Tables in files of your own."""
    events: list[TableFile] = Field(min_length=1)
    """Read in this order; `columns` must give user_id, item_id and, unless time_unit is `row`, time."""
    items: TableFile | None = None
    """One row an item; `columns` must give item_id. `available_from` and `available_until`, times like those of the
    events, say from when until before when an item may be recommended; by default from its first event on."""
    users: TableFile | None = None
    """One row a user; `columns` must give user_id."""


class YambdaSource(Section):
    """Yandex Music events in the flat layout in which they are published."""

    kind: Literal["yambda"]
    """The Yambda data set, as published."""
    path: str
    """The folder with `flat/` and its mappings, or `hf://datasets/yandex/yambda`."""
    size: Literal["50m", "500m", "5b"] = "50m"
    """Which published subset: `flat/<size>/listens.parquet`."""
    feedback: bool = True
    """Whether expressions may name `liked` and `disliked` (within 30 minutes after the listen: labels, never features)
    and `liked_before` and `disliked_before` (ever before the listen: features)."""
    embeddings: bool = False
    """Whether the audio embeddings are read as the items' given embedding."""


class SyntheticSource(Section):
    """A deterministic, Yambda-shaped music log with learnable structure, for trying things out."""

    kind: Literal["synthetic"]
    """Invented data."""
    users: int = Field(2_000, ge=1)
    """How many listeners."""
    items: int = Field(20_000, ge=1)
    """How many tracks."""
    events: int = Field(300_000, ge=1)
    """How many listens."""
    days: int = Field(60, ge=2)
    """Over how many days."""
    dirty: Share = 0.005
    """Share of rows that a contract must catch."""


Source = Annotated[FilesSource | YambdaSource | SyntheticSource, Field(discriminator="kind")]


class Interactions(Section):
    """What an event means."""

    positive: Expression = "TRUE"
    """Which events are positives, over the file's columns and those of `columns`: `played_ratio_pct >= 50`."""
    weight: Expression = "1.0"
    """How much an event counts in training, over the raw columns; at least 0."""
    history: Expression | None = None
    """Which events a user's history holds; by default the positives."""
    time_unit: Literal["s", "ms", "us", "ns", "row"] = "s"
    """The unit of `time`, or `row` when there is none and the order of the rows is the order in time."""
    ordered: bool = True
    """False when nothing tells what came first: a history is then all that the user has beside the item asked for."""


class ColumnRule(Section):
    """What must hold for every row of one events column; a row that breaks it is quarantined."""

    min: float | None = None
    """The smallest sound value."""
    max: float | None = None
    """The largest sound value."""
    allowed: list[str | int | bool] | None = None
    """The only sound values."""
    nullable: bool = False
    """Whether a missing value is sound."""


class Contract(Section):
    """What must hold for the data. Row rules quarantine a row, table rules stop the run."""

    columns: dict[str, ColumnRule] = Field(default_factory=dict)
    """Rules by events column, beside those that always hold for user_id, item_id, time and weight."""
    unique: list[str] = ["user_id", "item_id", "time"]
    """Columns that together name an event; a second one is a duplicate. Empty allows duplicates."""
    references: bool = True
    """Whether an event's item must be in the items table, when the recipe has one."""
    earliest: Moment | None = None
    """No event is before this ISO date (UTC); guards against a wrong time_unit."""
    latest: Until = "now"
    """No event is after this ISO date (UTC) or `now`."""
    min_rows: int = Field(10, ge=1)
    """Fewer sound events than this stop the run."""
    max_rows: int | None = None
    """More sound events than this stop the run."""
    min_users: int = Field(2, ge=1)
    """Fewer users stop the run."""
    min_items: int = Field(2, ge=1)
    """Fewer items stop the run."""
    max_quarantined: Share = 0.05
    """A larger share of quarantined rows stops the run; it holds for events, items and users, each by itself."""


class TemporalSplit(Section):
    """Train | gap | validation | gap | test, cut by time from the last event backwards."""

    kind: Literal["temporal"]
    """By time, for all users at once."""
    test: Duration
    """Length of the test window."""
    valid: Duration
    """Length of the validation window before it."""
    gap: Duration = 0
    """Left out between the windows."""
    train: Duration | None = None
    """Length of the train window; by default all that is before."""


class LeaveOneOutSplit(Section):
    """Each user's last positive is the test, the one before it the validation; without an order both are drawn."""

    kind: Literal["leave_one_out"]
    """By the order of each user's events."""


class GivenSplit(Section):
    """The data says which events train and which judge, as published benchmarks do."""

    kind: Literal["given"]
    """By a column or an expression."""
    part: Expression = "part"
    """`train`, `valid` or `test` for every event, over the file's columns and those of `columns`."""
    valid: Literal["given", "last"] | Annotated[float, Field(gt=0, lt=1)] = "given"
    """Where validation comes from when the data has only train and test: each user's `last` train positive, or, of
    unordered data, a share of each user's train positives that is drawn by the seed."""


Split = Annotated[TemporalSplit | LeaveOneOutSplit | GivenSplit, Field(discriminator="kind")]
