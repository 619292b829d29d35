"""Great Expectations suites from the recipe's contract; what fails is quarantined, never dropped."""

from shortlist.data.validate.rules import DataError
from shortlist.data.validate.step import validate

__all__ = ["DataError", "validate"]
