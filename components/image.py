"""The image that every step runs in; it contains the library and all its dependencies."""

PIPELINE_IMAGE = "shortlist/pipeline:0.1.0"
