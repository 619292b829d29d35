"""Offline evaluation: the whole path as it is served, retrieval alone, the baselines and the live release."""
