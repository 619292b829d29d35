"""Metrics at /metrics in addition to KServe's own."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

QUERIES = Counter("shortlist_queries", "Queries answered.", ["user", "source"])
"""user: known or unknown; source: history, profile or popularity."""
DEGRADED = Counter("shortlist_degraded_requests", "Requests answered in retrieval order.", ["reason"])
STAGE_SECONDS = Histogram("shortlist_stage_seconds", "Time of a request by stage.", ["stage"], buckets=_SECONDS)
AVAILABILITY_AGE = Gauge(
    "shortlist_availability_age_seconds",
    "Time since the availability file in use was known to be the newest; since the start if none could be read.",
)
AVAILABILITY_ITEMS = Gauge(
    "shortlist_availability_items", "Items that the availability file in use names; 0 if the release's own is in use."
)
AVAILABILITY_ERRORS = Counter("shortlist_availability_errors", "Looks at the availability file that failed.")
