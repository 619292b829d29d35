"""What a release is worth: metrics, baselines, and the whole path as it is served."""
