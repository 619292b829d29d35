"""How a release is judged, kept and answered from."""

from typing import Literal

from pydantic import Field

from shortlist.recipe.fields import Section, Share


class Evaluation(Section):
    k: list[int] = [5, 10, 20, 100]
    """The depths of every metric, rising."""
    mask_seen: bool = True
    """Whether what the user already has is left out of the lists, here and in answers."""
    bootstrap: int = Field(500, ge=10)
    """Resamples behind an interval."""
    max_queries: int = Field(20_000, ge=10)
    """At most so many test queries, drawn by the seed."""


class Gate(Section):
    """When a release may replace the live one."""

    metric: str = "ndcg_at_10"
    """Of what is served, on the same test queries."""
    tolerance: Share = 0.0
    """How much lower the metric may be than the live release's, as a share of it."""
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    """Refused when the paired interval of the difference lies below the tolerance."""
    margin: Share = 0.1
    """A loss that would matter, as a share of the live release's metric (of popularity's where none is live): where the
    interval reaches further down than that, the gate cannot tell."""
    min_queries: int = Field(50, ge=1)
    """With fewer test queries the gate cannot tell, however narrow the interval."""
    when_unsure: Literal["publish", "refuse"] = "publish"
    """What becomes of a release of which the gate cannot tell: published and labelled so, or refused, the first too."""
    max_untrained: Share = 0.5
    """Refused when the share of items that were never trained on is larger by more than this in the lists than in what
    users then took; 1 allows all."""
    max_tied: Share = 0.5
    """Refused when more than this share of the lists are items of equal score, or that nothing tells apart; 1 allows
    all."""
    ranker: Literal["always", "if_better"] = "always"
    """`if_better`: where the interval of the whole path minus retrieval alone is not above 0, the release has no ranker
    and answers in retrieval order."""


class Publish(Section):
    to: str = ".work/releases"
    """A folder or `s3://bucket/prefix`."""


class Serving(Section):
    default_k: int = Field(10, ge=1)
    """Items of an answer when the query names no k."""
    max_k: int = Field(200, ge=1)
    """A query for more is refused."""
    max_history: int = Field(10_000, ge=1)
    """A request with a longer history is refused."""
    deadline_ms: int = Field(500, ge=1)
    """How long an answer may take; past it the ranker is not waited for."""
    threads: int = Field(1, ge=1)
    """Search and inference threads of one transformer process."""
