"""One rule of the tables as a whole, and the two forms that it has."""

from dataclasses import dataclass
from typing import Any

from great_expectations import expectations as gxe


@dataclass(frozen=True)
class Limit:
    """One rule of the tables: what was measured, what Great Expectations asks of it, and what a broken one says."""

    name: str
    observed: float | str
    asked: str
    expectation: Any
    complaint: str


def within(name: str, observed: float, low: float, high: float | None, complaint: str) -> Limit:
    # Of a single row the maximum is the value, and Great Expectations shows what it saw of an aggregate.
    asked = f"at least {low:,}" + ("" if high is None else f" and at most {high:,}")
    expectation = gxe.ExpectColumnMaxToBeBetween(
        column=name, min_value=low, max_value=high, description=asked, severity="critical"
    )
    return Limit(name, observed, asked, expectation, complaint)


def one_of(name: str, observed: str, allowed: list[str], complaint: str) -> Limit:
    asked = " or ".join(allowed)
    expectation = gxe.ExpectColumnValuesToBeInSet(
        column=name, value_set=allowed, description=asked, severity="critical"
    )
    return Limit(name, observed, asked, expectation, complaint)
