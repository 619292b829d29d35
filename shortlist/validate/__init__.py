"""Great Expectations suites from the recipe's contract; what fails is quarantined, never dropped."""

from shortlist.validate.rules import DataError
from shortlist.validate.step import validate

__all__ = ["DataError", "validate"]
