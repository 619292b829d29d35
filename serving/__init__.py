"""Serves a release: a KServe transformer and a TorchServe predictor."""
