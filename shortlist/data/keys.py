"""The limits of ids and words in the data, in a vocabulary and in JSON."""

MAX_KEY_BYTES = 256
EXACT_IN_A_DOUBLE = 2**53
"""Integers with a smaller absolute value are exact as doubles; JavaScript and other languages round larger ones."""


def exact_in_json(key: int | str) -> int | str:
    """A key in a form that every JSON parser preserves: integers that are not exact as doubles become text."""
    return key if isinstance(key, str) or abs(key) < EXACT_IN_A_DOUBLE else str(key)
