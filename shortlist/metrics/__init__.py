"""Ranking metrics and the intervals of their means."""
