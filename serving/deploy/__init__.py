"""A live InferenceService from one release to the next, without a lost answer (docs/decisions/swap.md)."""
