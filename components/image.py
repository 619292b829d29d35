"""The image that every step runs in; it holds the library and all that a step imports."""

PIPELINE_IMAGE = "shortlist/pipeline:0.1.0"
