"""Trials of a recipe with other values: the values, the comparison of the trials, and the best one as a recipe."""
