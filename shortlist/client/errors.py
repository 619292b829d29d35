"""Why there are no recommendations."""


class ClientError(Exception):
    """A request without an answer."""


class RefusedError(ClientError):
    """The service refused the request; its message says what is wrong and what is allowed. Trying again is no use."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnavailableError(ClientError):
    """No answer within the deadline: the service is not reachable, not ready or too slow."""
