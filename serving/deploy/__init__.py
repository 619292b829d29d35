"""Switches a live InferenceService to another release without losing a request (docs/decisions/swap.md)."""
