"""What an id or a word may be, in the data, in a vocabulary and in JSON."""

MAX_KEY_BYTES = 256
EXACT_IN_A_DOUBLE = 2**53
"""Integers below this, in absolute value, are doubles of their own; JavaScript and others round what is above."""


def exact_in_json(key: int | str) -> int | str:
    """A key as every JSON parser reads it back: an integer that a double cannot hold as its digits."""
    return key if isinstance(key, str) or abs(key) < EXACT_IN_A_DOUBLE else str(key)
