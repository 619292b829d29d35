"""What can go wrong with a run, here or on a cluster; the messages are for the person who started it."""


class RunFailedError(RuntimeError):
    """A step failed; the message is the step's own, or the last lines of its output."""


class BackEndError(RuntimeError):
    """Kubeflow Pipelines cannot be reached, or refuses; the message says what to do."""
