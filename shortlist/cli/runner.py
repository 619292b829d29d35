"""What each step of a run runs in."""

from enum import StrEnum


class Runner(StrEnum):
    """What each step runs in."""

    SUBPROCESS = "subprocess"
    """A process of its own, from the environment of the caller."""
    DOCKER = "docker"
    """A container of the pipeline's image, as in a cluster."""
