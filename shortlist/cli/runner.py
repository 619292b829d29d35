"""The runner of the pipeline steps."""

from enum import StrEnum


class Runner(StrEnum):
    """Where each step runs."""

    SUBPROCESS = "subprocess"
    """In its own process, with the environment of the caller."""
    DOCKER = "docker"
    """In a container of the pipeline image, as on a cluster."""
