"""Logs runs to MLflow: parameters, metrics by epoch, artifacts, and releases as versions of a registered model."""
