"""Training of the ranker: examples, losses, cross-fitting, validation and calibration."""
