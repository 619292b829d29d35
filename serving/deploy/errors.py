"""The errors of a deploy."""


class ClusterError(RuntimeError):
    """The cluster refused a request or cannot be reached; the message says which one, and why."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status from the API server."""


class RefusedError(RuntimeError):
    """The new release did not pass the checks; the previous release stays live."""
