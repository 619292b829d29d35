"""Answers from a release: a KServe transformer and a TorchServe predictor."""
