"""Validates tables with Great Expectations suites from the recipe's contract; invalid rows are quarantined."""

from shortlist.data.validate.rules import DataError
from shortlist.data.validate.step import validate

__all__ = ["DataError", "validate"]
