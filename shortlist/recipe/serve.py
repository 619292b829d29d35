"""The release blocks of a recipe: evaluation, gate, publish and serving."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shortlist.recipe.fields import Duration, Section, Share


class Evaluation(Section):
    k: list[int] = [5, 10, 20, 100]
    """The depths of every metric, in ascending order."""
    mask_seen: bool = True
    """Whether items of the user's history are left out of the recommendations, here and in serving."""
    bootstrap: int = Field(500, ge=10)
    """The number of bootstrap resamples of an interval."""
    max_queries: int = Field(20_000, ge=10)
    """The maximum number of test queries, sampled with the seed."""
    negatives: int | None = Field(None, ge=1, le=10_000)
    """If given, one target of each query is also ranked among so many random items, as many published figures are
    computed. All other metrics are over the whole catalogue."""


class Gate(Section):
    """The conditions under which a release may replace the live one."""

    metric: str = "ndcg_at_10"
    """The metric of the served system, on the same test queries."""
    tolerance: Share = 0.0
    """How much lower than the live release the metric may be, as a share of the live metric."""
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    """The confidence of intervals; a release is refused if the paired interval of the difference is below the
    tolerance."""
    margin: Share = 0.1
    """A relevant loss, as a share of the metric of the live release (of popularity if no release is live): if the
    interval reaches below it, the gate cannot tell."""
    min_queries: int = Field(50, ge=1)
    """With fewer test queries the gate cannot tell, regardless of the interval."""
    when_unsure: Literal["publish", "refuse"] = "publish"
    """The decision if the gate cannot tell: publish with a label, or refuse, also the first release."""
    max_untrained: Share = 0.5
    """A release is refused if the share of untrained items among its recommendations exceeds their share among the test
    targets by more than this; 1 disables the check."""
    max_tied: Share = 0.5
    """A release is refused if more than this share of its recommendations have tied scores or are untrained items with
    a shared vector; 1 disables the check."""
    ranker: Literal["always", "if_better"] = "always"
    """`if_better`: unless the interval of the whole path minus retrieval alone is above 0, the release has no ranker
    and recommends in retrieval order."""


class Publish(Section):
    to: str = ".work/releases"
    """The storage of releases: a folder or `s3://bucket/prefix`."""


def _parquet(path: str) -> str:
    if not path.endswith(".parquet"):
        raise ValueError(f"{path!r} must end with .parquet, like s3://bucket/lists/today.parquet")
    return path


class Batch(Section):
    """Lists for many users, written after a release is published."""

    users: str = "all"
    """`all` users that the release knows, or a file of users: Parquet or CSV with a column `user_id`, any other with a
    user in each line; a path, `file:///` or `s3://bucket/key`."""
    k: int = Field(20, ge=1)
    """The number of items of a list, at most `serving.max_k`."""
    out: Annotated[str, AfterValidator(_parquet)] | None = None
    """The Parquet file of the lists, a path, `file:///` or `s3://bucket/key`, replaced when the new one is complete; by
    default an artifact of the run."""


AvailabilityColumn = Literal["item_id", "available", "stock", "available_from", "available_until"]


def _file(path: str) -> str:
    if not path.endswith((".csv", ".parquet")):
        raise ValueError(f"{path!r} is neither .csv nor .parquet; write one of them, and give it that ending")
    return path


class AvailabilityFile(Section):
    """Which items may be recommended now: a file that is read again while a release is served.

    It has the item's id and at least one of `available` (true or false), `stock` (0 or less is out), `available_from`
    and `available_until`. Items that it does not name keep the availability of the release.
    """

    path: Annotated[str, AfterValidator(_file)]
    """The file, `.csv` or `.parquet`: a path, `file:///` or `s3://bucket/key`."""
    every: Annotated[Duration, Field(ge=1)] = 60
    """How often to look whether it has changed."""
    columns: dict[AvailabilityColumn, str] = Field(default_factory=dict)
    """Our column -> the file's column where its name differs, like `item_id: sku`."""


class Serving(Section):
    default_k: int = Field(10, ge=1)
    """The number of recommendations if the query has no k."""
    max_k: int = Field(200, ge=1)
    """A query with a larger k is refused."""
    max_history: int = Field(10_000, ge=1)
    """A request with a longer history is refused."""
    deadline_ms: int = Field(500, ge=1)
    """The deadline of a request; after it, the response does not wait for the ranker."""
    threads: int = Field(1, ge=1)
    """Search and inference threads of one transformer process."""
    availability: AvailabilityFile | None = None
    """The file of the current availability; without one, the availability of the release holds."""
