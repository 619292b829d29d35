"""Errors of a run, on this machine or on a cluster; the messages are for the user who started it."""


class RunFailedError(RuntimeError):
    """A step failed; the message is that of the step, or the last lines of its output."""


class BackEndError(RuntimeError):
    """Kubeflow Pipelines cannot be reached, or refuses a request; the message says what to do."""
