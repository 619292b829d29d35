"""A rule for a table as a whole, in two forms."""

from dataclasses import dataclass
from typing import Any

from great_expectations import expectations as gxe


@dataclass(frozen=True)
class Limit:
    """A table rule: the observed value, the required one, the expectation, and the message if it is broken."""

    name: str
    observed: float | str
    required: str
    expectation: Any
    message: str


def within(name: str, observed: float, low: float, high: float | None, message: str) -> Limit:
    # The maximum of a single row is its value, and Great Expectations shows the observed value of an aggregate.
    required = f"at least {low:,}" + ("" if high is None else f" and at most {high:,}")
    expectation = gxe.ExpectColumnMaxToBeBetween(
        column=name, min_value=low, max_value=high, description=required, severity="critical"
    )
    return Limit(name, observed, required, expectation, message)


def one_of(name: str, observed: str, allowed: list[str], message: str) -> Limit:
    required = " or ".join(allowed)
    expectation = gxe.ExpectColumnValuesToBeInSet(
        column=name, value_set=allowed, description=required, severity="critical"
    )
    return Limit(name, observed, required, expectation, message)
