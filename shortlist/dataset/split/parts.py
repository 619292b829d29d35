"""The parts of a split, as the samples hold them."""

LEFT_OUT, TRAIN, VALID, TEST = 0, 1, 2, 3
PART_CODES = {"train": TRAIN, "valid": VALID, "test": TEST}
"""Of the names that data with a split of its own gives."""
