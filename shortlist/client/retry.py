"""When a request is sent again: within one deadline, with growing pauses.

Only failures after which the service has done nothing, or says that it cannot at the moment, are tried again.
Recommendations change nothing in the service, so a request that is sent twice does no harm.
"""

import random
import time
from collections.abc import Iterator

import httpx

from shortlist.client.errors import RefusedError, UnavailableError

_AGAIN = (502, 503, 504)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Deadline:
    """The time that is left for a request and its retries."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._seconds = seconds

    @property
    def left(self) -> float:
        """Seconds, never below 0."""
        return max(self._end - time.monotonic(), 0.0)

    def pauses(self) -> Iterator[float]:
        """Pauses before the next try, in seconds, each within what is left: full jitter over doubling limits."""
        limit = _FIRST_PAUSE
        while self.left > 0:
            yield min(random.uniform(0, limit), self.left)
            limit = min(2 * limit, _LONGEST_PAUSE)

    def expired(self, reason: str) -> UnavailableError:
        """The error for the last reason why there was no answer."""
        return UnavailableError(f"no answer within {self._seconds:g} s: {reason}")


def answer_of(response: httpx.Response) -> list[dict[str, object]] | str:
    """The predictions, or why to try again. Raises RefusedError for every other status."""
    if response.status_code in _AGAIN:
        return f"status {response.status_code}: {_message(response)}"
    if response.status_code != httpx.codes.OK:
        raise RefusedError(_message(response), response.status_code)
    predictions: list[dict[str, object]] = response.json()["predictions"]
    return predictions


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or "no message"
