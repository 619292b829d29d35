"""Training of the ranker: examples, losses, cross-fitting, validation, calibration."""
