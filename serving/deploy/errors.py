"""What ends a deploy."""


class ClusterError(RuntimeError):
    """The cluster refused something or cannot be reached; the message says what, and why."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of the API server's refusal."""


class RefusedError(RuntimeError):
    """The new release was not good enough to stay; what answered before answers again."""
